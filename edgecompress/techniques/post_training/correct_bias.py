"""`correct_bias` as a stage: fold, round, compare means, move biases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from edgecompress.backend import keras
from edgecompress.data import Split
from edgecompress.models.copying import copy_model, set_weights
from edgecompress.models.layer_samples import layer_inputs, linear_part, rows
from edgecompress.models.rebuild import calls_of
from edgecompress.models.replacing import chain, replace_layers
from edgecompress.recipe.stages import CorrectBias
from edgecompress.stage import Context, LayerRecord, StageResult
from edgecompress.techniques.chosen_layers import chosen_names
from edgecompress.techniques.post_training.bias_correction import Array, clipped_normal_mean, mean_shift, rounded
from edgecompress.techniques.post_training.folding import Folded, fold_normalization, keeps_after, layer_records
from edgecompress.techniques.post_training.successions import KERNELS, find_successions, is_depthwise

BATCH_SIZE = 32


def apply(model: keras.Model, config: CorrectBias, context: Context) -> StageResult:
    """Moves the biases; kernels stay as they are, for the export to round.

    Raises:
        RecipeError: a pattern that matches no layer.
    """
    folded, names, records = _prepare(model, config)
    with context.progress.task(f"{context.stage}: correcting biases", total=len(names)) as bar:
        if config.method == "analytic":
            _correct_by_moments(folded, names, config)
        else:
            _correct_by_samples(folded.model, names, config, context.data.calibration, bar.advance)
    return StageResult(folded.model, records, *keeps_after(context.keeps, set(folded.holds)))


def plan(model: keras.Model, config: CorrectBias) -> tuple[keras.Model, list[LayerRecord]]:
    """Which layers `apply` works on."""
    folded, _, records = _prepare(model, config)
    return folded.model, records


def _prepare(model: keras.Model, config: CorrectBias) -> tuple[Folded, list[str], list[LayerRecord]]:
    """The folded model, in which all layers to correct have a bias; their names; and the records."""
    chosen = chosen_names(model, config.layers, config.skip)
    folded = fold_normalization(model, chosen)
    calls = Counter(call.layer.name for call in calls_of(folded.model) if type(call.layer).__name__ in KERNELS)
    reasons = {name: "it is called several times" for name, number in calls.items() if number > 1}
    reasons |= {name: "not chosen by `layers` and `skip`" for name in calls if name not in chosen}
    if config.method == "analytic":
        known = _input_means(folded)
        reasons |= {name: "no BatchNormalization tells what it is given" for name in calls if name not in known and name not in reasons}
    names = [name for name in calls if name not in reasons]
    records = layer_records(model, folded, dict.fromkeys(names, f"bias corrected ({config.method})"), reasons)
    return replace(folded, model=_with_biases(folded.model, names)), names, records


def _with_biases(model: keras.Model, names: list[str]) -> keras.Model:
    """The model with a bias of zeros where one of these layers has none."""
    parts = {}
    for layer in map(model.get_layer, names):
        if not layer.use_bias:
            made = type(layer).from_config(layer.get_config() | {"use_bias": True})
            parts[layer.name] = chain((made, [*layer.get_weights(), np.zeros(layer.output_shape[-1])]))
    return replace_layers(model, parts)


def _input_means(folded: Folded) -> dict[str, Array]:
    """Layer -> mean of each channel that it is given, where a BatchNormalization and nothing but means stand before it."""
    successions, _ = find_successions(folded.model, {layer.name for layer in folded.model.layers})
    return {
        succession.second.name: clipped_normal_mean(*folded.moments[succession.first.name], succession.kind)
        for succession in successions
        if succession.first.name in folded.moments and not any("Max" in name for name in succession.between)
    }


def _correct_by_moments(folded: Folded, names: list[str], config: CorrectBias) -> None:
    """Each layer by itself, from what training saw."""
    means = _input_means(folded)
    for layer in map(folded.model.get_layer, names):
        kernel = layer.get_weights()[0].astype(np.float64)
        _move_bias(layer, mean_shift(kernel, _rounded(layer, config), means[layer.name], depthwise=is_depthwise(layer)))


def _correct_by_samples(model: keras.Model, names: list[str], config: CorrectBias, samples: Split, on_layer: Callable[[], None]) -> None:
    """One layer after the other: what it should give on average, against what it gives behind layers that are rounded and corrected."""
    exact, in_file = copy_model(model), copy_model(model)
    for call in list(calls_of(model)):
        layer, name = call.layer, call.layer.name
        if type(layer).__name__ not in KERNELS:
            continue
        other = in_file.get_layer(name)
        kernel, *bias = layer.get_weights()
        if name in names:
            expected = _mean_output(exact, layer, kernel, samples)
            shift = _mean_output(in_file, layer, _rounded(layer, config), samples) - expected
            _move_bias(layer, shift)
            bias = layer.get_weights()[1:]
            on_layer()
        set_weights(other, [_rounded(layer, config), *bias])


def _mean_output(model: keras.Model, layer: keras.layers.Layer, kernel: Array, samples: Split) -> Array:
    """Mean of what a layer gives with this kernel, without bias and activation, where it stands in `model`: [outputs]."""
    linear, total, number = None, np.zeros(layer.output_shape[-1]), 0
    for inputs in layer_inputs(model, layer.name, samples, BATCH_SIZE):
        linear = linear or linear_part(layer, kernel, inputs.shape[1:])
        outputs = rows(linear(inputs))
        total, number = total + outputs.sum(axis=0), number + len(outputs)
    return total / max(number, 1)


def _move_bias(layer: keras.layers.Layer, shift: Array) -> None:
    """Takes from the bias what rounding adds to the mean."""
    kernel, bias = layer.get_weights()
    set_weights(layer, [kernel, bias - shift])


def _rounded(layer: keras.layers.Layer, config: CorrectBias) -> Array:
    return rounded(layer.get_weights()[0], depthwise=is_depthwise(layer), per_tensor=config.kernels == "per_tensor")
