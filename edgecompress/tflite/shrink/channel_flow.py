"""One walk through a graph that follows its channels: kernels, element-wise operators, pooling, padding, concatenation, reshapes."""

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from math import lcm
from typing import Any

import numpy as np

from edgecompress.tflite.shrink.channel_values import binary_result, spatial_result, unary_result
from edgecompress.tflite.shrink.channels import Channels, Follower
from edgecompress.tflite.shrink.graph import OMITTED, Graph, integers, options_of
from edgecompress.tflite.shrink.kernels import Kernel, read_kernel, read_step

MAX_PERIOD = 1 << 20  # of a reshape's pattern of channels

# Takes an operator into account; returns the inputs that it followed, None if it did not understand.
Handler = Callable[[Channels, Any, str], list[int] | None]


def follow_channels(graph: Graph) -> Channels:
    """What is known of the channels of a graph. What is not understood keeps all of its channels."""
    channels = Channels(graph)
    writers = Counter(index for operator in graph.operators for index in integers(operator.outputs))
    for index in channels.sizes:
        if index not in writers:
            channels.blocked[index] = "no operator"
    once = {index for index, count in writers.items() if count == 1} - set(graph.inputs)
    for operator in graph.operators:
        _follow(channels, operator, once)
    for words, indices in (("an input", graph.inputs), ("an output", graph.outputs)):
        for index in indices:
            channels.blocked[index] = words
    return channels


def _follow(channels: Channels, operator: Any, once: Collection[int]) -> None:
    """One operator, if nothing but it writes its result."""
    name = channels.graph.name(operator)
    inputs, outputs = integers(operator.inputs), integers(operator.outputs)
    followed = None
    if len(outputs) == 1 and outputs[0] in channels.sizes and outputs[0] in once and inputs:
        if (kernel := read_kernel(channels.graph, operator)) is not None:
            followed = _follow_kernel(channels, kernel)
        elif name in HANDLERS:
            followed = HANDLERS[name](channels, operator, name)
    for index in (*inputs, *outputs) if followed is None else set(inputs) - set(followed):
        channels.blocked.setdefault(index, name)


def _follow_kernel(channels: Channels, kernel: Kernel) -> list[int] | None:
    if kernel.data not in channels.sizes or not channels.has_room(kernel.num_outputs * (2 if kernel.is_depthwise else 1)):
        return None
    channels.kernels.append(kernel)
    sure, values = kernel.constant_results(*channels.known(kernel.data))
    numbers = _equal_outputs(channels, kernel)
    numbers[sure] = [channels.constant(value) for value in values[sure]]
    channels.numbers[kernel.result] = numbers
    if kernel.is_depthwise:
        channels.couple(kernel.data, kernel.channels, kernel.result, np.arange(kernel.num_outputs))
    return [kernel.data]


def _equal_outputs(channels: Channels, kernel: Kernel) -> np.ndarray:
    """One number for outputs with equal weights, bias and scale that read the same."""
    read = channels.numbers[kernel.data][kernel.channels]
    facts = np.empty((kernel.num_outputs, 4), np.int64)
    facts[:, 0] = _bits(kernel.bias)
    facts[:, 1] = _bits(np.broadcast_to(kernel.multipliers, kernel.num_outputs))
    facts[:, 2] = read if kernel.is_depthwise else 0
    facts[:, 3] = np.arange(kernel.num_outputs) < kernel.num_grouped
    return channels.number_rows(_digests(row.tobytes() + fact.tobytes() for row, fact in zip(kernel.weights, facts, strict=True)))


def _bits(values: np.ndarray) -> np.ndarray:
    """Numbers as int64 that are equal where these are."""
    return values if values.dtype.kind == "i" else (values.astype(np.float64) + 0.0).view(np.int64)  # + 0.0: no minus before zero


def _digests(rows: Iterable[bytes]) -> np.ndarray:
    """32 bytes in the place of each row: they themselves would be the file once more."""
    found = bytearray()
    for row in rows:
        found += hashlib.sha256(row).digest()
    return np.frombuffer(found, "S32")  # zeros at an end are no matter where all are as long


