"""A model with other layers in the place of some: what factorizing, replacing and merging layers have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecompress.backend import keras
from edgecompress.models.copying import copy_weights, set_weights
from edgecompress.models.rebuild import rebuild

Weights = list[npt.NDArray[Any]]


@dataclass(frozen=True)
class Part:
    """What stands in the place of a layer.

    Attributes:
        call: new layers, called one after the other or side by side: gets the layer's input tensor and gives its output.
        weights: each of the new layers that has weights, with their values in Keras' order.
    """

    call: Callable[[Any], Any]
    weights: list[tuple[keras.layers.Layer, Weights]]


def chain(*links: tuple[keras.layers.Layer, Weights]) -> Part:
    """Layers that are called one after the other; none at all hand their input on."""

    def call(tensor: Any) -> Any:
        for layer, _ in links:
            tensor = layer(tensor)
        return tensor

    return Part(call, list(links))


def replace_layers(model: keras.Model, parts: Mapping[str, Part]) -> keras.Model:
    """A copy of `model` with parts in the place of layers; everything else keeps its names, settings and weights.

    Args:
        model: Functional or Sequential, without models in it; not changed.
        parts: name of a layer to what takes its place, at each call of the layer.
    """
    copies: list[tuple[keras.layers.Layer, keras.layers.Layer]] = []

    def make(layer: keras.layers.Layer, name: str) -> Callable[..., Any]:
        if name in parts:
            return lambda tensor, **_: parts[name].call(tensor)  # without what only the old layer knew, such as `training`
        copies.append((layer, type(layer).from_config({**layer.get_config(), "name": name})))
        return copies[-1][1]

    replaced = rebuild(model, make)
    for layer, copy in copies:
        copy_weights(layer, copy)
        copy.trainable = layer.trainable
    for part in parts.values():
        for layer, weights in part.weights:
            set_weights(layer, [np.asarray(values, np.float32) for values in weights])
    return replaced


def alone(part: Part, *input_shapes: tuple[int, ...]) -> keras.Model:
    """A model of a part by itself.

    Args:
        part: its layers are then part of this model; make others for another one.
        input_shapes: of one sample.
    """
    inputs = [keras.Input(shape) for shape in input_shapes]
    model = keras.Model(inputs, part.call(*inputs))
    for layer, weights in part.weights:
        set_weights(layer, [np.asarray(values, np.float32) for values in weights])
    return model
