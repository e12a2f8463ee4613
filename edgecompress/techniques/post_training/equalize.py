"""`equalize` as a stage: fold, measure, scale, absorb."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgecompress.backend import keras
from edgecompress.data import Split
from edgecompress.models.copying import set_weights
from edgecompress.models.replacing import chain, replace_layers
from edgecompress.recipe.stages import Equalize
from edgecompress.stage import Context, LayerRecord, StageResult
from edgecompress.techniques.chosen_layers import chosen_names
from edgecompress.techniques.post_training import equalization
from edgecompress.techniques.post_training.equalization import Array
from edgecompress.techniques.post_training.folding import Folded, fold_normalization, keeps_after, layer_records
from edgecompress.techniques.post_training.successions import CAPPED, KERNELS, Succession, find_successions, is_depthwise

BATCH_SIZE = 32
MOST_ROUNDS, SETTLED = 100, 1e-3  # kernels per tensor: each factor changes what the next one starts from


def apply(model: keras.Model, config: Equalize, context: Context) -> StageResult:
    """Equalizes on the calibration samples; the outputs are the same on them to float rounding, unless a ReLU6 is replaced.

    Raises:
        RecipeError: a pattern that matches no layer.
    """
    folded, successions, records = _prepare(model, config)
    with context.progress.task(f"{context.stage}: equalizing"):
        equalize_model(folded.model, successions, config, context.data.calibration)
    result = _without_caps(folded.model, successions) if config.relu6 == "replace" else folded.model
    changed = {record.name for record in records if record.action == "changed"}
    return StageResult(result, records, *keeps_after(context.keeps, changed))


def plan(model: keras.Model, config: Equalize) -> tuple[keras.Model, list[LayerRecord]]:
    """Which layers `apply` works on; the factors need samples."""
    folded, _, records = _prepare(model, config)
    return folded.model, records


def _prepare(model: keras.Model, config: Equalize) -> tuple[Folded, list[Succession], list[LayerRecord]]:
    """The folded model, what can be equalized in it, and the records."""
    chosen = chosen_names(model, config.layers, config.skip)
    folded = fold_normalization(model, chosen)
    successions, reasons = find_successions(folded.model, chosen)
    changes = {succession.first.name: f"equalized with {succession.second.name}" for succession in successions}
    for succession in successions:
        changes.setdefault(succession.second.name, f"equalized with {succession.first.name}")
    return folded, successions, layer_records(model, folded, changes, reasons)


@dataclass(eq=False)
class _Channels:
    """What the samples showed of the channels between two layers, [channels] each."""

    least: Array
    largest: Array

    @property
    def range(self) -> Array:
        return np.maximum(np.abs(self.least), np.abs(self.largest))

    def divide(self, factors: Array) -> None:
        self.least, self.largest = self.least / factors, self.largest / factors


def equalize_model(model: keras.Model, successions: Sequence[Succession], config: Equalize, samples: Split) -> None:
    """Changes the weights of `model` in place.

    Args:
        model: with these successions in it.
        successions: see `find_successions`.
        config: how.
        samples: that show the ranges of activations.
    """
    channels = _measure(model, successions, samples) if successions else []
    for _ in range(MOST_ROUNDS if config.kernels == "per_tensor" else 1):
        farthest = max((_scale(*pair, config) for pair in zip(successions, channels, strict=True)), default=0.0)
        if farthest < SETTLED:
            break
    if config.absorb:
        for succession, measured in zip(successions, channels, strict=True):
            if succession.kind == "relu" and not succession.pads:
                _absorb(succession, measured)


def _measure(model: keras.Model, successions: Sequence[Succession], samples: Split) -> list[_Channels]:
    """Least and largest value of each channel behind each activation."""
    until_there = keras.Model(model.inputs, [succession.activation for succession in successions])
    found = [_Channels(np.full(succession.num_channels, np.inf), np.full(succession.num_channels, -np.inf)) for succession in successions]
    with samples.readable():
        for inputs, _ in samples.dataset(BATCH_SIZE):
            outputs = until_there(inputs, training=False)
            for channels, output in zip(found, outputs if isinstance(outputs, list) else [outputs], strict=True):
                rows = np.asarray(output, np.float64).reshape(-1, output.shape[-1])
                channels.least = np.minimum(channels.least, rows.min(axis=0))
                channels.largest = np.maximum(channels.largest, rows.max(axis=0))
    return found


def _scale(succession: Succession, channels: _Channels, config: Equalize) -> float:
    """Divides what the first layer gives, multiplies what the second one reads; returns how far the factors were from 1."""
    first, second = succession.first, succession.second
    (kernel, *bias), (reader, *rest) = _weights(first), _weights(second)
    read = equalization.read_ranges(reader, succession.num_channels)
    if config.kernels == "per_tensor":
        factors = equalization.balancing_factors(equalization.given_ranges(kernel, depthwise=is_depthwise(first)), read)
    else:
        strength = 1.0 if is_depthwise(second) else config.strength
        factors = equalization.smoothing_factors(channels.range, read, strength)
    if succession.kind == "relu6" and config.relu6 == "keep":
        factors = equalization.below_cap(factors, channels.largest, CAPPED)
    kernel = equalization.divide_outputs(kernel, factors, depthwise=is_depthwise(first))
    set_weights(first, [kernel, *(values / factors for values in bias)])
    set_weights(second, [equalization.multiply_inputs(reader, factors), *rest])
    channels.divide(factors)
    return float(np.abs(np.log(factors)).max())


def _absorb(succession: Succession, channels: _Channels) -> None:
    """Moves what every channel always exceeds from the first bias into the second."""
    offsets = equalization.absorbable(channels.least)
    (kernel, *bias), (reader, *rest) = _weights(succession.first), _weights(succession.second)
    if not bias or not rest or not offsets.any():
        return
    set_weights(succession.first, [kernel, bias[0] - offsets])
    set_weights(succession.second, [reader, rest[0] + equalization.through(reader, offsets, depthwise=is_depthwise(succession.second))])


def _weights(layer: keras.layers.Layer) -> list[Array]:
    return [values.astype(np.float64) for values in layer.get_weights()]


def _without_caps(model: keras.Model, successions: Sequence[Succession]) -> keras.Model:
    """The model with a ReLU in the place of each ReLU6 between equalized layers."""
    capped = {succession.activated_by for succession in successions if succession.kind == "relu6"}
    parts = {}
    for layer in map(model.get_layer, capped):
        other = {"activation": "relu"} if type(layer).__name__ in {*KERNELS, "Activation"} else {"max_value": None}
        replaced = type(layer).from_config(layer.get_config() | other)
        parts[layer.name] = chain((replaced, layer.get_weights()))
    return replace_layers(model, parts)
