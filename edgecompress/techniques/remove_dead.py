"""`remove_dead`: channels that are the same for every input, or that nothing reads, are removed; the outputs stay what they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from edgecompress.backend import keras
from edgecompress.graph.channels import (
    KERNELS,
    ChannelGraph,
    ChannelGroup,
    ChannelSlice,
    Known,
    carry_out,
    channel_graph,
    known_inputs,
    layer_at,
    linear_part,
    plan_cut,
)
from edgecompress.graph.layers import describe_layers
from edgecompress.graph.selection import select_layers
from edgecompress.keeps import Keep, sliced
from edgecompress.models.copying import copy_model, set_weights
from edgecompress.recipe.stages import RemoveDead
from edgecompress.stage import Context, LayerRecord, StageResult
from edgecompress.techniques.structured.field import channel_records, why_not

ROUNDING = 1e-6  # a constant may come out of a kernel a little different at each position, by the order of the sum

Array = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Dead:
    """What can go from one group.

    Attributes:
        channels: of the group, without the one that stays where all are dead.
        biases: by the name of a layer: what these channels add to each of its outputs.
        reason: why others stay, or why nothing goes.
    """

    channels: tuple[int, ...] = ()
    biases: Mapping[str, Array] = field(default_factory=dict)
    reason: str = "each of its channels depends on the input and is read"


def apply(model: keras.Model, config: RemoveDead, context: Context) -> StageResult:
    """Removes from a copy of `model` what is dead, until nothing is.

    Raises:
        RecipeError: a pattern that matches no layer.
        ModelError: a subclassed model, or one whose input shape is not known yet.
    """
    smaller, keeps, records, notes = _without_dead(model, config, context.keeps)
    return StageResult(smaller, records, keeps, notes=notes)


def plan(model: keras.Model, config: RemoveDead) -> tuple[keras.Model, list[LayerRecord]]:
    """What `apply` does: it depends on nothing else."""
    smaller, _, records, _ = _without_dead(model, config, ())
    return smaller, records


def _without_dead(
    model: keras.Model, config: RemoveDead, keeps: tuple[Keep, ...]
) -> tuple[keras.Model, tuple[Keep, ...], list[LayerRecord], tuple[str, ...]]:
    """The smaller model, its keeps, what became of each layer, and what its reader should know."""
    names = [(layer.name, layer.type) for layer in describe_layers(model)]
    wanted = set(select_layers(names, config.layers, field="layers")) if config.layers else {name for name, _ in names}
    spared = set(select_layers(names, config.skip, field="skip")) if config.skip else set()
    graph = channel_graph(model)
    sizes = {group.name: group.size for group in graph.groups}
    left_alone = {group.name: reason for group in graph.groups if (reason := why_not(group, wanted, spared))}
    smaller = copy_model(model)
    while True:
        dead = find_dead(smaller, graph, skip=set(left_alone))
        gone = {name: found.channels for name, found in dead.items() if found.channels}
        if not gone:
            break
        smaller = _with_biases(smaller, [dead[name].biases for name in gone])
        planned = plan_cut(channel_graph(smaller), gone)  # again: some layers have a bias only now
        smaller, keeps = carry_out(planned, smaller), tuple(sliced(keep, planned) for keep in keeps)
        graph = channel_graph(smaller)
    reasons = {name: found.reason for name, found in dead.items()} | left_alone
    records = [record for name, size in sizes.items() for record in channel_records(smaller, {name: size}, graph, reasons[name])]
    notes = tuple(
        f"{group.name}: {dead[group.name].reason}." for group in graph.groups if group.name in dead and group.size < sizes[group.name]
    )
    return smaller, keeps, records, tuple(note for note in notes if Dead.reason not in note)


def find_dead(model: keras.Model, graph: ChannelGraph, *, skip: set[str]) -> dict[str, Dead]:
    """The channels that can go without a change of the model's outputs, to float rounding.

    A channel is dead where each layer that reads it either has only zeros for it or gets values that no input changes: all that a cut
    takes away is then a constant.

    Args:
        graph: of this model.
        skip: names of groups that are not looked at.
    """
    known = known_inputs(model)
    return {group.name: _dead_in(model, group, known) for group in graph.groups if group.name not in skip}


def _dead_in(model: keras.Model, group: ChannelGroup, known: Mapping[str, Sequence[Known | None]]) -> Dead:
    """What can go from a group."""
    is_dead, is_silent = ~group.frozen, np.ones(group.size, bool)
    readers = [part for part in group.slices if part.role == "reads"]
    for part in readers:
        dead, silent = _looked_at(model, part, known.get(part.layer, [None]))
        np.logical_and.at(is_dead, part.channels, dead)
        np.logical_and.at(is_silent, part.channels, silent)
    channels, refused, sums = [], dict[str, int](), dict[str, Array]()
    for channel in np.flatnonzero(is_dead):
        biases = {} if is_silent[channel] else _biases(model, readers, int(channel), known)
        if isinstance(biases, str):
            refused[biases] = refused.get(biases, 0) + 1
            continue
        channels.append(int(channel))
        if len(channels) < group.size:  # else it stays, and goes on adding what it adds
            for layer, bias in biases.items():
                sums[layer] = sums.get(layer, 0) + bias
    reasons = [f"{count} of its channels are constant, but {why}" for why, count in refused.items()]
    if len(channels) == group.size:
        reasons.append("all of its channels are dead; one stays, as a layer must have one")
    return Dead(tuple(channels[: group.size - 1]), sums, "; ".join(reasons) or Dead.reason)


def _looked_at(model: keras.Model, part: ChannelSlice, known: Sequence[Known | None]) -> tuple[Flags, Flags]:
    """Of each position of a slice: whether all that is read there is constant, and whether it adds nothing at all.

    Args:
        known: of the input, at each call of the layer.
    """
    layer = layer_at(model, part.layer)
    kernel = np.moveaxis(getattr(layer, part.weight).numpy(), part.axis, 0)[part.positions]
    unread = ~kernel.reshape(len(kernel), -1).any(axis=1)
    constant, zero = np.ones(len(kernel), bool), np.ones(len(kernel), bool)
    multiplier = getattr(layer, "depth_multiplier", 1)  # SeparableConv reads what its own depthwise kernel gives
    length = getattr(layer, part.weight).shape[part.axis] // multiplier
    for one in known:
        if one is None or getattr(layer, "data_format", None) == "channels_first":
            return unread, unread
        constant &= ~_along(one.unknown, length)[part.positions // multiplier]
        zero &= ~_along(one.values != 0, length)[part.positions // multiplier]
    return unread | constant, unread | (constant & zero)


def _along(flags: Flags, length: int) -> Flags:
    """Whether any flag is set at each position of the last axis; of a convolution with groups, at the n-th position of any group."""
    return np.asarray(flags.reshape(-1, length).any(axis=0))


def _biases(
    model: keras.Model, readers: Sequence[ChannelSlice], channel: int, known: Mapping[str, Sequence[Known | None]]
) -> dict[str, Array] | str:
    """What a constant channel adds to each output of the layers that read it, or why that is no bias."""
    biases: dict[str, Array] = {}
    for part in readers:
        positions = part.positions[part.channels == channel]
        layer = layer_at(model, part.layer)
        kernel = getattr(layer, part.weight).numpy()
        if not positions.size or not np.take(kernel, positions, part.axis).any():
            continue
        if len(KERNELS.get(part.type, ())) != 1:
            return f"{part.layer}, a {part.type}, reads values other than 0 of them"
        of_channel = np.zeros_like(kernel)
        index = (*[slice(None)] * part.axis, positions)
        of_channel[index] = kernel[index]
        added = [linear_part(layer, one.values, [of_channel]) for one in known[part.layer] if one is not None]
        rows = np.concatenate([one.reshape(-1, one.shape[-1]) for one in added])
        if (np.ptp(rows, axis=0) > ROUNDING * np.abs(rows).max()).any():
            return f"what they add to {part.layer} differs between positions, as at a padded border"
        biases[part.layer] = biases.get(part.layer, 0) + rows[0]
    return biases


def _with_biases(model: keras.Model, groups: Sequence[Mapping[str, Array]]) -> keras.Model:
    """A copy of a model with these numbers added to the biases of its layers; a layer without a bias gets one."""
    names = {name for group in groups for name in group}
    added = {name: np.sum([group[name] for group in groups if name in group], axis=0, dtype=np.float32) for name in names}

    def biased(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        return type(layer).from_config({**config, "use_bias": True} if layer.name in added else config)

    copy = keras.models.clone_model(model, clone_function=biased)
    for layer in model.layers:
        weights = layer.get_weights()
        if layer.name in added:
            *kernels, bias = weights if layer.use_bias else [*weights, np.float32(0)]
            weights = [*kernels, bias + added[layer.name]]
        set_weights(copy.get_layer(layer.name), weights)
    return copy
