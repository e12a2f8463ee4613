"""Cuts channels out of a graph: kernels, biases, scales, constants, shapes. What they stood for goes into biases and other channels."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgecompress.tflite.schema_fields import new_table
from edgecompress.tflite.shrink.channels import Channels
from edgecompress.tflite.shrink.graph import OMITTED, Graph, integers, options_of
from edgecompress.tflite.shrink.kernels import Kernel

KERNEL, BIAS = 1, 2  # positions among a kernel's inputs

Keep = Mapping[int, np.ndarray]  # tensor -> bool [channels]
Merges = Mapping[int, Mapping[int, int]]  # tensor -> channel that goes -> channel whose value is the same


def cut_channels(channels: Channels, keep: Keep, merges: Merges) -> None:
    """Takes channels out of the graph.

    Args:
        channels: of the graph as it is now.
        keep: for every tensor of `channels`. What is coupled is kept or cut together, and kernels absorb what is cut.
        merges: channels that go because another one is equal, and not because they are constant or not needed.
    """
    for kernel in channels.kernels:
        _cut_kernel(channels, kernel, keep, {} if kernel.is_depthwise else merges.get(kernel.data, {}))
    for follower in channels.followers:
        values = channels.graph.constant(integers(follower.operator.inputs)[follower.position])
        if values is not None:
            kept = keep[follower.tensor][follower.start : follower.start + values.shape[-1]]
            if not kept.all():
                _replace(channels.graph, follower.operator, follower.position, values[..., kept], None)
    for operator in channels.shapes:
        _cut_shape(channels.graph, operator, keep)
    for index, kept in keep.items():
        if not kept.all():
            tensor, count = channels.graph.tensors[index], int(kept.sum())
            tensor.shape = [*integers(tensor.shape)[:-1], count]
            if tensor.shapeSignature is not None:
                tensor.shapeSignature = [*integers(tensor.shapeSignature)[:-1], count]


def _cut_kernel(channels: Channels, kernel: Kernel, keep: Keep, merges: Mapping[int, int]) -> None:
    """One convolution or fully connected operator."""
    rows, kept_channels = keep[kernel.result], keep[kernel.data]
    columns = np.ones(kernel.weights.shape[2], bool) if kernel.is_depthwise else kept_channels[kernel.channels]
    graph, operator = channels.graph, kernel.operator
    if not columns.all():
        added = _added(channels, kernel, ~kept_channels, merges)
        if added.any() or (kernel.bias.any() and not rows.all()):
            _write_bias(graph, kernel, (kernel.bias + added)[rows], rows)
        elif not rows.all():
            _cut_bias(graph, kernel, rows)
    elif not rows.all():
        _cut_bias(graph, kernel, rows)
    if not (rows.all() and columns.all()):
        values = _merged(kernel, merges)[np.ix_(rows, np.ones(kernel.weights.shape[1], bool), columns)]
        _replace(graph, operator, KERNEL, _as_stored(graph.name(operator), kernel.raw, values), rows)


def _added(channels: Channels, kernel: Kernel, cut: np.ndarray, merges: Mapping[int, int]) -> np.ndarray:
    """What the constants among the cut channels add to every output, [outputs]."""
    known, values = channels.known(kernel.data)
    folded = cut & known
    folded[list(merges)] = False
    offsets = np.where(folded, kernel.offsets(values), 0)[kernel.channels]
    added = np.concatenate([part.terms(offsets).sum(axis=1) for part in kernel.parts()])
    return added if kernel.raw.dtype.kind == "f" else np.rint(added).astype(np.int64)


def _merged(kernel: Kernel, merges: Mapping[int, int]) -> np.ndarray:
    """The weights, with those of merged channels added to those of the channels that stay."""
    if not merges:
        return kernel.weights
    values = kernel.weights.copy()
    for gone, stays in merges.items():
        values[:, :, kernel.channels == stays] += kernel.weights[:, :, kernel.channels == gone] - kernel.weights.dtype.type(
            kernel.zero_point
        )
    return values


def _as_stored(name: str, raw: np.ndarray, values: np.ndarray) -> np.ndarray:
    """[outputs, taps, columns] in the order of the file."""
    if name == "FULLY_CONNECTED":
        return values[:, 0, :]
    if name == "DEPTHWISE_CONV_2D":
        return values[:, :, 0].T.reshape(1, *raw.shape[1:3], -1)
    return values.reshape(values.shape[0], *raw.shape[1:3], -1)


def _cut_bias(graph: Graph, kernel: Kernel, rows: np.ndarray) -> None:
    """The bias, if there is one, for the outputs that stay."""
    inputs = integers(kernel.operator.inputs)
    if len(inputs) > BIAS and inputs[BIAS] != OMITTED:
        _write_bias(graph, kernel, kernel.bias[rows], rows)


def _write_bias(graph: Graph, kernel: Kernel, bias: np.ndarray, rows: np.ndarray) -> None:
    """A new bias; where there was none, in the type that goes with the operator's other types."""
    inputs = integers(kernel.operator.inputs)
    if len(inputs) > BIAS and inputs[BIAS] != OMITTED:
        before = graph.constant(inputs[BIAS])
        _replace(graph, kernel.operator, BIAS, bias.astype(before.dtype if before is not None else bias.dtype), rows)
        return
    if kernel.step is None:
        index = graph.add_constant(bias.astype(np.float32), schema.TensorType.FLOAT32)
    else:
        is_wide = graph.tensors[kernel.data].type == schema.TensorType.INT16
        index = graph.add_constant(
            bias.astype(np.int64 if is_wide else np.int32), schema.TensorType.INT64 if is_wide else schema.TensorType.INT32
        )
        result_scale = kernel.result_step.scale if kernel.result_step else 1.0
        scales = (kernel.multipliers * result_scale).astype(np.float32)
        scales = scales if len(scales) == 1 else scales[rows]
        parameters = graph.tensors[index].quantization = new_table("QuantizationParameters")
        parameters.scale, parameters.zeroPoint = scales, np.zeros(len(scales), np.int64)
    graph.set_input(kernel.operator, BIAS, index)


def _replace(graph: Graph, operator: Any, position: int, values: np.ndarray, rows: np.ndarray | None) -> None:
    """Other values for a constant, and the scales of the outputs that stay."""
    tensor = graph.replace_constant(operator, position, values)
    parameters = tensor.quantization
    if rows is None or parameters is None:
        return
    made = tensor.quantization = new_table("QuantizationParameters")
    vars(made).update(vars(parameters))
    for attribute in ("min", "max", "scale", "zeroPoint"):
        vector = getattr(parameters, attribute)
        if vector is not None and len(vector) == len(rows) > 1:
            setattr(made, attribute, np.asarray(vector)[rows])


def _cut_shape(graph: Graph, operator: Any, keep: Keep) -> None:
    """The shape that a RESHAPE asks for, in its second input, its options or both."""
    kept, inputs = keep[integers(operator.outputs)[0]], integers(operator.inputs)
    if kept.all():
        return
    shape = graph.constant(inputs[1]) if len(inputs) > 1 else None
    if shape is not None and shape.size and shape[-1] != -1:
        _replace(graph, operator, 1, np.append(shape[:-1], kept.sum()).astype(shape.dtype), None)
    options = options_of(operator, "ReshapeOptions")
    if options.newShape is not None and len(options.newShape) and options.newShape[-1] != -1:
        options.newShape = [*integers(options.newShape)[:-1], int(kept.sum())]
