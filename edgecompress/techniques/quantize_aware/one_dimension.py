"""Rules that lift layers of one dimension to two, and the layers that work on either form along with them."""

from typing import Any

import numpy as np

from edgecompress.backend import keras
from edgecompress.techniques.quantize_aware.rewrite import IMAGE_RANK, Call, Graph, like

layers = keras.layers

IMAGE_LAYERS = {
    "SpatialDropout1D": layers.SpatialDropout2D, "GlobalAveragePooling1D": layers.GlobalAveragePooling2D,
    "GlobalMaxPooling1D": layers.GlobalMaxPooling2D,
}  # fmt: skip
"""Layers with the same settings in one and two dimensions."""


def convolution(call: Call, graph: Graph) -> Any:
    """Conv1D as Conv2D, Conv1DTranspose as Conv2DTranspose; a causal one pads in a layer of its own."""
    if call.layer.data_format != "channels_last":
        return None
    config = call.layer.get_config()
    image = graph.lift(call.inputs[0])
    if config["padding"] == "causal":
        image = _pad_causally(graph, image, config)
    changes = {name: _widen(config[name], 1) for name in ("kernel_size", "strides", "dilation_rate")}
    if config.get("output_padding") is not None:
        changes["output_padding"] = _widen(config["output_padding"], 0)
    return _as_image_layer(call, graph, image, {**changes, "padding": _padding(config)})


def depthwise_convolution(call: Call, graph: Graph) -> Any:
    """DepthwiseConv1D and SeparableConv1D in two dimensions. TensorFlow wants equal strides, which change nothing along a height of 1."""
    if call.layer.data_format != "channels_last":
        return None
    config = call.layer.get_config()
    image = graph.lift(call.inputs[0])
    if config["padding"] == "causal":
        image = _pad_causally(graph, image, config)
    stride = config["strides"][0]
    changes = {name: _widen(config[name], 1) for name in ("kernel_size", "dilation_rate")}
    return _as_image_layer(call, graph, image, {**changes, "strides": (stride, stride), "padding": _padding(config)})


def _as_image_layer(call: Call, graph: Graph, image: Any, changes: dict[str, Any]) -> Any:
    """The layer of two dimensions with the same name, its kernels one row high."""
    kind = getattr(layers, type(call.layer).__name__.replace("1D", "2D"))
    weights = [values[np.newaxis] if values.ndim == 3 else values for values in call.weights]  # kernels: [length, ..., ...]
    for variable, values in zip(call.layer.weights, weights, strict=True):
        weight = variable.name.split("/")[-1].split(":")[0]
        if values.ndim == 4:
            graph.moved(weight, call.layer.name, weight, values)
    graph.note(f"as {kind.__name__}")
    return graph.put(like(call.layer, kind, **changes), image, weights=weights)


def _pad_causally(graph: Graph, image: Any, config: dict[str, Any]) -> Any:
    """Zeros before the first step, so many that no output sees a later step."""
    num_steps = config["dilation_rate"][0] * (config["kernel_size"][0] - 1)
    return graph.put(layers.ZeroPadding2D(((0, 0), (num_steps, 0)), name=graph.name("padding")), image)


def _padding(config: dict[str, Any]) -> str:
    return "valid" if config["padding"] == "causal" else str(config["padding"])


def _widen(value: Any, height: int) -> tuple[int, int]:
    """A setting of one dimension as one of two: height first."""
    return (height, value[0] if isinstance(value, list | tuple) else value)


def pooling(call: Call, graph: Graph) -> Any:
    """MaxPooling1D and AveragePooling1D in two dimensions."""
    config = call.layer.get_config()
    if config["data_format"] != "channels_last":
        return None
    kind = getattr(layers, type(call.layer).__name__.replace("1D", "2D"))
    graph.note(f"as {kind.__name__}")
    changes = {name: _widen(config[name], 1) for name in ("pool_size", "strides")}
    return graph.put(like(call.layer, kind, **changes), graph.lift(call.inputs[0]))


def lifted_along(call: Call, graph: Graph) -> Any:
    """A layer that has its counterpart in two dimensions takes the lifted tensor, where there is one already."""
    name = type(call.layer).__name__
    if graph.is_shared or not (call.is_lifted or name == "UpSampling1D"):  # which repeats steps by cutting and joining
        return None
    config = call.layer.get_config()
    if config.get("data_format", "channels_last") != "channels_last":
        return None
    changes: dict[str, Any] = {}
    if name == "ZeroPadding1D":
        changes["padding"] = ((0, 0), _ends(config["padding"]))
    elif name == "Cropping1D":
        changes["cropping"] = ((0, 0), _ends(config["cropping"]))
    elif name == "UpSampling1D":
        changes["size"] = (1, config["size"])
    kind = IMAGE_LAYERS.get(name) or getattr(layers, name.replace("1D", "2D"))
    graph.note(f"as {kind.__name__}")
    return graph.put(like(call.layer, kind, **changes), graph.lift(call.inputs[0]))


def _ends(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)


def elementwise(call: Call, graph: Graph) -> Any:
    """A layer that works on every value alone, or on all channels, takes lifted tensors as they are."""
    if not call.is_lifted or not call.can_be_lifted or graph.is_shared or getattr(call.layer, "noise_shape", None) is not None:
        return None
    changes: dict[str, Any] = {}
    if "axis" in (config := call.layer.get_config()):
        axis = config["axis"] if isinstance(config["axis"], int) else config["axis"][0]
        changes["axis"] = (axis - call.ranks[0] if axis >= 0 else axis) + IMAGE_RANK
    return graph.put(like(call.layer, **changes), *(graph.lift(tensor) for tensor in call.inputs))
