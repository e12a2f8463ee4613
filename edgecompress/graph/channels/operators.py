"""Rules of TensorFlow functions in a model (Keras' TFOpLambda), by the function's name below `tf.`."""

from typing import Any

import numpy as np

from edgecompress.graph.channels.merging import concatenated, elementwise
from edgecompress.graph.channels.trace import Call, Channels, NotFollowed, Rule, Tensor, Trace

ELEMENTWISE = frozenset({
    "math.abs", "math.negative", "math.square", "math.sqrt", "math.rsqrt", "math.exp", "math.sigmoid", "math.tanh", "math.softplus",
    "math.softsign", "nn.relu", "nn.relu6", "nn.leaky_relu", "nn.elu", "nn.selu", "nn.silu", "nn.swish", "nn.gelu", "nn.sigmoid",
    "nn.tanh", "nn.softplus", "clip_by_value", "identity", "stop_gradient", "cast",
    "math.add", "math.subtract", "math.multiply", "math.divide", "math.truediv", "math.maximum", "math.minimum", "math.pow",
    "math.squared_difference",
    *(f"__operators__.{side}{name}" for name in ("add", "sub", "mul", "truediv", "pow") for side in ("", "r")), "__operators__.neg",
})  # fmt: skip
REDUCTIONS = frozenset({f"math.reduce_{name}" for name in ("mean", "sum", "max", "min")})


def operator_rule(call: Call) -> Rule:
    """The rule of a call of a function.

    Raises:
        NotFollowed: a function that has none.
    """
    name = function_name(call)
    if name in ELEMENTWISE:
        return _elementwise
    if name in REDUCTIONS:
        return _reduce
    if name == "concat":
        return _concat
    raise NotFollowed(f"tf.{name} is not followed")


def function_name(call: Call) -> str:
    """Such as math.add."""
    return symbol_name(call.layer)


def symbol_name(layer: Any) -> str:
    """The function of a TFOpLambda, such as math.add."""
    return str(getattr(layer, "symbol", None) or layer.get_config()["function"]).removeprefix("tf.")


def _elementwise(trace: Trace, call: Call) -> Tensor:
    """Of one tensor, of several, or of tensors and single numbers."""
    arguments = (*call.args, *call.kwargs.values())
    if any(np.ndim(value) for value in arguments if not hasattr(value, "_keras_history")):
        raise NotFollowed(f"tf.{function_name(call)} with a constant for each channel")
    return elementwise(trace, call)


def _reduce(trace: Trace, call: Call) -> Tensor:
    """Over axes other than that of the channels; it then moves up by as many as are gone below it."""
    axes = _argument(call, 1, "axis")
    reduced = {int(axis) % call.rank for axis in np.atleast_1d(range(call.rank) if axes is None else axes)}
    axis = call.channels.axis
    if axis in reduced:
        raise NotFollowed(f"tf.{function_name(call)} runs over the channels")
    keeps_axes = bool(_argument(call, 2, "keepdims"))
    return Channels(axis if keeps_axes else axis - sum(other < axis for other in reduced), call.channels.numbers)


def _concat(trace: Trace, call: Call) -> Tensor:
    values = _argument(call, 0, "values")
    if len(values) != len(call.inputs):
        raise NotFollowed("tf.concat with a constant")
    return concatenated(trace, call, int(_argument(call, 1, "axis")))


def _argument(call: Call, position: int, name: str) -> Any:
    return call.args[position] if len(call.args) > position else call.kwargs.get(name)
