"""The layers in the place of one: from its settings and its factors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgecompress.backend import keras
from edgecompress.models.replacing import Part, Weights, chain
from edgecompress.techniques.factorize.arrays import Array, Factors
from edgecompress.techniques.factorize.methods import Link, Method

OF_THE_LAST = ("activation", "use_bias", "bias_initializer", "bias_regularizer", "bias_constraint", "activity_regularizer")


def factor_chain(layer: keras.layers.Layer, method: Method, factors: Factors, name: Callable[[str], str]) -> Part:
    """Layers that compute together what `layer` would with the kernel of the factors.

    The last one has the layer's name, bias and activation; stride and dilation are where the kernel's axis is.

    Args:
        layer: built; Dense, Embedding, Conv1D or Conv2D.
        method: that the factors are of.
        factors: kernels, groups side by side.
        name: the ending of a link to its layer's name.
    """
    links: list[tuple[keras.layers.Layer, Weights]] = []
    for link, factor in zip(method.links, factors, strict=True):
        is_last = link is method.links[-1]
        make = {"Dense": _dense, "Embedding": _embedding}.get(type(layer).__name__, _convolution)
        made = make(layer, link, factor, layer.name if is_last else name(link.ending), is_last)
        has_bias = is_last and getattr(layer, "use_bias", False)
        links.append((made, [factor, *([layer.bias.numpy()] if has_bias else [])]))
    return chain(*links)


def _settings(layer: keras.layers.Layer, name: str, is_last: bool) -> dict[str, Any]:
    """Settings of a link that it has from the layer."""
    config = layer.get_config()
    kept = {key: config[key] for key in ("dtype", "trainable", "kernel_initializer", "kernel_regularizer") if key in config}
    last = {key: config[key] for key in OF_THE_LAST if key in config} if is_last else {"use_bias": False}
    return {**kept, **last, "name": name}


def _dense(layer: keras.layers.Layer, link: Link, factor: Array, name: str, is_last: bool) -> keras.layers.Layer:
    return keras.layers.Dense.from_config({**_settings(layer, name, is_last), "units": factor.shape[-1]})


def _embedding(layer: keras.layers.Layer, link: Link, factor: Array, name: str, is_last: bool) -> keras.layers.Layer:
    """A narrow table, then a Dense from its rows to those of the wide one."""
    if is_last:
        return keras.layers.Dense(
            factor.shape[-1], use_bias=False, activity_regularizer=layer.activity_regularizer, trainable=layer.trainable,
            dtype=layer.get_config()["dtype"], name=name,
        )  # fmt: skip
    config = {key: value for key, value in layer.get_config().items() if key not in ("activity_regularizer", "batch_input_shape")}
    return keras.layers.Embedding.from_config({**config, "output_dim": factor.shape[-1], "name": name})


def _convolution(layer: keras.layers.Layer, link: Link, factor: Array, name: str, is_last: bool) -> keras.layers.Layer:
    config = layer.get_config()
    settings = _settings(layer, name, is_last)
    for key in ("strides", "dilation_rate"):
        settings[key] = tuple(value if axis in link.axes else 1 for axis, value in enumerate(config[key]))
    settings |= {"kernel_size": factor.shape[:-2], "padding": config["padding"]}
    if not link.is_depthwise:
        return type(layer).from_config({**settings, "filters": factor.shape[-1], "groups": config["groups"]})
    settings["depthwise_regularizer"] = settings.pop("kernel_regularizer")
    settings["depthwise_initializer"] = settings.pop("kernel_initializer")
    return keras.layers.DepthwiseConv2D.from_config(settings)
