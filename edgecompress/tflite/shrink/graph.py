"""One subgraph in its object form: the questions that passes ask, and the small changes that they are made of."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgecompress.tflite.parse import DTYPES, OPERATOR_NAMES
from edgecompress.tflite.schema_fields import new_table

OMITTED = -1  # stands for an optional input that is left out

# Their entries speak of inputs and outputs only, or of nothing in the graph. Others may name tensors or operators by number.
FREE_METADATA = frozenset({"min_runtime_version", "CONVERSION_METADATA", "TFLITE_METADATA", "reduced_precision_support"})


class Graph:
    """One subgraph of a model.

    Attributes:
        model: the `ModelT` around it.
        subgraph: the `SubGraphT`.
        tensors, operators: its lists; changes to them are changes to the model.
    """

    def __init__(self, model: Any, subgraph: Any) -> None:
        self.model, self.subgraph = model, subgraph
        self.tensors: list[Any] = subgraph.tensors
        self.operators: list[Any] = subgraph.operators

    @property
    def inputs(self) -> list[int]:
        """Tensors that the subgraph is given."""
        return integers(self.subgraph.inputs)

    @property
    def outputs(self) -> list[int]:
        """Tensors that the subgraph gives."""
        return integers(self.subgraph.outputs)

    def name(self, operator: Any) -> str:
        """CONV_2D, CUSTOM, ..."""
        code = self.model.operatorCodes[operator.opcodeIndex]
        return OPERATOR_NAMES[max(code.builtinCode, code.deprecatedBuiltinCode)]

    def consumers(self) -> dict[int, list[Any]]:
        """Tensor -> operators that read it, one entry for each time."""
        found: dict[int, list[Any]] = {}
        for operator in self.operators:
            for index in integers(operator.inputs):
                found.setdefault(index, []).append(operator)
        return found

    def producers(self) -> dict[int, Any]:
        """Tensor -> operator that writes it."""
        return {index: operator for operator in self.operators for index in integers(operator.outputs)}

    def constant(self, index: int) -> np.ndarray | None:
        """The values of a dense constant of a type that NumPy has, with the tensor's shape; None for all else."""
        if index == OMITTED or not self.has_data(index) or index in self.inputs:
            return None
        tensor = self.tensors[index]
        try:
            dtype = np.dtype(DTYPES[tensor.type]).newbyteorder("<")
        except TypeError:  # int4, string
            return None
        data, shape = np.asarray(self.model.buffers[tensor.buffer].data), integers(tensor.shape)
        if tensor.sparsity is not None or tensor.isVariable or len(data) != dtype.itemsize * product(shape):
            return None
        return data.view(dtype).reshape(shape)

    def has_data(self, index: int) -> bool:
        """Whether a tensor has data in the file."""
        data = self.model.buffers[self.tensors[index].buffer].data
        return data is not None and len(data) > 0

    def replace_constant(self, operator: Any, position: int, values: np.ndarray) -> Any:
        """Other values for a constant input of one operator. Others that read it keep theirs.

        Returns:
            The tensor with the new values.
        """
        index = integers(operator.inputs)[position]
        if len(self.consumers()[index]) > 1 or index in self.outputs:
            tensor = new_table("Tensor")
            vars(tensor).update(vars(self.tensors[index]))
            self.tensors.append(tensor)
            self.set_input(operator, position, len(self.tensors) - 1)
        else:
            tensor = self.tensors[index]
        tensor.shape, tensor.shapeSignature, tensor.buffer = list(values.shape), None, self.add_buffer(values)
        return tensor

    def set_input(self, operator: Any, position: int, index: int) -> None:
        """Changes one input of an operator; positions behind the last are filled with inputs that are left out."""
        inputs = integers(operator.inputs)
        inputs += [OMITTED] * (position + 1 - len(inputs))
        inputs[position] = index
        operator.inputs = inputs

    def add_constant(self, values: np.ndarray, kind: int) -> int:
        """A new tensor with data; returns its number."""
        tensor = new_table("Tensor")
        tensor.shape, tensor.type, tensor.buffer = list(values.shape), kind, self.add_buffer(values)
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def add_buffer(self, values: np.ndarray) -> int:
        """New data; returns the buffer's number."""
        buffer = new_table("Buffer")
        buffer.data = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
        self.model.buffers.append(buffer)
        return len(self.model.buffers) - 1

    def is_bound(self) -> bool:
        """Whether something in the file that only its maker understands may know tensors and operators by number."""
        texts = {text(entry.name) for entry in self.model.metadata or []}
        return not texts <= FREE_METADATA or any(self.name(operator) in ("CUSTOM", "DELEGATE") for operator in self.operators)


def block_scales(tensor: Any) -> Any:
    """The table that names the tensor of a tensor's block-wise scales by number (-1: none); None where scales are not block-wise."""
    parameters = tensor.quantization
    block_wise = parameters is not None and parameters.detailsType == schema.QuantizationDetails.BlockwiseQuantization
    return parameters.details if block_wise else None


def graphs_of(model: Any) -> list[Graph]:
    """All subgraphs of a model."""
    return [Graph(model, subgraph) for subgraph in model.subgraphs]


def options_of(operator: Any, table: str) -> Any:
    """An operator's options; the defaults where the file leaves them out or holds others."""
    made = operator.builtinOptions
    return made if isinstance(made, getattr(schema, f"{table}T")) else new_table(table)


def integers(values: Iterable[Any] | None) -> list[int]:
    """A vector of the file as a list; [] where the file leaves it out."""
    return [] if values is None else [int(value) for value in values]


def product(shape: Sequence[int]) -> int:
    """Number of elements, exact however large a damaged file says the shape is."""
    result = 1
    for size in shape:
        result *= size
    return result


def text(value: str | bytes | None) -> str:
    """A text of the file, for comparing."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value or ""
