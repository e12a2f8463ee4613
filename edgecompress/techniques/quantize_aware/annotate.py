"""Where fake-quantization stands in a model: once on every value that the runtime holds in 8 bits, and nowhere else.

TensorFlow Lite computes one operator in one go: a convolution with its BatchNormalization and ReLU has one 8-bit output.
Layers that only move values have no range of their own, softmax and its kind a range that the runtime fixes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgecompress.backend import keras
from edgecompress.techniques.quantize_aware.affine import FOLDING
from edgecompress.techniques.quantize_aware.hard_swish import hard_swish_parts
from edgecompress.techniques.quantize_aware.roles import Role, is_fused_relu, is_lstm, role_of, ties_scales
from edgecompress.techniques.quantize_aware.splits import activation_name
from edgecompress.techniques.quantize_aware.wiring import Wiring

BATCH_NORMALIZATIONS = ("BatchNormalization", "SyncBatchNormalization")


@dataclass(frozen=True)
class Annotation:
    """What is done to one layer.

    Attributes:
        role: see `Role`.
        reason: why a float layer stays float; "" for others.
        quantizes_output: whether fake-quantization stands on its output.
    """

    role: Role
    reason: str
    quantizes_output: bool


def annotate(model: keras.Model, skipped: Mapping[str, str]) -> dict[str, Annotation]:
    """Decides for each layer; an input only has an output.

    Args:
        model: rewritten by the rules, so that it holds layers which 8 bits can compute, where that is possible.
        skipped: layers that stay float, with the reason.
    """
    wiring = Wiring.of(model)
    of_lstm = _sharing_scale_with_lstm(wiring)
    roles: dict[str, tuple[Role, str]] = {}
    for name, layer in wiring.layers.items():
        roles[name] = (Role.FLOAT, skipped[name]) if name in skipped else _role(layer, wiring, roles, of_lstm)
    for parts in hard_swish_parts(wiring):
        if all(roles[name][0] is not Role.FLOAT for name in parts):
            roles.update(dict.fromkeys(parts, (Role.INNER, "")))
    return {
        name: Annotation(role, reason, name not in of_lstm and _quantizes_output(name, wiring, roles))
        for name, (role, reason) in roles.items()
    }


def _sharing_scale_with_lstm(wiring: Wiring) -> set[str]:
    """Layers whose output has the scale of an LSTM's, as nothing but moves and joins stands between.

    Fake-quantization on any of them would reach the LSTM, and the converter fails on an LSTM whose input and output have ranges.
    """
    found = {name for name, layer in wiring.layers.items() if is_lstm(layer)}
    ties = [{name, *wiring.producers[name]} for name, layer in wiring.layers.items() if ties_scales(layer)]
    while joined := [tie for tie in ties if not tie.isdisjoint(found) and not tie <= found]:
        found.update(*joined)
    return found


def _role(layer: keras.layers.Layer, wiring: Wiring, roles: Mapping[str, tuple[Role, str]], of_lstm: set[str]) -> tuple[Role, str]:
    """The role of a layer among others, and why it is float if it is."""
    kind, producers = type(layer).__name__, wiring.producers[layer.name]
    if kind == "InputLayer":
        return Role.INPUT, ""
    if kind in BATCH_NORMALIZATIONS:
        return _batch_normalization_role(layer.name, wiring, roles)
    role, reason = role_of(layer)
    if ties_scales(layer) and layer.name in of_lstm:
        return Role.FLOAT, "it passes on what an LSTM gives, which stays float"
    if role is Role.MOVES and all(roles[producer][0] is Role.FLOAT for producer in producers):
        return Role.FLOAT, "it moves float values"
    return role, reason


def _batch_normalization_role(name: str, wiring: Wiring, roles: Mapping[str, tuple[Role, str]]) -> tuple[Role, str]:
    """Folded, if the one layer before it is a linear convolution that nothing else reads."""
    before = wiring.only_producer(name)
    if before is None or type(wiring.layers[before]).__name__ not in FOLDING:
        return Role.FLOAT, "no convolution of its own stands before it, into which it could fold"
    if activation_name(wiring.layers[before]) != "linear" or wiring.only_reader(before) is None:
        return Role.FLOAT, f"it cannot fold into {before}, whose output is used as it is too"
    if roles[before][0] is Role.FLOAT:
        return Role.FLOAT, f"its statistics belong to {before}, which stays float"
    return Role.FOLDED, ""


def _quantizes_output(name: str, wiring: Wiring, roles: Mapping[str, tuple[Role, str]]) -> bool:
    """Whether the values that a layer gives are held in 8 bits with a range that the training must find."""
    role, readers = roles[name][0], wiring.readers[name]
    if role is Role.INPUT:
        return wiring.layers[name].dtype.startswith("float") and any(
            reader is None or type(wiring.layers[reader]).__name__ != "Embedding" for reader in readers
        )
    if role is Role.FLOAT:
        return any(reader is None or roles[reader][0] is not Role.FLOAT for reader in readers)
    if role in (Role.MOVES, Role.FIXED, Role.INNER):
        return False
    reader = wiring.only_reader(name)
    if reader is None:
        return True
    if roles[reader][0] is Role.FOLDED or (is_fused_relu(wiring.layers[reader]) and _fuses(name, wiring, roles)):
        return roles[reader][0] is Role.FLOAT
    return not _ends_in_concatenate(reader, wiring, roles)


def _fuses(name: str, wiring: Wiring, roles: Mapping[str, tuple[Role, str]]) -> bool:
    """Whether the operator of a layer can apply a ReLU itself."""
    layer = wiring.layers[name]
    if roles[name][0] is Role.WEIGHTS:
        return activation_name(layer) == "linear"
    return roles[name][0] is Role.FOLDED or type(layer).__name__ in ("Add", "Rescaling")


def _ends_in_concatenate(name: str | None, wiring: Wiring, roles: Mapping[str, tuple[Role, str]]) -> bool:
    """Whether values go, unchanged and nowhere else, into a Concatenate: its range is theirs then, and they are rounded once."""
    while name is not None and roles[name][0] is Role.MOVES:
        name = wiring.only_reader(name)
    return name is not None and type(wiring.layers[name]).__name__ == "Concatenate" and roles[name][0] is Role.OUTPUT
