"""Which groups a stage works on, and why it leaves the others alone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import gcd

import numpy as np

from edgecompress.backend import keras
from edgecompress.errors import ModelError, RecipeError
from edgecompress.graph.channels import ChannelGraph, ChannelGroup
from edgecompress.graph.layers import describe_layers
from edgecompress.graph.selection import select_layers
from edgecompress.recipe.stages.prune_channels import Removal
from edgecompress.stage import LayerRecord

Belongs = Callable[[ChannelGroup], str | None]  # None for a group that a technique works on, else why not


@dataclass(frozen=True)
class Field:
    """The groups to work on, and what is said of the layers of all others.

    Attributes:
        sizes: channels of each group before the stage, by its name.
        left_alone: one record per layer.
    """

    sizes: Mapping[str, int]
    left_alone: list[LayerRecord]

    def num_free(self, graph: ChannelGraph) -> int:
        """Channels of these groups that may go, as the graph has them now."""
        return sum(group.num_free for group in graph.groups if group.name in self.sizes)


def choose_field(model: keras.Model, graph: ChannelGraph, config: Removal, belongs: Belongs) -> Field:
    """Chooses groups by the layers that make their channels.

    Args:
        belongs: says which groups the technique works on.

    Raises:
        RecipeError: a pattern that matches nothing, or `round_to` larger than a layer.
        ModelError: nothing is left to work on.
    """
    names = [(layer.name, layer.type) for layer in describe_layers(model)]
    wanted = set(select_layers(names, config.layers, field="layers")) if config.layers else {name for name, _ in names}
    spared = set(select_layers(names, config.skip, field="skip")) if config.skip else set()
    kinds, sizes, records = dict(names), dict[str, int](), list[LayerRecord]()
    for group in graph.groups:
        reason = why_not(group, wanted, spared) or belongs(group) or _too_small(group, config)
        if reason is None:
            sizes[group.name] = group.size
        else:
            records += [LayerRecord(name, kinds[name], "skipped", reason) for name in group.layers("makes")]
    if not sizes:
        reasons = "; ".join(sorted({record.reason for record in records})) or "no layer with a kernel"
        raise ModelError(f"model must have a group of channels that can be cut. Received: {reasons}.")
    return Field(sizes, records)


def multiple_of(group: ChannelGroup, round_to: int) -> int:
    """What is left of a group must be a multiple of it, so that its layers come out at multiples of `round_to`.

    Of a convolution with groups one channel is several filters.
    """
    repeats = max(int(np.bincount(part.channels).max()) for part in group.slices if part.role == "makes")
    return round_to // gcd(round_to, repeats)


def why_not(group: ChannelGroup, wanted: set[str], spared: set[str]) -> str | None:
    """Why the patterns or the graph leave a group alone."""
    makers = group.layers("makes")
    if named := sorted(spared & set(makers)):
        return "named in `skip`" if len(makers) == 1 else f"tied to {', '.join(named)}, named in `skip`"
    if not wanted & set(makers):
        return "not named in `layers`"
    return "; ".join(group.reasons) if group.frozen.all() else None


def _too_small(group: ChannelGroup, config: Removal) -> str | None:
    """A layer of fewer channels than `round_to` is left alone; where the recipe says `round_to`, that is an error."""
    least = multiple_of(group, config.round_to)
    if group.size > least or config.round_to == 1:
        return None
    if "round_to" in config.model_fields_set and group.size < least:
        raise RecipeError(
            f"round_to must be at most the channels of each layer that is cut. Received: {config.round_to}, and {group.name} has "
            f"{group.size}. Lower it, or name the layer in skip."
        )
    return f"its {group.size} channels are not more than round_to {config.round_to}"


def channel_records(model: keras.Model, before: Mapping[str, int], graph: ChannelGraph, why_untouched: str) -> list[LayerRecord]:
    """What became of the groups that were worked on: one record per layer that makes their channels.

    Args:
        before: channels of each group before the stage.
        graph: after it.
        why_untouched: said of a group that lost nothing.
    """
    kinds = {layer.name: layer.type for layer in describe_layers(model)}
    records = []
    for group in (group for group in graph.groups if group.name in before):
        makers, size = group.layers("makes"), before[group.name]
        for name in makers:
            if group.size == size:
                records.append(LayerRecord(name, kinds[name], "skipped", why_untouched))
                continue
            others = [other for other in makers if other != name]
            words = f"{group.size} of {size} channels left" + (f", the same as in {', '.join(others)}" if others else "")
            records.append(LayerRecord(name, kinds[name], "changed", words, {"channels": size}, {"channels": group.size}))
    return records
