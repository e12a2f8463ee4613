"""The walk over a model that finds layers which are linear together, and merges them as it goes."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from math import prod

import numpy as np

from edgecompress.backend import keras, tf
from edgecompress.models.rebuild import Call, calls_of
from edgecompress.models.replacing import Part, chain
from edgecompress.stage import LayerRecord
from edgecompress.techniques.merge_linear.linear import TRANSPOSED, Linear, fold_batch_normalization, merge

NORMALIZATION = "BatchNormalization"
LINEAR = frozenset({"Dense", "Conv1D", "Conv2D", "DepthwiseConv2D", "Conv1DTranspose", "Conv2DTranspose"})


@dataclass(frozen=True)
class Costs:
    """Of a layer, or of several."""

    parameters: int
    macs: int

    def __add__(self, other: Costs) -> Costs:
        return Costs(self.parameters + other.parameters, self.macs + other.macs)


@dataclass(eq=False)
class Head:
    """A linear layer with what was merged into it so far.

    Attributes:
        position: the layer of the model in whose place it stands.
        layer: as it is now.
        positions: at which its kernel is applied, for one sample.
        before: costs of all that is in it, as it was.
        holds: the layers that were merged into it.
        is_only_scaled: whether they did no more to its kernel than scale its channels.
    """

    position: str
    layer: Linear
    positions: int
    before: Costs
    holds: list[str] = field(default_factory=list)
    is_only_scaled: bool = True

    @property
    def name(self) -> str:
        """Of the layer as it is now."""
        return str(self.layer.config["name"])

    def record(self) -> LayerRecord:
        """What became of the layer at this position."""
        before, after = self.before, costs(self.layer, self.positions)
        words = f"holds {' and '.join(self.holds)}" + ("" if self.name == self.position else f", as {self.name}")
        counts = f"parameters {before.parameters:,} -> {after.parameters:,}, MACs {before.macs:,} -> {after.macs:,}"
        return LayerRecord(self.position, self.layer.kind, "changed", f"{words}: {counts}", asdict(before), asdict(after))


def find_merges(model: keras.Model, chosen: set[str], *, folds_only: bool = False) -> tuple[list[Head], list[LayerRecord]]:
    """The layers into which others can be merged, and a record for each layer that was looked at.

    Args:
        model: Functional or Sequential, without models in it.
        chosen: names of the layers that may change.
        folds_only: merge BatchNormalization only.
    """
    walk = _Walk(model, chosen, folds_only)
    for call in calls_of(model):
        if type(call.layer).__name__ in (NORMALIZATION, *LINEAR):
            walk.visit(call)
    return [head for head in walk.heads if head.holds], list(walk.records.values())


class _Walk:
    """Heads and records so far."""

    def __init__(self, model: keras.Model, chosen: set[str], folds_only: bool) -> None:
        self._chosen, self._folds_only = chosen, folds_only
        self._num_calls = Counter(call.layer.name for call in calls_of(model))
        self._num_readers = Counter(id(tensor) for call in calls_of(model) for tensor in tf.nest.flatten([call.args, call.kwargs]))
        self._num_readers.update(id(tensor) for tensor in model.outputs)
        self._given_by: dict[int, Head] = {}  # by identity of the tensor
        self.heads: list[Head] = []
        self.records: dict[str, LayerRecord] = {}

    def visit(self, call: Call) -> None:
        """Merges a layer into the one before it; else says why not, and lets it be the head of others."""
        layer, kind = call.layer, type(call.layer).__name__
        reason = self._why_apart(call)
        is_apart = reason is not None
        if not is_apart:
            reason = self._join(call)
        if reason is not None:
            self.records[layer.name] = LayerRecord(layer.name, kind, "skipped", reason)
        if reason is not None and not is_apart and kind != NORMALIZATION:
            linear, positions = linear_layer(layer), _positions(call)
            self.heads.append(Head(layer.name, linear, positions, costs(linear, positions)))
            self._given_by[id(call.outputs[0])] = self.heads[-1]

    def _why_apart(self, call: Call) -> str | None:
        """Why a layer can neither be merged nor be merged into; None if it can."""
        layer = call.layer
        if layer.name not in self._chosen:
            return "not chosen by `layers` and `skip`"
        if self._num_calls[layer.name] > 1:
            return "it is called several times"
        if any(getattr(layer, name, None) for name in ("kernel_constraint", "depthwise_constraint", "bias_constraint")):
            return "it has a constraint"
        if getattr(layer, "data_format", "channels_last") != "channels_last":
            return "its channels are not its last axis"
        return None if None not in call.outputs[0].shape[1:] else "the shape of its output is not fixed"

    def _join(self, call: Call) -> str | None:
        """Merges a layer into the head before it; or why not."""
        head = self._given_by.get(id(call.args[0]))
        if head is None:
            return "no linear layer stands right before it"
        if self._folds_only and type(call.layer).__name__ != NORMALIZATION:
            return "it stays apart"
        if head.layer.config["activation"] != "linear" or head.layer.config.get("activity_regularizer"):
            return f"{head.name} before it has an activation"
        if self._num_readers[id(call.args[0])] > 1:
            return f"what {head.name} gives is read elsewhere too"
        reason = _fold(head, call.layer) if type(call.layer).__name__ == NORMALIZATION else _merge(head, call)
        if reason is None:
            head.holds.append(call.layer.name)
            self._given_by[id(call.outputs[0])] = head
            self.records[head.position] = head.record()
        return reason


def merged_parts(heads: list[Head]) -> dict[str, Part]:
    """Each merged layer in the place of the first one in it; the others hand on what they get."""
    parts = {name: chain() for head in heads for name in head.holds}
    for head in heads:
        layer = getattr(keras.layers, head.layer.kind).from_config(head.layer.config)
        parts[head.position] = chain((layer, head.layer.weights))
    return parts


def _fold(head: Head, layer: keras.layers.Layer) -> str | None:
    """BatchNormalization into the head; or why not."""
    if list(layer.axis) != [layer.input_spec.ndim - 1]:
        return "its axis is not the last"
    mean, variance = (statistic.numpy().astype(np.float64) for statistic in (layer.moving_mean, layer.moving_variance))
    scale = (layer.gamma.numpy() if layer.scale else 1.0) / np.sqrt(variance + layer.epsilon)
    shift = (layer.beta.numpy() if layer.center else 0.0) - mean * scale
    head.layer = fold_batch_normalization(head.layer, scale, shift)
    head.before += Costs(layer.count_params(), 0)
    return None


def _merge(head: Head, call: Call) -> str | None:
    """A second linear layer into the head, where one is cheaper than both; or why not."""
    second, positions = linear_layer(call.layer), _positions(call)
    merged = merge(head.layer, second)
    if isinstance(merged, str):
        return f"not one with {head.name}: {merged}"
    apart, together = costs(head.layer, head.positions) + costs(second, positions), costs(merged, positions)
    if together.parameters > apart.parameters or together.macs > apart.macs:
        counts = f"parameters {apart.parameters:,} -> {together.parameters:,}, MACs {apart.macs:,} -> {together.macs:,}"
        return f"one layer with {head.name} would be dearer: {counts}"
    head.layer, head.positions, head.is_only_scaled = merged, positions, False
    head.before += costs(second, positions)
    return None


def costs(layer: Linear, positions: int) -> Costs:
    """Of a layer whose kernel is applied at so many positions."""
    return Costs(layer.num_parameters, int(layer.kernel.size) * positions)


def linear_layer(layer: keras.layers.Layer) -> Linear:
    """A layer of LINEAR as data."""
    kernel, *bias = (values.astype(np.float64) for values in layer.get_weights())
    return Linear(type(layer).__name__, layer.get_config(), kernel, bias[0] if bias else None)


def _positions(call: Call) -> int:
    """At how many positions the kernel is applied for one sample."""
    tensor = call.args[0] if type(call.layer).__name__ in TRANSPOSED else call.outputs[0]
    return prod(tensor.shape[1:-1])
