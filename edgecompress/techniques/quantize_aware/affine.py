"""Rules for scales and offsets: Rescaling, Normalization, and the BatchNormalization that no convolution precedes.

The runtime has one 8-bit operator that scales and shifts each channel on its own: a depthwise convolution with a kernel of
1 x 1. Its weights are exact in 8 bits, as each channel has a scale of its own: the one weight is 127 steps of it.
"""

from typing import Any

import numpy as np

from edgecompress.backend import keras
from edgecompress.techniques.quantize_aware.rewrite import IMAGE_RANK, Call, Graph, like

layers = keras.layers

FOLDING = ("Conv2D", "DepthwiseConv2D")  # into which the converter folds a BatchNormalization


def rescaling(call: Call, graph: Graph) -> Any:
    """scale * x + offset."""
    config = call.layer.get_config()
    return _affine(call, graph, np.asarray(config["scale"], np.float64), np.asarray(config["offset"], np.float64))


def normalization(call: Call, graph: Graph) -> Any:
    """(x - mean) / deviation, or back, where mean and deviation are of the channels."""
    mean, variance = (np.asarray(value, np.float64) for value in (call.layer.mean, call.layer.variance))
    if any(size != 1 for size in mean.shape[:-1]):
        return None
    mean, deviation = mean.reshape(-1), np.maximum(np.sqrt(variance.reshape(-1)), keras.backend.epsilon())
    if call.layer.invert:
        return _affine(call, graph, deviation, mean)
    return _affine(call, graph, 1 / deviation, -mean / deviation)


def _affine(call: Call, graph: Graph, scale: np.ndarray, offset: np.ndarray) -> Any:
    """scale * x + offset as one layer, together with a scale and offset right before it."""
    (tensor,), (rank,) = call.inputs, call.ranks
    if not tensor.dtype.is_floating:
        return None
    if id(tensor) in graph.affine and graph.is_read_once(tensor) and not graph.is_shared:
        graph.note(f"together with {tensor._keras_history.layer.name}")
        tensor, first_scale, first_offset = graph.affine[id(tensor)]
        scale, offset = scale * first_scale, scale * first_offset + offset
    is_one_step = scale.size == 1 and offset.size == 1 and (scale == 1 or offset == 0)
    if is_one_step:
        output = graph.add(layers.Rescaling(scale.item(), offset.item(), name=call.layer.name), graph.plain(tensor, rank))
    elif call.can_be_lifted and tensor.shape[-1] is not None:
        output = _depthwise(call, graph, graph.lift(tensor), scale, offset)
    else:
        return None
    graph.affine[id(output)] = (tensor, scale, offset)
    return output


def _depthwise(call: Call, graph: Graph, image: Any, scale: np.ndarray, offset: np.ndarray) -> Any:
    """One weight and one bias per channel."""
    num_channels = image.shape[-1]
    weights = [np.broadcast_to(scale, num_channels).reshape(1, 1, num_channels, 1), np.broadcast_to(offset, num_channels)]
    graph.note("as a depthwise convolution of 1 x 1")
    return graph.add(layers.DepthwiseConv2D(1, trainable=False, name=call.layer.name), image, weights=weights)


def batch_normalization(call: Call, graph: Graph) -> Any:
    """A depthwise convolution of 1 x 1 that changes nothing, put before, so that the converter has something to fold into."""
    (tensor,), (rank,) = call.inputs, call.ranks
    axis = call.layer.axis if isinstance(call.layer.axis, int) else call.layer.axis[0]
    if axis not in (-1, rank - 1) or not call.can_be_lifted or graph.is_shared:
        return None
    before = tensor._keras_history.layer
    image = graph.lift(tensor)
    if not (type(before).__name__ in FOLDING and _is_linear(before) and graph.is_read_once(tensor)):
        num_channels = image.shape[-1]
        ones = np.ones((1, 1, num_channels, 1), np.float32)
        identity = layers.DepthwiseConv2D(1, use_bias=False, trainable=False, name=graph.name("identity"))
        graph.note("after a depthwise convolution of 1 x 1 into which it folds")
        image = graph.add(identity, image, weights=[ones])
    return graph.add(like(call.layer, axis=IMAGE_RANK - 1), image, weights=call.weights)


def dense_before_batch_normalization(call: Call, graph: Graph) -> Any:
    """A convolution of 1 x 1: its outputs have a scale each, so that a BatchNormalization folds into it without a loss."""
    reader = type(call.reader).__name__
    if reader not in ("BatchNormalization", "SyncBatchNormalization") or not call.can_be_lifted:
        return None
    if graph.is_shared or not _is_linear(call.layer):
        return None
    config, (kernel, *bias) = call.layer.get_config(), call.weights
    shared = {key: value for key, value in config.items() if key not in ("units", "batch_input_shape")}
    values = kernel[np.newaxis, np.newaxis]
    graph.note("as a convolution of 1 x 1")
    graph.moved("kernel", call.layer.name, "kernel", values)
    convolution = layers.Conv2D.from_config({**shared, "filters": config["units"], "kernel_size": 1})
    return graph.add(convolution, graph.lift(call.inputs[0]), weights=[values, *bias])


def _is_linear(layer: keras.layers.Layer) -> bool:
    return layer.activation is keras.activations.linear
