"""Keras 3 models as tf_keras models, proved to compute the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edgecompress.backend import keras, keras_3
from edgecompress.errors import ModelError
from edgecompress.models.agreement import check_equal
from edgecompress.models.copying import set_weights
from edgecompress.models.keras3.layers import translate_layer
from edgecompress.models.keras3.operations import translate_operation
from edgecompress.models.rebuild import rebuild


def translate(model: Any) -> tuple[keras.Model, float]:
    """A tf_keras model with the graph and the weights of a Keras 3 model; nested models are made flat.

    Args:
        model: a Functional or Sequential Keras 3 model with a known input shape; it is not changed.

    Returns:
        The model, and the largest difference of outputs on random inputs, see `agreement.check_equal`.

    Raises:
        ModelError: a layer, operation or keyword that Keras 2 does not have, or outputs that differ.
    """
    pairs: list[tuple[Any, Any]] = []

    def make(layer: Any, name: str) -> Callable[..., Any]:
        if not isinstance(layer, keras_3().layers.Layer):
            return translate_operation(layer, name)
        new, call = translate_layer(layer, name)
        if new is not None:
            pairs.append((layer, new))
        return call

    translated = rebuild(model, make)
    for layer, new in pairs:
        _set_weights(layer, new)
    return translated, check_equal(model, translated, "translation from Keras 3")


def _set_weights(layer: Any, new: Any) -> None:
    """Gives a tf_keras layer the weights of a Keras 3 layer, which has them in the same order."""
    weights = [np.asarray(weight) for weight in layer.get_weights()]
    if type(new).__name__ == "Normalization" and len(weights) == len(new.weights) - 1:
        weights.append(np.zeros((), np.int64))  # the number of samples that it was adapted to
    received, expected = [weight.shape for weight in weights], [tuple(weight.shape) for weight in new.weights]
    if received != expected and sorted(received) == sorted(expected) and len(set(received)) == len(received):
        weights = [weights[received.index(shape)] for shape in expected]  # SpectralNormalization counts them in another order
    elif received != expected:
        raise ModelError(f"weights of {layer.name!r} must have the shapes {expected}. Received: {received}")
    set_weights(new, weights)
