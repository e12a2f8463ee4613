"""Which activations work on each value alone, so that channels can come and go beside each other."""

from typing import Any

FUNCTIONS = frozenset({
    "linear", "relu", "relu6", "leaky_relu", "elu", "selu", "softplus", "softsign", "swish", "silu", "gelu",
    "tanh", "sigmoid", "hard_sigmoid", "exponential", "mish",
})  # fmt: skip
LAYERS = frozenset({"ReLU", "LeakyReLU", "ELU", "ThresholdedReLU"})


def is_elementwise(activation: Any) -> bool:
    """Whether a Keras activation (a function, or a layer in its place) is known to work on each value alone."""
    if type(activation).__name__ in LAYERS:
        return True
    return getattr(activation, "__name__", None) in FUNCTIONS and getattr(activation, "__module__", "").startswith("tf_keras.")
