"""Which layers with kernels follow each other with nothing between that a factor per channel could not pass."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal, get_args

from edgecompress.backend import keras, tf
from edgecompress.models.rebuild import Call, calls_of
from edgecompress.techniques.merge_linear.linear import TRANSPOSED
from edgecompress.techniques.merge_linear.merging import LINEAR

Kind = Literal["linear", "relu", "relu6"]

KERNELS = LINEAR - TRANSPOSED
CAPPED = 6.0  # ReLU6
_PASSED = frozenset({
    "Dropout", "SpatialDropout1D", "SpatialDropout2D", "MaxPooling1D", "MaxPooling2D", "AveragePooling1D", "AveragePooling2D",
    "GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalMaxPooling1D", "GlobalMaxPooling2D", "Flatten", "Reshape",
    "ZeroPadding1D", "ZeroPadding2D",
})  # fmt: skip  # positive factors per channel pass them, as channels lie on the last axis


@dataclass(frozen=True, eq=False)
class Succession:
    """A layer and the one layer that reads it.

    Attributes:
        first, second: the layers.
        activation: symbolic tensor behind the activation of `first`, [b, ..., channels].
        kind: of that activation: linear, relu or relu6.
        activated_by: name of the layer that holds it.
        between: classes of the layers between that activation and `second`.
        pads: whether `second` may also see zeros that `first` did not give.
    """

    first: keras.layers.Layer
    second: keras.layers.Layer
    activation: Any
    kind: Kind
    activated_by: str
    between: tuple[str, ...]
    pads: bool

    @property
    def num_channels(self) -> int:
        return int(self.activation.shape[-1])


def find_successions(model: keras.Model, chosen: set[str]) -> tuple[list[Succession], dict[str, str]]:
    """The successions in a model, in its order.

    Args:
        model: Functional or Sequential, without models in it.
        chosen: names of the layers that may change; both layers of a succession must.

    Returns:
        The successions, and for each other layer with a kernel why nothing of the kind follows it.
    """
    walk = _Walk(model)
    found, reasons = [], {}
    for call in walk.calls:
        if type(call.layer).__name__ not in KERNELS:
            continue
        followed = walk.follow(call)
        if not isinstance(followed, str):
            unchosen = [layer.name for layer in (followed.first, followed.second) if layer.name not in chosen]
            followed = f"{unchosen[0]} is not chosen by `layers` and `skip`" if unchosen else followed
        if isinstance(followed, str):
            reasons[call.layer.name] = followed
        else:
            found.append(followed)
    return found, reasons


class _Walk:
    """The calls of a model, and who reads what."""

    def __init__(self, model: keras.Model) -> None:
        self.calls = list(calls_of(model))
        self._num_calls = Counter(call.layer.name for call in self.calls)
        self._given = {id(tensor) for tensor in model.outputs}
        self._readers: dict[int, list[Call]] = {}
        for call in self.calls:
            for tensor in tf.nest.flatten([call.args, call.kwargs]):
                self._readers.setdefault(id(tensor), []).append(call)

    def follow(self, call: Call) -> Succession | str:
        """The succession that starts with a call; or why there is none."""
        first = call.layer
        if reason := self._why_not(first):
            return reason
        kind = _activation(first)
        if kind is None:
            return "its activation is no ReLU"
        tensor = behind = call.outputs[0]
        activated_by, between = first.name, list[str]()
        while True:
            readers = self._readers.get(id(tensor), [])
            if id(tensor) in self._given or len(readers) != 1:
                return "what it gives is an output of the model, or read in several places"
            layer, name = readers[0].layer, type(readers[0].layer).__name__
            if name in KERNELS:
                reason = self._why_not(layer)
                pads = _pads(layer) or any("Padding" in passed for passed in between)
                return Succession(first, layer, behind, kind, activated_by, tuple(between), pads) if reason is None else reason
            activation = _activation(layer) if name in ("ReLU", "Activation") else "linear" if name in _PASSED else None
            tensor = readers[0].outputs[0]
            if activation is None or self._num_calls[layer.name] > 1 or _splits_channels(behind, tensor):
                return f"{layer.name} ({name}) reads it"
            if activation == "linear":
                between.append(name)
            elif kind != "linear" or between:
                return f"{layer.name} is a second activation, or stands behind other layers"
            else:
                kind, activated_by, behind = activation, layer.name, tensor

    def _why_not(self, layer: keras.layers.Layer) -> str | None:
        """Why the weights of a layer cannot be scaled; None if they can."""
        if self._num_calls[layer.name] > 1:
            return f"{layer.name} is called several times"
        if any(getattr(layer, name, None) for name in ("kernel_constraint", "depthwise_constraint", "bias_constraint")):
            return f"{layer.name} has a constraint"
        if getattr(layer, "data_format", "channels_last") != "channels_last":
            return f"{layer.name} has its channels not on the last axis"
        return f"{layer.name} has groups" if getattr(layer, "groups", 1) > 1 and not is_depthwise(layer) else None


def _splits_channels(behind: Any, tensor: Any) -> bool:
    """Whether the last axis of a tensor does not count through whole sets of channels."""
    return tensor.shape[-1] is None or bool(tensor.shape[-1] % behind.shape[-1])


def _activation(layer: keras.layers.Layer) -> Kind | None:
    """linear, relu or relu6; None for all others."""
    if type(layer).__name__ == "ReLU":
        if layer.threshold or layer.negative_slope or layer.max_value not in (None, CAPPED):
            return None
        return "relu6" if layer.max_value else "relu"
    name = getattr(layer.activation, "__name__", None)
    return name if name in get_args(Kind) else None


def _pads(layer: keras.layers.Layer) -> bool:
    return getattr(layer, "padding", "valid") != "valid" and max(layer.kernel_size) > 1


def is_depthwise(layer: keras.layers.Layer) -> bool:
    """Whether the outputs of a layer's kernel lie on its last two axes, [..., in, multiplier]."""
    return "Depthwise" in type(layer).__name__
