"""Rules for TensorFlow operators in a functional model (TFOpLambda): a Keras layer for each that one computes exactly.

Such operators are what `x * 2` or `tf.nn.relu6(x)` leave in a model. MobileNetV3 is full of them.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from edgecompress.backend import keras
from edgecompress.techniques.quantize_aware.rewrite import Call, Graph

layers = keras.layers

FUNCTIONS: dict[str, Callable[[str], keras.layers.Layer]] = {
    "nn.relu": lambda name: layers.ReLU(name=name),
    "nn.relu6": lambda name: layers.ReLU(6.0, name=name),
    "nn.silu": lambda name: layers.Activation("swish", name=name),
    "nn.swish": lambda name: layers.Activation("swish", name=name),
    "nn.sigmoid": lambda name: layers.Activation("sigmoid", name=name),
    "math.sigmoid": lambda name: layers.Activation("sigmoid", name=name),
    "nn.tanh": lambda name: layers.Activation("tanh", name=name),
    "math.tanh": lambda name: layers.Activation("tanh", name=name),
    "math.exp": lambda name: layers.Activation("exponential", name=name),
}
"""Functions of one tensor and nothing else."""

SUMS = ("__operators__.add", "__operators__.radd", "math.add")
DIFFERENCES = ("__operators__.sub", "math.subtract")
PRODUCTS = ("__operators__.mul", "__operators__.rmul", "math.multiply")
QUOTIENTS = ("__operators__.truediv", "math.divide", "math.truediv")
EXTREMES = {"math.maximum": layers.Maximum, "math.minimum": layers.Minimum}


def operator_as_layer(call: Call, graph: Graph) -> Any:
    """The Keras layer that computes the same, where there is one."""
    symbol, name = call.layer.symbol, call.layer.name
    operands = [operand for operand in call.operands if operand is not None and not isinstance(operand, str)]
    layer = None
    if len(operands) == 1 and symbol in FUNCTIONS:
        layer = FUNCTIONS[symbol](name)
    elif len(operands) == 2 and len(call.inputs) == 1:
        layer = _with_number(symbol, operands, name)
    elif len(operands) == 2 and len(call.inputs) == 2 and call.ranks[0] == call.ranks[1]:
        layer = _of_two_tensors(symbol, name)
    elif symbol == "math.reduce_mean":
        layer = _mean(call, name)
    if layer is None:
        return None
    graph.note(f"as {type(layer).__name__}")
    inputs = [graph.plain(tensor, rank) for tensor, rank in zip(call.inputs, call.ranks, strict=True)]
    return graph.put(layer, *inputs)


def _with_number(symbol: str, operands: list[Any], name: str) -> keras.layers.Layer | None:
    """`tensor + number` and its kind as a Rescaling."""
    is_first = not isinstance(operands[0], int | float | np.number)
    number = operands[1] if is_first else operands[0]
    if not isinstance(number, int | float | np.number):
        return None
    number = float(number)
    if symbol in SUMS:
        return layers.Rescaling(1.0, number, name=name)
    if symbol in DIFFERENCES:
        return layers.Rescaling(1.0, -number, name=name) if is_first else layers.Rescaling(-1.0, number, name=name)
    if symbol in PRODUCTS:
        return layers.Rescaling(number, name=name)
    if symbol in QUOTIENTS and is_first and number != 0:
        return layers.Rescaling(1.0 / number, name=name)
    return None


def _of_two_tensors(symbol: str, name: str) -> keras.layers.Layer | None:
    if symbol in SUMS:
        return layers.Add(name=name)
    if symbol in DIFFERENCES:
        return layers.Subtract(name=name)
    if symbol in PRODUCTS:
        return layers.Multiply(name=name)
    return EXTREMES[symbol](name=name) if symbol in EXTREMES else None


def _mean(call: Call, name: str) -> keras.layers.Layer | None:
    """A mean over height and width of an image."""
    _, axes, *keeps = call.operands
    if call.ranks != [4] or not isinstance(axes, list | tuple) or sorted(axis % 4 for axis in axes) != [1, 2]:
        return None
    return layers.GlobalAveragePooling2D(keepdims=any(keep is True for keep in keeps), name=name)
