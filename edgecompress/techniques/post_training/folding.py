"""BatchNormalization in the layers before it, as a converter will have it: both stages start from there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgecompress.backend import keras
from edgecompress.keeps import Keep
from edgecompress.models.replacing import replace_layers
from edgecompress.stage import LayerRecord
from edgecompress.techniques.merge_linear.merging import NORMALIZATION, find_merges, merged_parts

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Folded:
    """A model without BatchNormalization where that could be folded.

    Attributes:
        model: a copy.
        holds: layer -> the BatchNormalization that it now holds.
        reasons: BatchNormalization that stayed -> why.
        moments: layer -> mean and standard deviation [channels] of what it gives before its activation, as training saw it.
    """

    model: keras.Model
    holds: dict[str, str]
    reasons: dict[str, str]
    moments: dict[str, tuple[Array, Array]]


def fold_normalization(model: keras.Model, chosen: set[str]) -> Folded:
    """Folds each chosen BatchNormalization into the chosen layer right before it."""
    heads, records = find_merges(model, chosen, folds_only=True)
    holds = {head.name: head.holds[-1] for head in heads}
    reasons = {record.name: record.reason for record in records if record.action == "skipped" and record.type == NORMALIZATION}
    moments = {name: _moments(model.get_layer(normalization)) for name, normalization in holds.items()}
    return Folded(replace_layers(model, merged_parts(heads)), holds, reasons, moments)


def _moments(layer: keras.layers.Layer) -> tuple[Array, Array]:
    """Mean and standard deviation of what BatchNormalization gives."""
    size = int(layer.moving_mean.shape[0])
    beta = layer.beta.numpy() if layer.center else np.zeros(size)
    gamma = layer.gamma.numpy() if layer.scale else np.ones(size)
    return beta.astype(np.float64), np.abs(gamma).astype(np.float64)


def layer_records(model: keras.Model, folded: Folded, changes: dict[str, str], reasons: dict[str, str]) -> list[LayerRecord]:
    """One record for each layer of the old model that has weights.

    Args:
        model: before.
        folded: of it.
        changes: layer -> what was done to it beside folding.
        reasons: layer -> why nothing was.
    """
    into = {normalization: layer for layer, normalization in folded.holds.items()}
    records = []
    for layer in model.layers:
        words = [f"holds {folded.holds[layer.name]}"] if layer.name in folded.holds else []
        words += [f"is in {into[layer.name]}"] if layer.name in into else []
        words += [changes[layer.name]] if layer.name in changes else []
        why_not = folded.reasons.get(layer.name) or reasons.get(layer.name) or "it is not worked on"
        if layer.weights:
            records.append(
                LayerRecord(layer.name, type(layer).__name__, "changed" if words else "skipped", "; ".join(words) if words else why_not)
            )
    return records


def keeps_after(keeps: tuple[Keep, ...], changed: set[str]) -> tuple[tuple[Keep, ...], tuple[str, ...]]:
    """The keeps that hold, and a sentence for each that does not: factors move no zero, but take shared values apart."""
    held = tuple(keep for keep in keeps if keep.layer not in changed or keep.kind == "mask")
    return held, tuple(f"{keep.layer}: {keep.describe()}, scaled by channel" for keep in keeps if keep not in held)
