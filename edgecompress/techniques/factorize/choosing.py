"""Which layers of a model a method works on, and why it does not on the others."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from edgecompress.backend import keras
from edgecompress.graph.kernel_weights import KERNEL_WEIGHTS, named_variable
from edgecompress.models.rebuild import Call, calls_of
from edgecompress.stage import LayerRecord
from edgecompress.techniques.chosen_layers import choose_layers
from edgecompress.techniques.factorize.arrays import Array
from edgecompress.techniques.factorize.candidate import Candidate
from edgecompress.techniques.factorize.methods import METHODS, Link


def choose_candidates(
    model: keras.Model, method: str, layers: Sequence[str], skip: Sequence[str]
) -> tuple[list[Candidate], list[LayerRecord]]:
    """The chosen layers that a method takes, and a record for each other layer with weights.

    Args:
        model: Functional or Sequential, without models in it.
        method: of METHODS.
        layers: patterns; empty: every layer that the method takes.
        skip: patterns of layers to leave alone.

    Raises:
        RecipeError: a pattern that matches no layer, or one of `layers` that matches none that the method takes.
        ModelError: nothing is left to work on.
    """
    calls: dict[str, list[Call]] = {}
    for call in calls_of(model):
        calls.setdefault(call.layer.name, []).append(call)
    takes = f"{method} takes {', '.join(METHODS[method].layers)}"
    chosen, records = choose_layers(model, layers, skip, lambda layer: _why_not(layer, calls.get(layer.name, []), method), takes)
    return [_candidate(layer, calls[layer.name], method) for layer in chosen], records


def _why_not(layer: keras.layers.Layer, calls: Sequence[Call], method: str) -> str | None:
    """Why a method does not take a layer; None if it does."""
    kind, takes = type(layer).__name__, METHODS[method]
    if kind not in takes.layers:
        return f"{method} does not take {kind}"
    if kind.startswith("Conv") and layer.data_format != "channels_last":
        return "channels must be its last axis"
    if getattr(layer, "kernel_constraint", None) or getattr(layer, "embeddings_constraint", None):
        return "its factors would not keep the constraint on its kernel"
    if not takes.takes(_kernel(layer).shape):
        return f"{method} takes {takes.demand}"
    if not np.isfinite(_kernel(layer)).all():
        return "its kernel holds numbers that are not finite"
    lengths = [length for call in calls for tensor in (call.args[0], call.outputs[0]) for length in tensor.shape[1:]]
    return None if lengths and None not in lengths else "the shape of its input is not fixed"


def _kernel(layer: keras.layers.Layer) -> Array:
    return np.asarray(named_variable(layer, KERNEL_WEIGHTS[type(layer).__name__][0].name))


def _candidate(layer: keras.layers.Layer, calls: Sequence[Call], method: str) -> Candidate:
    """The layer, and the positions at which it and the links in its place compute, over all its calls."""
    links = METHODS[method].links
    of_links = [sum(positions) for positions in zip(*(_link_positions(layer, call, links) for call in calls), strict=True)]
    after = sum(prod(call.outputs[0].shape[1:-1]) for call in calls)
    is_lookup = type(layer).__name__ == "Embedding"
    return Candidate(
        layer=layer, method=METHODS[method], kernel=_kernel(layer), groups=getattr(layer, "groups", 1),
        input_shape=tuple(calls[0].args[0].shape[1:]),
        positions=0 if is_lookup else after, link_positions=(0, *of_links[1:]) if is_lookup else tuple(of_links),
    )  # fmt: skip


def _link_positions(layer: keras.layers.Layer, call: Call, links: Sequence[Link]) -> list[int]:
    """Output positions of each link: an axis has the length after the convolution from the link on that covers it."""
    after = call.outputs[0].shape[1:-1]
    before = call.args[0].shape[1:-1] if type(layer).__name__.startswith("Conv") else after
    covered: set[int] = set()
    positions = []
    for link in links:
        covered |= set(link.axes)
        positions.append(prod(after[axis] if axis in covered else before[axis] for axis in range(len(after))))
    return positions