def _unary(channels: Channels, operator: Any, name: str) -> list[int] | None:
    """Element by element."""
    source, result = integers(operator.inputs)[0], integers(operator.outputs)[0]
    tensors = channels.graph.tensors
    if source not in channels.sizes or channels.sizes[source] != channels.sizes[result] or not channels.has_room(channels.sizes[result]):
        return None
    channels.couple_all(source, result)
    compute = unary_result(name, read_step(tensors[source]), read_step(tensors[result]))
    channels.combine(operator, result, [channels.numbers[source]], compute)
    return [source]


def _binary(channels: Channels, operator: Any, name: str) -> list[int] | None:
    """Element by element, of two tensors, one of which may be a constant."""
    inputs, result = integers(operator.inputs), integers(operator.outputs)[0]
    size = channels.sizes[result]
    if len(inputs) != 2 or OMITTED in inputs or not channels.has_room(2 * size):
        return None
    parts = [_operand(channels, index, size) for index in inputs]
    followed = [index for index in inputs if index in channels.sizes]
    if parts[0] is None or parts[1] is None or not followed:
        return None
    for position, index in enumerate(inputs):
        if index in channels.sizes:
            channels.couple_all(index, result)
        elif integers(channels.graph.tensors[index].shape)[-1:] == [size] and size > 1:
            channels.followers.append(Follower(operator, position, result))
    compute = binary_result(channels.graph, operator, name)
    channels.combine(operator, result, [parts[0], parts[1]], compute)
    return followed


def _operand(channels: Channels, index: int, size: int) -> np.ndarray | None:
    """Value numbers [size] of an operand; None if its channels do not match."""
    if index in channels.sizes:
        return channels.numbers[index] if channels.sizes[index] == size else None
    values = channels.graph.constant(index)
    depth = 1 if values is None or not values.ndim else values.shape[-1]
    if values is None or not values.size or depth not in (1, size):
        return None
    rows = values.reshape(-1, depth)
    same = (rows == rows[0]).all(axis=0)
    numbers = np.empty(depth, np.int64)
    numbers[~same] = channels.number_rows(_digests(rows[:, channel].tobytes() for channel in np.flatnonzero(~same)))
    numbers[same] = [channels.constant(value) for value in rows[0, same]]
    return np.resize(numbers, size)


def _spatial(channels: Channels, operator: Any, name: str) -> list[int] | None:
    """Over places, within each channel: pooling, resizing, padding, the mean of rows and columns."""
    inputs, result = integers(operator.inputs), integers(operator.outputs)[0]
    source, tensors = inputs[0], channels.graph.tensors
    if source not in channels.sizes or channels.sizes[source] != channels.sizes[result]:
        return None
    rank = len(integers(tensors[source].shape))
    if (name in ("MEAN", "PAD") and not _leaves_channels(channels.graph, inputs, rank)) or not channels.has_room(channels.sizes[result]):
        return None
    channels.couple_all(source, result)
    compute = spatial_result(name, operator, read_step(tensors[source]), read_step(tensors[result]))
    channels.combine(operator, result, [channels.numbers[source]], compute)
    return [source]


def _leaves_channels(graph: Graph, inputs: list[int], rank: int) -> bool:
    """Whether the axes of a MEAN, or the margins of a PAD, leave the last axis alone."""
    second = graph.constant(inputs[1]) if len(inputs) > 1 else None
    if second is None:
        return False
    if second.ndim == 2:  # [rank, before and after]
        return second.shape == (rank, 2) and not second[-1].any()
    return all(int(axis) % rank != rank - 1 for axis in np.ravel(second))


