"""Hard swish, x relu6(x + 3) / 6, as models without an own layer for it spell it: in the two ways that the converter knows."""

from __future__ import annotations

import math
from collections.abc import Iterator

from edgecompress.backend import keras
from edgecompress.techniques.quantize_aware.roles import is_relu6
from edgecompress.techniques.quantize_aware.wiring import Wiring


def hard_swish_parts(wiring: Wiring) -> Iterator[list[str]]:
    """For each hard swish the layers inside it; the last one, which gives its output, is not among them.

    Source: MatchHardSwishPattern1 and 2 in tensorflow/compiler/mlir/lite/transforms/optimize_patterns.td.
    """
    for name, layer in wiring.layers.items():
        parts = None
        if type(layer).__name__ == "Multiply" and len(wiring.producers[name]) == 2:
            value, scaled = wiring.producers[name]
            parts = _scaled_gate(wiring, scaled, value) or _scaled_gate(wiring, value, scaled)
        elif _is_rescaling(layer, 1 / 6, 0):
            parts = _product(wiring, wiring.only_producer(name))
        if parts is not None:
            yield parts


def _scaled_gate(wiring: Wiring, name: str, value: str) -> list[str] | None:
    """The layers of relu6(value + 3) / 6, if `name` gives that."""
    if not _is_rescaling(wiring.layers[name], 1 / 6, 0) or not _is_used_once(wiring, name):
        return None
    gate = _gate(wiring, wiring.only_producer(name), value)
    return None if gate is None else [*gate, name]


def _product(wiring: Wiring, name: str | None) -> list[str] | None:
    """The layers of value * relu6(value + 3), if `name` gives that. The converter wants the factors in this order."""
    if name is None or type(wiring.layers[name]).__name__ != "Multiply" or not _is_used_once(wiring, name):
        return None
    if len(wiring.producers[name]) != 2:
        return None
    gate = _gate(wiring, wiring.producers[name][1], wiring.producers[name][0])
    return None if gate is None else [*gate, name]


def _gate(wiring: Wiring, name: str | None, value: str) -> list[str] | None:
    """The layers of relu6(value + 3), if `name` gives that."""
    if name is None or not is_relu6(wiring.layers[name]) or not _is_used_once(wiring, name):
        return None
    shift = wiring.only_producer(name)
    if shift is None or not _is_rescaling(wiring.layers[shift], 1, 3) or not _is_used_once(wiring, shift):
        return None
    return [shift, name] if wiring.only_producer(shift) == value else None


def _is_used_once(wiring: Wiring, name: str) -> bool:
    return wiring.only_reader(name) is not None and len(wiring.producers[name]) >= 1


def _is_rescaling(layer: keras.layers.Layer, scale: float, offset: float) -> bool:
    """Whether a layer is scale * x + offset with these numbers, to float32 rounding."""
    if type(layer).__name__ != "Rescaling" or not isinstance(layer.scale, int | float) or not isinstance(layer.offset, int | float):
        return False
    return math.isclose(layer.scale, scale, rel_tol=1e-6) and math.isclose(layer.offset, offset, rel_tol=1e-6, abs_tol=1e-6)
