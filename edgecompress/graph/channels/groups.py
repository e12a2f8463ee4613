"""Groups of coupled channels: what a trace has recorded, in the form that is printed, scored and cut."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecompress.graph.channels.components import components
from edgecompress.graph.channels.trace import Numbers, Role, SizeField, WeightAxis
from edgecompress.graph.channels.walk import trace_channels


@dataclass(frozen=True, eq=False)
class ChannelSlice:
    """Where a group lies on one axis of one weight.

    Attributes:
        layer, type, weight: path of the layer, its class, and the name of its attribute, such as "kernel".
        axis: of the weight, from 0.
        role: "makes", "carries" or "reads" these channels.
        positions: int64 [n], on the axis.
        channels: int64 [n], the channel of the group at each of these positions; one channel may have several.
        source: of "reads": the Keras tensor that is read, where the model itself can give it.
    """

    layer: str
    type: str
    weight: str
    axis: int
    role: Role
    positions: Numbers
    channels: Numbers
    source: Any = None


@dataclass(frozen=True, eq=False)
class ChannelGroup:
    """Layers whose channels must be cut together: the n-th channel of the group is cut in all of its slices, or in none.

    Attributes:
        name: of the first layer that makes channels of the group.
        size: channels.
        slices: everything that a cut touches, in the model's order.
        frozen: bool [size], True where a channel must stay.
        reasons: why, each once.
    """

    name: str
    size: int
    slices: tuple[ChannelSlice, ...]
    frozen: npt.NDArray[np.bool_]
    reasons: tuple[str, ...]

    @property
    def num_free(self) -> int:
        """Channels that may go; one must be left, whatever is cut."""
        return int(self.size - self.frozen.sum())

    def layers(self, role: Role) -> list[str]:
        """Names of the layers with this role, in the model's order."""
        return list(dict.fromkeys(part.layer for part in self.slices if part.role == role))

    def describe(self) -> str:
        """One line: what goes together, or why it stays."""
        made, read = ", ".join(self.layers("makes")), ", ".join(self.layers("reads"))
        carried = ", ".join(name for name in self.layers("carries") if name not in self.layers("makes"))
        words = f"{self.size} channels of {made}" + (f", through {carried}" if carried else "") + (f", into {read}" if read else "")
        if self.frozen.any():
            kept = "all" if self.frozen.all() else f"{self.frozen.sum()}"
            words += f"; {kept} must stay: {'; '.join(self.reasons)}"
        return words


@dataclass(frozen=True, eq=False)
class ChannelGraph:
    """All groups of a model. Its channels are counted through: those of the first group, then those of the second, ...

    Attributes:
        groups: in the order of their first layers.
        starts: number of the first channel of each group, and in the end the number of all channels.
        weights: every axis with channels on it, with these numbers; -1: a position that never goes.
        sizes: every number in a config that counts channels, likewise.
    """

    groups: tuple[ChannelGroup, ...]
    starts: tuple[int, ...]
    weights: tuple[WeightAxis, ...]
    sizes: tuple[SizeField, ...]

    @property
    def num_channels(self) -> int:
        return self.starts[-1]

    @property
    def num_free(self) -> int:
        """Channels that may go."""
        return sum(group.num_free for group in self.groups)

    def describe(self) -> str:
        """One line per group, and the share of channels that can be cut."""
        share = self.num_free / max(1, self.num_channels)
        lines = [group.describe() for group in self.groups]
        return "\n".join([*lines, f"{self.num_free:,} of {self.num_channels:,} channels can be cut ({share:.1%})"])


def channel_graph(model: Any) -> ChannelGraph:
    """Finds what must be cut together in a model, without changing it.

    Args:
        model: a Functional or Sequential model with a known input shape; nested models are entered.

    Raises:
        ModelError: a subclassed model, or one whose input shape is not known yet.
    """
    trace = trace_channels(model)
    made = [axis.numbers for axis in trace.weights.values() if axis.role == "makes"]
    channel_of = components(trace.num_channels, trace.pairs)
    one_layer = [(numbers[1:], numbers[:-1]) for numbers in made]
    group_of = components(trace.num_channels, [*trace.pairs, *one_layer])
    channels = np.unique(channel_of[np.concatenate(made)]) if made else np.zeros(0, np.int64)
    channels = channels[np.lexsort((channels, group_of[channels]))]
    numbering = np.full(trace.num_channels, -1)
    numbering[channels] = np.arange(channels.size)
    numbering = numbering[channel_of]
    _, starts = np.unique(group_of[channels], return_index=True)
    weights = tuple(replace(axis, numbers=numbering[axis.numbers]) for axis in trace.weights.values())
    sizes = tuple(replace(size, numbers=numbering[size.numbers]) for size in trace.sizes.values())
    bounds = (*(int(start) for start in starts), channels.size)
    frozen = [(numbering[numbers], reason) for numbers, reason in trace.frozen]
    return ChannelGraph(tuple(_groups(bounds, weights, frozen)), bounds, weights, sizes)


def _groups(bounds: Sequence[int], weights: Sequence[WeightAxis], frozen: Sequence[tuple[Numbers, str]]) -> Iterator[ChannelGroup]:
    """The groups between these bounds."""
    owner = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))
    stays = np.zeros(bounds[-1], bool)
    slices: list[list[ChannelSlice]] = [[] for _ in bounds[1:]]
    reasons: list[dict[str, None]] = [{} for _ in bounds[1:]]
    for numbers, reason in frozen:
        known = numbers[numbers >= 0]
        stays[known] = True
        for group in np.unique(owner[known]):
            reasons[group][reason] = None
    for axis in weights:
        for group, positions in _by_group(owner, axis.numbers):
            channels = axis.numbers[positions] - bounds[group]
            slices[group].append(ChannelSlice(axis.layer, axis.type, axis.weight, axis.axis, axis.role, positions, channels, axis.source))
    for group, (start, end) in enumerate(pairwise(bounds)):
        name = next(part.layer for part in slices[group] if part.role == "makes")
        yield ChannelGroup(name, end - start, tuple(slices[group]), stays[start:end], tuple(reasons[group]))


def _by_group(owner: Numbers, numbers: Numbers) -> Iterator[tuple[int, Numbers]]:
    """The positions on an axis that each group has."""
    positions = np.flatnonzero(numbers >= 0)
    groups = owner[numbers[positions]]
    order = np.argsort(groups, kind="stable")
    found, starts = np.unique(groups[order], return_index=True)
    return zip(map(int, found), np.split(positions[order], starts[1:]), strict=True)
