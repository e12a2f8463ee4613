"""One layer of Keras 3 as tf_keras has it: the configuration, as plain data."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

from edgecompress.backend import OWN_LAYERS, keras, keras_3
from edgecompress.errors import ModelError
from edgecompress.models.keras3.activations import COMPOSED

COMMON = {"name", "trainable", "dtype", "zero_output_for_mask"}  # the last one by **kwargs of recurrent layers
RENAMED = {("LeakyReLU", "negative_slope"): "alpha"}
# Keywords that change nothing of what an inference computes, or say what is the only way of tf_keras.
WITHOUT_EFFECT = {"seed", "autocast", "use_cudnn", "flash_attention", "bounding_box_format"}
THE_ONLY_WAY = {"data_format": "channels_last"}
ABSENT = object()
# Layers whose activation is the last thing that they do.
ENDING_IN_ACTIVATION = {
    "Activation", "Dense", "EinsumDense", "Conv1D", "Conv2D", "Conv3D", "Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose",
    "DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D",
}  # fmt: skip


def translate_layer(layer: Any, name: str) -> tuple[Any, Callable[..., Any]]:
    """The tf_keras layer for a Keras 3 layer, and what to call: the layer itself, or it and an activation made of layers.

    There is no layer for an Activation that is made of layers.

    Raises:
        ModelError: tf_keras has no such layer, or not what a keyword asks of it.
    """
    kind, config = type(layer).__name__, layer.get_config() | {"name": name}
    activation = _activation_name(config.get("activation"))
    if kind not in ENDING_IN_ACTIVATION or activation not in COMPOSED:
        new = _make(kind, config)
        return new, new
    if kind == "Activation":
        return None, COMPOSED[activation](name)
    new = _make(kind, config | {"activation": "linear"})
    activate = COMPOSED[activation](f"{name}_{activation}")
    return new, lambda *args, **kwargs: activate(new(*args, **kwargs))


def _make(class_name: str, config: dict[str, Any]) -> Any:
    kind, translated = _layer_class(class_name), _translate_config(class_name, config)
    # Its from_config asks for shapes that only a built layer of its own has.
    return kind(**translated) if kind is keras.layers.MultiHeadAttention else kind.from_config(translated)


def _layer_class(name: str) -> Any:
    """The class of tf_keras with the name of a Keras 3 class; None if there is none."""
    found = OWN_LAYERS.get(name) or getattr(keras.layers, name, None)
    return found if isinstance(found, type) else None


def _translate_config(class_name: str, config: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a Keras 3 layer for the tf_keras class of the same name.

    Initializers are dropped, the weights are there. A keyword that tf_keras does not know is dropped where it has the value
    that it has by default, or one without effect.
    """
    kind = _layer_class(class_name)
    if kind is None:
        raise ModelError(f"layers must be ones that Keras 2 has too. Received: {class_name} of Keras 3 in {config.get('name')!r}")
    translated: dict[str, Any] = {}
    for key, value in config.items():
        key = RENAMED.get((class_name, key), key)
        if key.endswith("_initializer"):
            continue
        if key == "dtype":
            translated[key] = _policy_name(value, config)
        elif key.endswith("activation"):
            translated[key] = _check_activation(value, class_name, config)
        elif key in _keywords(kind):
            translated[key] = _translate_value(value)
        elif not _is_dispensable(class_name, key, value):
            raise ModelError(f"{class_name} must not use {key}, which Keras 2 does not have. Received: {value!r} in {config.get('name')!r}")
    return translated


def _activation_name(activation: Any) -> str:
    """The name of an activation, whatever form a configuration gives it."""
    return str(activation["config"] if isinstance(activation, dict) and activation.get("class_name") == "function" else activation)


def _check_activation(activation: Any, class_name: str, config: dict[str, Any]) -> Any:
    """The activation for tf_keras; raises ModelError for one that would have to be made of layers, where none can stand."""
    name = _activation_name(activation)
    if name in COMPOSED:
        raise ModelError(f"activation in {class_name} must be one that Keras 2 has too. Received: {name} in {config.get('name')!r}")
    return _translate_value(activation)


@cache
def _keywords(kind: Any) -> frozenset[str]:
    """The keywords that a tf_keras class takes."""
    return frozenset(COMMON | set(inspect.signature(kind.__init__).parameters))


def _translate_value(value: Any) -> Any:
    """Layers inside layers (the cell of an RNN, the layer of a wrapper) are translated too; everything else has one form."""
    if isinstance(value, list | tuple):
        return [_translate_value(part) for part in value]
    if not isinstance(value, dict) or "class_name" not in value:
        return value
    if value["class_name"] == "function":  # an activation
        return value["config"]
    if isinstance(value.get("config"), dict) and _layer_class(str(value["class_name"])) is not None:
        return {"class_name": value["class_name"], "config": _translate_config(value["class_name"], value["config"])}
    return value


def _policy_name(policy: Any, config: dict[str, Any]) -> str:
    """The dtype policy by name."""
    if isinstance(policy, dict):
        if policy.get("class_name") != "DTypePolicy":
            raise ModelError(f"weights must not be quantized yet. Received: {policy.get('class_name')} in {config.get('name')!r}")
        policy = policy["config"]["name"]
    return str(policy)


def _is_dispensable(class_name: str, key: str, value: Any) -> bool:
    """Whether a layer without the keyword computes the same."""
    is_off = value is None or value is False
    return is_off or key in WITHOUT_EFFECT or THE_ONLY_WAY.get(key, ABSENT) == value or value == _default(class_name, key)


@cache
def _default(class_name: str, key: str) -> Any:
    """The value that Keras 3 gives a keyword by itself."""
    kinds: Any = getattr(keras_3().layers, class_name, object).__mro__
    for kind in kinds:
        parameter = inspect.signature(kind.__init__).parameters.get(key)
        if parameter is not None and parameter.default is not inspect.Parameter.empty:
            return parameter.default
    return ABSENT
