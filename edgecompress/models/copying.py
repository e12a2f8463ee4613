"""Copies of models, so that no stage ever changes the model that it was given."""

from collections.abc import Callable

from edgecompress.backend import keras, model_optimization


def copy_model(model: keras.Model) -> keras.Model:
    """A model of its own with the same graph, names and weights; TF-MOT's quantization wrappers are copied too."""
    with model_optimization().quantization.keras.quantize_scope():
        copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy


def with_layers_wrapped(model: keras.Model, wrap: Callable[[keras.layers.Layer], keras.layers.Layer]) -> keras.Model:
    """A copy of `model` in which each layer is replaced by `wrap(layer)`; `wrap` may return the layer as it is.

    The layers that `wrap` gets are built and hold their weights, which TF-MOT's clustering reads when it wraps.
    """
    return keras.models.clone_model(copy_model(model), clone_function=wrap)
