"""Which activations of an int8 file may have another scale, and the file with other ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgecompress.tflite.operators import TRANSLATORS
from edgecompress.tflite.pack import pack
from edgecompress.tflite.requantize.biases import BIASED, Biased, biased_operators, make_room, rescale_bias, too_narrow
from edgecompress.tflite.schema_fields import new_table
from edgecompress.tflite.shrink.graph import OMITTED, Graph, integers
from edgecompress.tflite.shrink.unused import remove_buffers
from edgecompress.tflite.unpack import unpack

# Source of these lists: TensorFlow Lite 8-bit quantization specification, and what the kernels' Prepare checks.
_KEEPS_SCALE = frozenset({
    "AVERAGE_POOL_2D", "BATCH_TO_SPACE_ND", "CONCATENATION", "DEPTH_TO_SPACE", "EXPAND_DIMS", "GATHER", "MAXIMUM", "MAX_POOL_2D", "MINIMUM",
    "PACK", "PAD", "RESHAPE", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "SLICE", "SPACE_TO_BATCH_ND", "SPACE_TO_DEPTH", "SPLIT",
    "SPLIT_V", "SQUEEZE", "STRIDED_SLICE", "TILE", "TRANSPOSE", "UNPACK", "REVERSE_V2",
})  # fmt: skip
_RESCALES = frozenset({
    *BIASED, "ADD", "BATCH_MATMUL", "DEQUANTIZE", "GELU", "HARD_SWISH", "LEAKY_RELU", "MEAN", "MUL", "PRELU", "QUANTIZE", "RELU", "RELU6",
    "SUB", "SUM", "SQUARED_DIFFERENCE",
})  # fmt: skip
_FIXES_OUTPUT = frozenset({"LOGISTIC", "LOG_SOFTMAX", "L2_NORMALIZATION", "SOFTMAX", "TANH"})


@dataclass(frozen=True)
class Scale:
    """real = scale * (stored - zero_point), stored in [-128, 127].

    Attributes:
        scale: positive.
        zero_point: in [-128, 127].
    """

    scale: float
    zero_point: int

    @classmethod
    def of_range(cls, low: float, high: float) -> Scale:
        """The scale that covers [low, high] and 0, with an integer that is exactly 0.

        Source: Jacob et al. (2018), section 3, and `tensorflow/lite` of the converter: the zero point is rounded, the range moves with it.
        """
        low, high = min(low, 0.0), max(high, 0.0)
        scale = (high - low) / 255 or 1.0
        return cls(scale, int(np.clip(np.round(-128 - low / scale), -128, 127)))

    @property
    def range(self) -> tuple[float, float]:
        """The least and the greatest number."""
        return self.scale * (-128 - self.zero_point), self.scale * (127 - self.zero_point)


def free_groups(content: bytes) -> list[tuple[int, ...]]:
    """The activations of an int8 file whose scales may change; those of one group must stay equal.

    A tensor is not free if it is a constant, is not int8, is given by an operator with a scale of its own (softmax), or has to do with an
    operator that this module does not know.

    Args:
        content: the file.

    Returns:
        Indices of tensors of the main subgraph, groups in the order of the graph.
    """
    model = unpack(content)
    graph = Graph(model, model.subgraphs[0])
    ties, fixed = _Ties(), set[int]()
    for operator in graph.operators:
        name, inputs, outputs = graph.name(operator), _given(operator.inputs), integers(operator.outputs)
        if name in _KEEPS_SCALE:
            for index in [*_quantized(graph, inputs), *outputs]:
                ties.join(outputs[0], index)
        elif name in _FIXES_OUTPUT:
            fixed.update(outputs)
        elif name not in _RESCALES:
            fixed.update([*inputs, *outputs])
    found: dict[int, list[int]] = {}
    touched = [index for operator in graph.operators for index in [*_given(operator.inputs), *integers(operator.outputs)]]
    for index in dict.fromkeys([*graph.inputs, *touched]):
        fixed.update(set() if _is_activation(graph, index) else {index})
        found.setdefault(ties.root(index), []).append(index)
    return [tuple(group) for group in found.values() if not fixed & set(group)]


def ends_of(content: bytes) -> set[int]:
    """The in- and outputs of the main subgraph, and what stands for them behind or before an operator that only translates."""
    model = unpack(content)
    graph = Graph(model, model.subgraphs[0])
    ends = {*graph.inputs, *graph.outputs}
    for operator in graph.operators:
        if graph.name(operator) in TRANSLATORS:
            touched = {*integers(operator.inputs), *integers(operator.outputs)}
            ends |= touched if touched & {*graph.inputs, *graph.outputs} else set()
    return ends


def _given(indices: Any) -> list[int]:
    return [index for index in integers(indices) if index != OMITTED]


def _quantized(graph: Graph, indices: list[int]) -> list[int]:
    """Those with a scale: axes and shapes have none."""
    return [index for index in indices if read_scale(graph.tensors[index]) is not None]


def _is_activation(graph: Graph, index: int) -> bool:
    tensor = graph.tensors[index]
    is_constant = graph.has_data(index) or tensor.isVariable
    return tensor.type == schema.TensorType.INT8 and not is_constant and read_scale(tensor) is not None


def read_scale(tensor: Any) -> Scale | None:
    """The one scale of a tensor in its object form; None where it has none, or several."""
    parameters = tensor.quantization
    if parameters is None or parameters.scale is None or len(parameters.scale) != 1:
        return None
    zero_point = parameters.zeroPoint
    return Scale(float(parameters.scale[0]), 0 if zero_point is None or not len(zero_point) else int(zero_point[0]))


class _Ties:
    """Sets that grow together."""

    def __init__(self) -> None:
        self._parents: dict[int, int] = {}

    def root(self, index: int) -> int:
        while index in self._parents:
            index = self._parents[index]
        return index

    def join(self, one: int, other: int) -> None:
        one, other = self.root(one), self.root(other)
        if one != other:
            self._parents[other] = one


def set_scales(content: bytes, scales: Mapping[int, Scale]) -> bytes:
    """The file with other scales of activations, and the biases that go with them.

    A bias counts in steps of scale of the input * scale of the kernel; its integers are computed anew from what it was in real numbers.
    Where it would have too many of them, the channel's kernel gets a wider scale; where it cannot, the group keeps the scale that it had.

    Args:
        content: an int8 file.
        scales: tensor of the main subgraph -> scale; whole groups of `free_groups`.
    """
    model = unpack(content)
    graph = Graph(model, model.subgraphs[0])
    operators = biased_operators(graph)
    scales = _with_room(content, graph, operators, scales)
    for index, scale in scales.items():
        parameters = new_table("QuantizationParameters")
        parameters.scale, parameters.zeroPoint = np.array([scale.scale], np.float32), np.array([scale.zero_point])
        graph.tensors[index].quantization = parameters
    changed = set(scales)
    changed |= make_room(graph, operators, changed)
    for one in operators:
        if changed & {one.source, one.kernel}:
            rescale_bias(graph, one)
    remove_buffers(model)
    return pack(model)


def _with_room(content: bytes, graph: Graph, operators: Sequence[Biased], scales: Mapping[int, Scale]) -> dict[int, Scale]:
    """The scales without those groups that leave a bias no room."""
    left = dict(scales)
    while narrow := too_narrow(graph, operators, {index: scale.scale for index, scale in left.items()}):
        narrow = narrow.union(*(group for group in free_groups(content) if narrow & set(group)))
        left = {index: scale for index, scale in left.items() if index not in narrow}
    return left
