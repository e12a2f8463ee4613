"""Keras 3's operations (`keras.ops`) as TensorFlow's functions, in layers that tf_keras saves and loads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from edgecompress.backend import keras
from edgecompress.errors import ModelError


@dataclass(frozen=True)
class Function:
    """A function of TensorFlow by its name below `tf.`.

    Attributes:
        name: as a TFOpLambda stores it.
        options: attribute of the operation -> keyword of the function.
    """

    name: str
    options: Mapping[str, str] = field(default_factory=dict)


def _plain(name: str, *operations: str) -> dict[str, Function]:
    return {operation: Function(name) for operation in operations}


def _reduction(name: str, *operations: str) -> dict[str, Function]:
    return {operation: Function(name, {"axis": "axis", "keepdims": "keepdims"}) for operation in operations}


SLICE = "GetItem"
OPERATIONS: dict[str, Function] = {
    **_plain("math.add", "Add"), **_plain("math.subtract", "Subtract"), **_plain("math.multiply", "Multiply"),
    **_plain("math.divide", "Divide", "TrueDivide"), **_plain("math.pow", "Power"),
    **_plain("math.maximum", "Maximum"), **_plain("math.minimum", "Minimum"), **_plain("linalg.matmul", "Matmul"),
    **_plain("math.equal", "Equal"), **_plain("math.not_equal", "NotEqual"),
    **_plain("math.negative", "Negative"), **_plain("math.abs", "Absolute"), **_plain("math.sign", "Sign"),
    **_plain("math.square", "Square"), **_plain("math.sqrt", "Sqrt"), **_plain("math.rsqrt", "Rsqrt"),
    **_plain("math.reciprocal", "Reciprocal"), **_plain("math.exp", "Exp"), **_plain("math.expm1", "Expm1"),
    **_plain("math.log", "Log"), **_plain("math.log1p", "Log1p"), **_plain("math.sin", "Sin"), **_plain("math.cos", "Cos"),
    **_plain("math.floor", "Floor"), **_plain("math.ceil", "Ceil"), **_plain("math.erf", "Erf"),
    **_reduction("math.reduce_mean", "Mean"), **_reduction("math.reduce_sum", "Sum"), **_reduction("math.reduce_prod", "Prod"),
    **_reduction("math.reduce_max", "Max", "Amax"), **_reduction("math.reduce_min", "Min", "Amin"),
    **_reduction("math.reduce_variance", "Var"), **_reduction("math.reduce_std", "Std"),
    "Reshape": Function("reshape", {"newshape": "shape"}), "Transpose": Function("transpose", {"axes": "perm"}),
    "Concatenate": Function("concat", {"axis": "axis"}), "Stack": Function("stack", {"axis": "axis"}),
    "ExpandDims": Function("expand_dims", {"axis": "axis"}), "Squeeze": Function("squeeze", {"axis": "axis"}),
    "Clip": Function("clip_by_value", {"x_min": "clip_value_min", "x_max": "clip_value_max"}), "Cast": Function("cast", {"dtype": "dtype"}),
    **_plain("nn.relu", "Relu"), **_plain("nn.relu6", "Relu6"), **_plain("math.sigmoid", "Sigmoid"), **_plain("math.tanh", "Tanh"),
    **_plain("nn.silu", "Silu"), **_plain("nn.selu", "Selu"), **_plain("math.softplus", "Softplus"), **_plain("math.softsign", "Softsign"),
    "Gelu": Function("nn.gelu", {"approximate": "approximate"}), "LeakyRelu": Function("nn.leaky_relu", {"negative_slope": "alpha"}),
    "Softmax": Function("nn.softmax", {"axis": "axis"}), "LogSoftmax": Function("nn.log_softmax", {"axis": "axis"}),
    **_plain("stop_gradient", "StopGradient"), **_plain("identity", "Copy"), SLICE: Function("__operators__.getitem"),
}  # fmt: skip


def translate_operation(operation: Any, name: str) -> Callable[..., Any]:
    """What to call instead of `operation`.

    Raises:
        ModelError: the operation is not in the table.
    """
    kind = type(operation).__name__
    if kind not in OPERATIONS:
        raise ModelError(f"operations must be among those with a translation from Keras 3. Received: {kind} (keras.ops) in {name!r}")
    function = OPERATIONS[kind]
    if kind == SLICE:
        slicing = function_layer(function.name, name, class_name="SlicingOpLambda")
        return lambda tensor, key: slicing(tensor, _sliceable(key))
    options = {keyword: getattr(operation, attribute) for attribute, keyword in function.options.items()}
    layer = function_layer(function.name, name)
    return lambda *args: layer(*args, **options)


def function_layer(function: str, name: str, *, class_name: str = "TFOpLambda") -> Any:
    """The layer that tf_keras makes of a call of `tf.FUNCTION`, under a name of our own."""
    return keras.layers.deserialize({"class_name": class_name, "config": {"name": name, "function": function}})


def _sliceable(key: Any) -> Any:
    """An index as tf_keras stores it: slices as dictionaries."""
    if isinstance(key, tuple | list):
        return tuple(_sliceable(part) for part in key)
    return {"start": key.start, "stop": key.stop, "step": key.step} if isinstance(key, slice) else key