def _concatenation(channels: Channels, operator: Any, _: str) -> list[int] | None:
    """Along the channels, or along another axis."""
    graph, inputs, result = channels.graph, integers(operator.inputs), integers(operator.outputs)[0]
    options = options_of(operator, "ConcatenationOptions")
    rank = len(integers(graph.tensors[result].shape))
    if OMITTED in inputs or options.fusedActivationFunction or len({_storage(graph, index) for index in (*inputs, result)}) > 1:
        return None
    if options.axis % rank != rank - 1:
        size = channels.sizes[result]
        if any(channels.sizes.get(index) != size for index in inputs) or not channels.has_room(len(inputs) * size):
            return None
        for index in inputs:
            channels.couple_all(index, result)
        parts = [channels.numbers[index] for index in inputs]
        channels.combine(operator, result, parts, lambda values: values[0] if len(set(values)) == 1 else None)
        return inputs
    if not channels.has_room(channels.sizes[result]):
        return None
    parts, start = [], 0
    for position, index in enumerate(inputs):
        size = (integers(graph.tensors[index].shape) or [0])[-1]
        numbers = _operand(channels, index, size) if 0 < size <= channels.sizes[result] - start else None
        if numbers is None:
            return None
        if index in channels.sizes:
            channels.couple(index, np.arange(size), result, np.arange(start, start + size))
        else:
            channels.followers.append(Follower(operator, position, result, start))
        parts.append(numbers)
        start += size
    if start != channels.sizes[result]:
        return None
    channels.numbers[result] = np.concatenate(parts)
    return [index for index in inputs if index in channels.sizes]


def _storage(graph: Graph, index: int) -> Any:
    """Type and step of a tensor, to see whether stored values mean the same."""
    return graph.tensors[index].type, read_step(graph.tensors[index])


def _reshape(channels: Channels, operator: Any, name: str) -> list[int] | None:
    """The same elements with other axes: a channel may become several, or several one."""
    graph, inputs, result = channels.graph, integers(operator.inputs), integers(operator.outputs)[0]
    source = inputs[0]
    if source not in channels.sizes or _storage(graph, source) != _storage(graph, result):
        return None
    size, new_size = channels.sizes[source], channels.sizes[result]
    period = lcm(size, new_size)
    if period > MAX_PERIOD or (name == "RESHAPE" and not _asks_for_a_shape(graph, operator)) or (name != "RESHAPE" and size != new_size):
        return None
    if not channels.has_room(period):
        return None
    if name == "RESHAPE":
        channels.shapes.append(operator)
    steps = np.arange(period)
    channels.couple(source, steps % size, result, steps % new_size)
    if size == new_size:
        channels.numbers[result] = channels.numbers[source]
        return [source]
    read = channels.numbers[source][steps % size].reshape(-1, new_size)  # one row for each time round the new channels
    known, _ = channels.constants(read[0])
    is_constant = known & (read == read[0]).all(axis=0)
    channels.numbers[result] = np.where(is_constant, read[0], channels.new_numbers(new_size))
    return [source]


def _asks_for_a_shape(graph: Graph, operator: Any) -> bool:
    """Whether a RESHAPE has its shape as a constant, or in its options alone, as older converters write it."""
    inputs = integers(operator.inputs)
    if len(inputs) == 1:
        return bool(integers(options_of(operator, "ReshapeOptions").newShape))
    shape = graph.constant(inputs[1])
    return shape is not None and shape.ndim == 1


_FUNCTIONS = """ABS CEIL COS DEQUANTIZE ELU EXP FLOOR GELU HARD_SWISH LEAKY_RELU LOG LOGISTIC NEG QUANTIZE RELU RELU6 RELU_N1_TO_1 ROUND
RSQRT SIN SQRT SQUARE TANH"""
HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(_FUNCTIONS.split(), _unary),
    **dict.fromkeys(("ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE", "PRELU"), _binary),
    **dict.fromkeys(("AVERAGE_POOL_2D", "MAX_POOL_2D", "MEAN", "PAD", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"), _spatial),
    "CONCATENATION": _concatenation,
    **dict.fromkeys(("RESHAPE", "SQUEEZE", "EXPAND_DIMS"), _reshape),
}  # fmt: skip
