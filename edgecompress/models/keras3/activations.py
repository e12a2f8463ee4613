"""Activations that tf_keras does not have, or computes differently, made of layers as tf_keras.applications makes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgecompress.backend import keras
from edgecompress.models.keras3.operations import function_layer


def hard_sigmoid(name: str) -> Callable[[Any], Any]:
    """relu6(x + 3) / 6; what tf_keras calls hard_sigmoid is clip(0.2 x + 0.5, 0, 1)."""
    add, scale = function_layer("__operators__.add", f"{name}_add"), function_layer("math.multiply", name)
    relu6 = keras.layers.ReLU(6.0, name=f"{name}_relu6")
    return lambda x: scale(relu6(add(x, 3.0)), 1 / 6)


def hard_silu(name: str) -> Callable[[Any], Any]:
    """x relu6(x + 3) / 6, also called hard_swish."""
    sigmoid, multiply = hard_sigmoid(f"{name}_hard_sigmoid"), keras.layers.Multiply(name=name)
    return lambda x: multiply([x, sigmoid(x)])


COMPOSED: dict[str, Callable[[str], Callable[[Any], Any]]] = {
    "hard_sigmoid": hard_sigmoid, "hard_silu": hard_silu, "hard_swish": hard_silu,
}  # fmt: skip
