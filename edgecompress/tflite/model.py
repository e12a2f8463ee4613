"""A .tflite file as plain data."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class OperatorCode:
    """A kind of operator that the file uses.

    Attributes:
        name: as in the schema, such as CONV_2D; `CUSTOM:name` for a custom operator.
        version: of the operator; a runtime knows versions up to some number.
    """

    name: str
    version: int


@dataclass(frozen=True, eq=False)
class Quantization:
    """real = scale * (stored - zero_point), per tensor, per index of one axis, or per block of values along the last axis.

    Attributes:
        scales: float32 [n]; n = 1 for the whole tensor. Empty for schemes that keep them elsewhere (block-wise).
        zero_points: int64, as many as scales, or none (then 0).
        axis: the axis of per-channel scales.
        block: values of one scale, block-wise; 0: not block-wise.
        scale_tensor, zero_point_tensor: index of the tensor with them, block-wise; -1: there is none.
    """

    scales: np.ndarray
    zero_points: np.ndarray
    axis: int
    block: int = 0
    scale_tensor: int = -1
    zero_point_tensor: int = -1


@dataclass(frozen=True, eq=False)
class Tensor:
    """One tensor of a subgraph.

    Attributes:
        name: as the converter wrote it.
        shape: used when memory is planned; () is a scalar, or unknown.
        shape_signature: the same with -1 where an axis may change; () where the file leaves it out.
        dtype: NumPy's name in most cases; also int4, int2, bfloat16, string, resource, variant.
        buffer: index into the file's buffers.
        quantization: None for a tensor that is not quantized.
        is_sparse: its buffer holds only the non-zero part.
        is_variable: it keeps its value from one invoke to the next.
    """

    name: str
    shape: tuple[int, ...]
    shape_signature: tuple[int, ...]
    dtype: str
    buffer: int
    quantization: Quantization | None
    is_sparse: bool
    is_variable: bool


@dataclass(frozen=True)
class Operator:
    """One step of a subgraph. Numbers are indices of tensors; -1 is an optional input that is left out.

    Attributes:
        code: index into the file's operator codes.
        inputs, outputs, intermediates: indices of tensors.
    """

    code: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    intermediates: tuple[int, ...]


@dataclass(frozen=True)
class Subgraph:
    """A graph of operators, in the order in which they run. The first one of a file is the main one."""

    name: str
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Signature:
    """A named entry into a subgraph: argument name -> index of a tensor."""

    key: str
    subgraph: int
    inputs: dict[str, int]
    outputs: dict[str, int]


@dataclass(frozen=True, eq=False)
class Tflite:
    """A whole file.

    Attributes:
        version: of the schema; 3.
        description: written by the converter.
        operator_codes, subgraphs, signatures: see their types.
        buffers: uint8 arrays, views into the file's bytes. Empty: no data, or data in another file.
        metadata: (name, index of a buffer), in the order of the file.
    """

    version: int
    description: str
    operator_codes: tuple[OperatorCode, ...]
    subgraphs: tuple[Subgraph, ...]
    buffers: tuple[np.ndarray, ...]
    metadata: tuple[tuple[str, int], ...]
    signatures: tuple[Signature, ...]

    def input_names(self) -> list[str]:
        """Names of the inputs of the main subgraph: in a signature where there is one, as tensors may be named after what they do."""
        main = self.subgraphs[0]
        names = {index: name for signature in self.signatures if signature.subgraph == 0 for name, index in signature.inputs.items()}
        return [names.get(index, main.tensors[index].name) for index in main.inputs]

    def has_data(self, tensor: Tensor) -> bool:
        """Whether the tensor is a constant of the file."""
        return self.buffers[tensor.buffer].size > 0

    def constants(self) -> list[tuple[np.ndarray, str]]:
        """The data of all constants, each with its type. What several share, a buffer or its bytes, stands there once."""
        types = {
            tensor.buffer: tensor.dtype for subgraph in self.subgraphs for tensor in reversed(subgraph.tensors) if self.has_data(tensor)
        }
        found = {}
        for buffer, dtype in types.items():
            data = self.buffers[buffer]
            found[data.ctypes.data, data.size] = data, dtype
        return list(found.values())
