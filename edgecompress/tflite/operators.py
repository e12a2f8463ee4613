"""The operators of a .tflite file one by one: what they read, write, cost and carry."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

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
    """

    name: str
    version: int
    subgraph: int
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    macs: int
    weight_bytes: int


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
    return OperatorInfo(
        name=code.name,
        version=code.version,
        subgraph=index,
        inputs=tuple(_info(tensor) for tensor in inputs),
        outputs=tuple(_info(tensor) for tensor in outputs),
        macs=operator_macs(code.name, [tensor.shape for tensor in inputs], [tensor.shape for tensor in outputs]),
        weight_bytes=sum(tflite.buffers[buffer].size for buffer in {tensor.buffer for tensor in inputs}),
    )


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
