"""The layers of a block, from the settings of the convolution in whose place it stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from edgecompress.backend import keras
from edgecompress.models.replacing import Part, Weights, chain
from edgecompress.techniques.replace_convolutions.fire import num_squeezed, num_wide

GEOMETRY = ("strides", "padding", "dilation_rate")
OF_THE_KERNEL = ("kernel_initializer", "kernel_regularizer", "trainable", "dtype")
OF_THE_BIAS = ("bias_initializer", "bias_regularizer", "bias_constraint")

Name = Callable[[str], str]
"""The ending of a layer's name to the name."""


def separable(layer: keras.layers.Layer, weights: Sequence[Weights], name: Name) -> Part:
    """Depthwise with the geometry, then pointwise with bias and activation, which has the layer's name.

    Args:
        layer: Conv2D.
        weights: of both layers.
        name: for the first one.
    """
    config = layer.get_config()
    depthwise = keras.layers.DepthwiseConv2D(
        config["kernel_size"], use_bias=False, depthwise_initializer=config["kernel_initializer"],
        depthwise_regularizer=config["kernel_regularizer"], trainable=config["trainable"], dtype=config["dtype"], name=name("_depthwise"),
        **_chosen(config, GEOMETRY),
    )  # fmt: skip
    pointwise = keras.layers.Conv2D(
        config["filters"], 1, name=config["name"],
        **_chosen(config, (*OF_THE_KERNEL, "use_bias", *OF_THE_BIAS, "activation", "activity_regularizer")),
    )  # fmt: skip
    return chain(*zip((depthwise, pointwise), weights, strict=True))


def fire(layer: keras.layers.Layer, weights: Sequence[Weights], name: Name) -> Part:
    """Squeeze with ReLU, then two expansions side by side; the last layer has the layer's name.

    The expansions have biases whether the layer has one or not: they make up for the squeeze's.

    Args:
        layer: Conv2D with the padding same.
        weights: of squeeze, 1 x 1 and k x k expansion.
        name: for the others.
    """
    config = layer.get_config()
    wide = num_wide(config["filters"])
    kernel, bias = _chosen(config, OF_THE_KERNEL), _chosen(config, OF_THE_BIAS)
    squeeze = keras.layers.Conv2D(weights[0][0].shape[-1], 1, activation="relu", name=name("_squeeze"), **kernel)
    geometry = _chosen(config, GEOMETRY)
    narrow = keras.layers.Conv2D(
        config["filters"] - wide, 1, strides=geometry["strides"], name=name("_expand_point"), **kernel, **bias
    )  # fmt: skip
    whole = keras.layers.Conv2D(wide, config["kernel_size"], name=name("_expand"), **kernel, **bias, **geometry)
    is_linear = config["activation"] == "linear"
    join = keras.layers.Concatenate(name=config["name"] if is_linear else name("_join"))
    activation = None if is_linear else keras.layers.Activation(config["activation"], name=config["name"])

    def call(tensor: Any) -> Any:
        squeezed = squeeze(tensor)
        joined = join([narrow(squeezed), whole(squeezed)])
        return joined if activation is None else activation(joined)

    return Part(call, list(zip((squeeze, narrow, whole), weights, strict=True)))


BLOCKS = {"separable": separable, "fire": fire}


def _chosen(config: dict[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    return {key: config[key] for key in keys}


def weight_shapes(layer: keras.layers.Layer, method: str, squeeze: float) -> list[list[tuple[int, ...]]]:
    """Shapes of the weights of the block's layers.

    Args:
        layer: Conv2D.
        method: of BLOCKS.
        squeeze: of a fire block, see the Config.
    """
    height, width, num_inputs, num_outputs = layer.kernel.shape
    if method == "separable":
        return [[(height, width, num_inputs, 1)], [(1, 1, num_inputs, num_outputs), *([(num_outputs,)] if layer.use_bias else [])]]
    number, wide = num_squeezed(layer.kernel.shape, squeeze), num_wide(num_outputs)
    narrow = num_outputs - wide
    return [[(1, 1, num_inputs, number), (number,)], [(1, 1, number, narrow), (narrow,)], [(height, width, number, wide), (wide,)]]
