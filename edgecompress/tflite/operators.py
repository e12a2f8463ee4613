"""The operators of a .tflite file one by one: what they read, write, cost and carry."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgecompress.tflite.model import Operator, Subgraph, Tensor, Tflite

TRANSLATORS = ("QUANTIZE", "DEQUANTIZE")
MAX_RANK = 8  # of tensors that a runtime computes with; a damaged file may claim more


@dataclass(frozen=True)
class TensorInfo:
    """A tensor as an operator sees it. `shape` and `dtype` as in `model.Tensor`."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class OperatorInfo:
    """One operator.

    Attributes:
        name: such as CONV_2D, or CUSTOM:name.
        version: of the operator.
        subgraph: index of the subgraph that it stands in.
        inputs, outputs: tensors; optional inputs that are left out are not listed.
        macs: multiply-accumulates of one run, of convolutions and fully connected operators; 0 for all others.
        weight_bytes: stored bytes of its constant inputs (a constant that two operators share counts for both).
        moved_bytes: weight_bytes, and those of the tensors that it reads and writes, once each.
    """

    name: str
    version: int
    subgraph: int
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    macs: int
    weight_bytes: int
    moved_bytes: int

    @property
    def intensity(self) -> float:
        """Multiply-accumulates per byte moved: low means that memory, not arithmetic, sets the speed.

        Source: Williams, Waterman, Patterson, Roofline: An Insightful Visual Performance Model (2009), with bytes in place of DRAM traffic.
        """
        return self.macs / self.moved_bytes if self.moved_bytes else 0.0


def list_operators(tflite: Tflite) -> list[OperatorInfo]:
    """All operators, in the order in which each subgraph runs them."""
    return [
        _describe(tflite, index, subgraph, operator) for index, subgraph in enumerate(tflite.subgraphs) for operator in subgraph.operators
    ]


def float_operators(tflite: Tflite) -> list[str]:
    """The operators that compute in float, as `NAME (first output)`. QUANTIZE and DEQUANTIZE, which only translate, do not count."""
    return [
        f"{operator.name} ({operator.outputs[0].name if operator.outputs else 'no output'})"
        for operator in list_operators(tflite)
        if operator.name not in TRANSLATORS and any("float" in tensor.dtype for tensor in (*operator.inputs, *operator.outputs))
    ]


def _describe(tflite: Tflite, index: int, subgraph: Subgraph, operator: Operator) -> OperatorInfo:
    inputs = [subgraph.tensors[number] for number in operator.inputs if number >= 0]
    outputs = [subgraph.tensors[number] for number in operator.outputs if number >= 0]
    code = tflite.operator_codes[operator.code]
    weight_bytes = sum(tflite.buffers[buffer].size for buffer in {tensor.buffer for tensor in inputs})
    computed = {number for number in (*operator.inputs, *operator.outputs) if number >= 0 and not tflite.has_data(subgraph.tensors[number])}
    return OperatorInfo(
        name=code.name,
        version=code.version,
        subgraph=index,
        inputs=tuple(_info(tensor) for tensor in inputs),
        outputs=tuple(_info(tensor) for tensor in outputs),
        macs=operator_macs(code.name, [tensor.shape for tensor in inputs], [tensor.shape for tensor in outputs]),
        weight_bytes=weight_bytes,
        moved_bytes=weight_bytes + sum(tensor_bytes(subgraph.tensors[number]) for number in computed),
    )


def tensor_bytes(tensor: Tensor) -> int:
    """Bytes of a tensor in memory; 0 for one of a shape or type that does not tell."""
    bits = {"int4": 4, "uint4": 4, "int2": 2, "bfloat16": 16}.get(tensor.dtype)
    if bits is None:
        try:
            bits = 8 * np.dtype(tensor.dtype).itemsize
        except TypeError:  # string, resource, variant
            return 0
    known = len(tensor.shape) <= MAX_RANK and min(tensor.shape, default=1) >= 0
    return -(-math.prod(tensor.shape) * bits // 8) if known else 0


def _info(tensor: Tensor) -> TensorInfo:
    return TensorInfo(tensor.name, tensor.shape, tensor.dtype)


def operator_macs(name: str, inputs: Sequence[tuple[int, ...]], outputs: Sequence[tuple[int, ...]]) -> int:
    """Multiply-accumulates of one operator; padding counts as if it were multiplied.

    Convolution: outputs * kh * kw * input channels per group. Depthwise: outputs * kh * kw. Fully connected: outputs * inputs per
    output. Transposed convolution: inputs * kh * kw * output channels.

    Args:
        name: of the operator.
        inputs, outputs: shapes, in the operator's order.

    Returns:
        The number; 0 for other operators and for shapes that do not fit.
    """
    if len(inputs) < 2 or not outputs or max(map(len, (*inputs, *outputs))) > MAX_RANK:
        return 0
    weights = inputs[1]
    num_outputs = math.prod(outputs[0])
    if name == "FULLY_CONNECTED" and len(weights) == 2:
        return num_outputs * weights[1]  # [out, in]
    if len(weights) != 4:
        return 0
    channels, height, width, depth = weights  # [out, kh, kw, in]; depthwise [1, kh, kw, out]
    if name == "CONV_2D":
        return num_outputs * height * width * depth
    if name == "DEPTHWISE_CONV_2D":
        return num_outputs * height * width
    if name == "TRANSPOSE_CONV" and len(inputs) >= 3:
        return math.prod(inputs[2]) * height * width * channels
    return 0
