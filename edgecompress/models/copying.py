"""Copies of models, so that no stage ever changes the model that it was given."""

from collections.abc import Callable

import numpy as np

from edgecompress.backend import keras, model_optimization


def copy_model(model: keras.Model) -> keras.Model:
    """A model of its own with the same graph, names and weights; TF-MOT's quantization wrappers are copied too."""
    with model_optimization().quantization.keras.quantize_scope():
        copy = keras.models.clone_model(model)
    copy_weights(model, copy)
    return copy


def copy_weights(layer: keras.layers.Layer, copy: keras.layers.Layer) -> None:
    """Gives `copy`, a model or layer, the weights of `layer`, which has the same in the same order."""
    set_weights(copy, layer.get_weights())


def set_weights(layer: keras.layers.Layer, weights: list[np.ndarray]) -> None:
    """Sets the weights of a model or layer. Normalization computes with constants that it makes of them, so they are made again."""
    layer.set_weights(weights)
    for part in layer._flatten_layers():
        part.finalize_state()


def with_layers_wrapped(model: keras.Model, wrap: Callable[[keras.layers.Layer], keras.layers.Layer]) -> keras.Model:
    """A copy of `model` in which each layer is replaced by `wrap(layer)`; `wrap` may return the layer as it is.

    The layers that `wrap` gets are built and hold their weights, which TF-MOT's clustering reads when it wraps.
    """
    return keras.models.clone_model(copy_model(model), clone_function=wrap)
