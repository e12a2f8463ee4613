"""`merge_linear` as a stage."""

from __future__ import annotations

from edgecompress.backend import keras
from edgecompress.keeps import Keep
from edgecompress.models.replacing import replace_layers
from edgecompress.recipe.stages import MergeLinear
from edgecompress.stage import Context, LayerRecord, StageResult
from edgecompress.techniques.chosen_layers import chosen_names
from edgecompress.techniques.merge_linear.merging import find_merges, merged_parts


def apply(model: keras.Model, config: MergeLinear, context: Context) -> StageResult:
    """Merges what can be merged; the outputs are the same to float rounding.

    Raises:
        RecipeError: a pattern that matches no layer.
    """
    heads, records = find_merges(model, chosen_names(model, config.layers, config.skip))
    lost = {name for head in heads for name in (head.position, *head.holds)}
    # A factor per channel moves no zero. Shared values it spreads over the channels.
    still_masked = {head.position for head in heads if head.is_only_scaled}

    def holds(keep: Keep) -> bool:
        return keep.layer not in lost or (keep.kind == "mask" and keep.layer in still_masked)

    keeps = tuple(keep for keep in context.keeps if holds(keep))
    released = tuple(f"{keep.layer}: {keep.describe()}, merged with other weights" for keep in context.keeps if not holds(keep))
    return StageResult(replace_layers(model, merged_parts(heads)), records, keeps, released)


def plan(model: keras.Model, config: MergeLinear) -> tuple[keras.Model, list[LayerRecord]]:
    """What `apply` does: it depends on nothing else."""
    heads, records = find_merges(model, chosen_names(model, config.layers, config.skip))
    return replace_layers(model, merged_parts(heads)), records
