"""Rules for TensorFlow operators in a functional model (TFOpLambda): a Keras layer for each that one computes exactly.

Such operators are what `x * 2` or `tf.nn.relu6(x)` leave in a model. MobileNetV3 is full of them.
"""

from typing import Any

import numpy as np

from edgecompress.backend import keras
from edgecompress.techniques.quantize_aware.rewrite import Call, Graph

layers = keras.layers

ACTIVATIONS = {
    "nn.relu": "relu", "nn.relu6": "relu6", "nn.silu": "swish", "nn.swish": "swish", "nn.gelu": "gelu", "nn.softmax": "softmax",
    "nn.sigmoid": "sigmoid", "math.sigmoid": "sigmoid", "nn.tanh": "tanh", "math.tanh": "tanh", "math.exp": "exponential",
}  # fmt: skip
"""Functions of one tensor, without further arguments -> the activation."""

SUMS = ("__operators__.add", "math.add")
DIFFERENCES = ("__operators__.sub", "math.subtract")
PRODUCTS = ("__operators__.mul", "math.multiply")
QUOTIENTS = ("__operators__.truediv", "math.divide", "math.truediv")
MERGES = {
    **dict.fromkeys(SUMS, layers.Add), **dict.fromkeys(DIFFERENCES, layers.Subtract), **dict.fromkeys(PRODUCTS, layers.Multiply),
    "math.maximum": layers.Maximum, "math.minimum": layers.Minimum,
}  # fmt: skip


def operator_as_layer(call: Call, graph: Graph) -> Any:
    """The Keras layer that computes the same, where there is one."""
    layer = _layer(call.layer.symbol, call, [operand for operand in call.operands if operand is not None and not isinstance(operand, str)])
    if layer is None:
        return None
    graph.note(f"as {type(layer).__name__}")
    return graph.put(layer, *(graph.plain(tensor, rank) for tensor, rank in zip(call.inputs, call.ranks, strict=True)))


def _layer(symbol: str, call: Call, operands: list[Any]) -> keras.layers.Layer | None:
    """The layer for an operator with these operands; None where there is none."""
    name, num_tensors = call.layer.name, len(call.inputs)
    if symbol in ACTIVATIONS and len(operands) == 1:
        activation = ACTIVATIONS[symbol]
        return layers.ReLU(6.0, name=name) if activation == "relu6" else layers.Activation(activation, name=name)
    if symbol == "math.negative":
        return layers.Rescaling(-1.0, name=name)
    if symbol == "math.reduce_mean":
        return _mean(call, operands)
    if symbol == "concat" and num_tensors > 1 and isinstance(operands[-1], int):
        return layers.Concatenate(operands[-1], name=name)
    if symbol in MERGES and len(operands) == 2 and num_tensors == 2 and call.ranks[0] == call.ranks[1]:
        return MERGES[symbol](name=name)
    if len(operands) == 2 and num_tensors == 1:
        return _with_constant(symbol, *(_constant(operand) for operand in operands), name=name)
    return None


def _constant(operand: Any) -> Any:
    """A constant as a number, or as a list of one per channel; None for a tensor of the graph and for other arrays."""
    return None if hasattr(operand, "_keras_history") or np.ndim(operand) > 1 else np.asarray(operand, np.float64).tolist()


def _with_constant(symbol: str, left: Any, right: Any, *, name: str) -> keras.layers.Layer | None:
    """`tensor + constant` and its kind as a Rescaling."""
    is_reversed, constant = left is not None, right if left is None else left
    if constant is None:
        return None
    if symbol in SUMS:
        return layers.Rescaling(1.0, constant, name=name)
    if symbol in DIFFERENCES:
        return (
            layers.Rescaling(-1.0, constant, name=name) if is_reversed else layers.Rescaling(1.0, np.negative(constant).tolist(), name=name)
        )
    if symbol in PRODUCTS:
        return layers.Rescaling(constant, name=name)
    if symbol in QUOTIENTS and not is_reversed and np.all(constant):
        return layers.Rescaling(np.divide(1.0, constant).tolist(), name=name)
    return None


def _mean(call: Call, operands: list[Any]) -> keras.layers.Layer | None:
    """A mean over height and width of an image."""
    axes = operands[1] if len(operands) > 1 else None
    if call.ranks != [4] or not isinstance(axes, list | tuple) or sorted(axis % 4 for axis in axes) != [1, 2]:
        return None
    return layers.GlobalAveragePooling2D(keepdims=True in operands[2:], name=call.layer.name)
