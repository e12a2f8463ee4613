"""The biases of an int8 file: they count in steps of input scale times kernel scale, and must fit into the runtime's sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgecompress.tflite.schema_fields import new_table
from edgecompress.tflite.shrink.graph import OMITTED, Graph, integers

# Operator -> where input, kernel and bias stand.
BIASED = {"CONV_2D": (0, 1, 2), "DEPTHWISE_CONV_2D": (0, 1, 2), "FULLY_CONNECTED": (0, 1, 2), "TRANSPOSE_CONV": (2, 1, 3)}
# Steps of a bias at most, as the converter has it: the rest of an int32 is for the products that are added to it.
LARGEST_BIAS = 2**30


@dataclass(frozen=True, eq=False)
class Biased:
    """An operator with a constant bias of int32.

    Attributes:
        operator: the `OperatorT`.
        source, kernel: tensors that it reads; a kernel may be computed, too.
        position: of the bias among its inputs.
        values: the bias in real numbers, float64 [channels].
    """

    operator: Any
    source: int
    kernel: int
    position: int
    values: np.ndarray


def biased_operators(graph: Graph) -> list[Biased]:
    """All of them, with the biases that they have now."""
    found = []
    for operator in graph.operators:
        source, kernel, bias = (_input(operator, position) for position in BIASED.get(graph.name(operator), (0, 0, -1)))
        if bias == OMITTED or graph.tensors[bias].type != schema.TensorType.INT32:
            continue
        stored = graph.constant(bias)
        if stored is not None and all(len(_scales(graph, index)) for index in (source, kernel, bias)):
            found.append(Biased(operator, source, kernel, BIASED[graph.name(operator)][2], stored * _scales(graph, bias)))
    return found


def _input(operator: Any, position: int) -> int:
    inputs = integers(operator.inputs)
    return inputs[position] if 0 <= position < len(inputs) else OMITTED


def _scales(graph: Graph, index: int) -> np.ndarray:
    """float64 [n]; empty for a tensor without."""
    parameters = graph.tensors[index].quantization if index != OMITTED else None
    return np.asarray([] if parameters is None or parameters.scale is None else parameters.scale, np.float64)


def too_narrow(graph: Graph, operators: Sequence[Biased], scales: Mapping[int, float]) -> set[int]:
    """Which new scales leave a bias no room where the kernel cannot make any: one scale for several channels, or a computed kernel.

    Args:
        graph: with its old scales.
        operators: of `biased_operators`.
        scales: tensor -> new scale.
    """
    found = set[int]()
    for one in operators:
        touched = {one.source, one.kernel} & set(scales)
        if touched and not _can_widen(graph, one):
            before, after = (
                np.abs(one.values / (_scale(graph, one.source, new) * _scale(graph, one.kernel, new))).max(initial=0)
                for new in ({}, scales)
            )
            if after > max(before, LARGEST_BIAS):
                found |= touched
    return found


def _scale(graph: Graph, index: int, new: Mapping[int, float]) -> np.ndarray:
    return np.array([new[index]]) if index in new else _scales(graph, index)


def _can_widen(graph: Graph, one: Biased) -> bool:
    """Whether the kernel is a constant with a scale per channel that only operators with a bias read."""
    if graph.constant(one.kernel) is None or len(_scales(graph, one.kernel)) != len(one.values):
        return False
    return all(
        graph.name(reader) in BIASED and _input(reader, BIASED[graph.name(reader)][2]) != OMITTED
        for reader in graph.consumers()[one.kernel]
    )


def make_room(graph: Graph, operators: Sequence[Biased], changed: set[int]) -> set[int]:
    """Widens the scales of kernels where a bias would have too many steps: beside it, the channel's weights are next to nothing.

    Args:
        graph: with its new scales.
        operators: of `biased_operators`, with the biases of before.
        changed: tensors with new scales.

    Returns:
        The kernels that were widened.
    """
    widened = set[int]()
    for one in operators:
        if one.source in changed and _can_widen(graph, one):
            before = _scales(graph, one.kernel)
            after = np.maximum(before, np.abs(one.values) / (_scales(graph, one.source) * LARGEST_BIAS)).astype(np.float32)
            if (after > before).any():
                _widen(graph, one.kernel, before, after)
                widened.add(one.kernel)
    return widened


def _widen(graph: Graph, index: int, before: np.ndarray, after: np.ndarray) -> None:
    """Rounds a kernel anew, to other scales of its channels."""
    tensor, stored = graph.tensors[index], graph.constant(index)
    if stored is None:
        return
    old, made = tensor.quantization, new_table("QuantizationParameters")
    along = [-1 if axis == old.quantizedDimension else 1 for axis in range(stored.ndim)]
    tensor.buffer = graph.add_buffer(np.round(stored * (before / after).reshape(along)).astype(stored.dtype))
    vars(made).update(vars(old))
    made.scale, made.min, made.max = after, None, None
    tensor.quantization = made


def rescale_bias(graph: Graph, one: Biased) -> None:
    """Gives an operator's bias the steps of the scales that input and kernel have now."""
    scales = (_scales(graph, one.source).astype(np.float32) * _scales(graph, one.kernel).astype(np.float32)).astype(np.float32)
    old = graph.tensors[_input(one.operator, one.position)].quantization
    limits = np.iinfo(np.int32)
    steps = np.clip(np.round(one.values / scales.astype(np.float64)), limits.min, limits.max)
    tensor = graph.replace_constant(one.operator, one.position, steps.astype(np.int32))
    parameters = new_table("QuantizationParameters")
    parameters.scale, parameters.zeroPoint = scales, np.zeros(len(scales), np.int64)
    parameters.quantizedDimension = old.quantizedDimension
    tensor.quantization = parameters
