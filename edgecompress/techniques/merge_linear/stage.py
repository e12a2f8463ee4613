"""`merge_linear` as a stage."""

from __future__ import annotations

from edgecompress.backend import keras
from edgecompress.graph.selection import select_layers
from edgecompress.keeps import Keep
from edgecompress.models.replacing import Part, chain, replace_layers
from edgecompress.recipe.stages import MergeLinear
from edgecompress.stage import Context, LayerRecord, StageResult
from edgecompress.techniques.merge_linear.merging import Head, find_merges


def apply(model: keras.Model, config: MergeLinear, context: Context) -> StageResult:
    """Merges what can be merged; the outputs are the same to float rounding.

    Raises:
        RecipeError: a pattern that matches no layer.
    """
    heads, records = find_merges(model, _chosen(model, config))
    lost = {name for head in heads for name in (head.position, *head.holds)}
    # A factor per channel moves no zero. Shared values it spreads over the channels.
    still_masked = {head.position for head in heads if head.is_only_scaled}

    def holds(keep: Keep) -> bool:
        return keep.layer not in lost or (keep.kind == "mask" and keep.layer in still_masked)

    keeps = tuple(keep for keep in context.keeps if holds(keep))
    released = tuple(f"{keep.layer}: {keep.describe()}, merged with other weights" for keep in context.keeps if not holds(keep))
    return StageResult(replace_layers(model, _parts(heads)), records, keeps, released)


def plan(model: keras.Model, config: MergeLinear) -> tuple[keras.Model, list[LayerRecord]]:
    """What `apply` does: it depends on nothing else."""
    heads, records = find_merges(model, _chosen(model, config))
    return replace_layers(model, _parts(heads)), records


def _chosen(model: keras.Model, config: MergeLinear) -> set[str]:
    """The layers that may change."""
    names = [(layer.name, type(layer).__name__) for layer in model.layers]
    chosen = set(select_layers(names, config.layers, field="layers")) if config.layers else {name for name, _ in names}
    return chosen - set(select_layers(names, config.skip, field="skip") if config.skip else ())


def _parts(heads: list[Head]) -> dict[str, Part]:
    """Each merged layer in the place of the first one in it; the others hand on what they get."""
    parts = {name: chain() for head in heads for name in head.holds}
    for head in heads:
        layer = getattr(keras.layers, head.layer.kind).from_config(head.layer.config)
        parts[head.position] = chain((layer, head.layer.weights))
    return parts
