"""`round_weights` as a stage: fold, gather what each layer reads, round its kernel, go on behind the rounded one."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from edgecompress.backend import keras
from edgecompress.data import Split
from edgecompress.graph.selection import select_layers
from edgecompress.models.copying import copy_model, set_weights
from edgecompress.models.layer_samples import patches
from edgecompress.models.rebuild import calls_of
from edgecompress.recipe.stages import RoundWeights
from edgecompress.stage import Context, LayerRecord, StageResult
from edgecompress.techniques.chosen_layers import chosen_names
from edgecompress.techniques.post_training.bias_correction import rounded
from edgecompress.techniques.post_training.folding import Array, Folded, fold_normalization, keeps_after, layer_records
from edgecompress.techniques.post_training.rounding import Evidence, adaround, coordinate_descent, least_cost, nearest, search_scales
from edgecompress.techniques.post_training.successions import KERNELS, is_depthwise

BATCH_SIZE = 8  # patches of a batch are in memory at a time, twice
SUPPORTED = ("Conv2D", "Dense", "DepthwiseConv2D")


def apply(model: keras.Model, config: RoundWeights, context: Context) -> StageResult:
    """Puts the kernels on the grid of an int8 file, each behind those that are there already.

    Raises:
        RecipeError: a pattern that matches no layer.
    """
    folded, names, records = _prepare(model, config)
    bits = _bits(folded.model, config)
    with context.progress.task(f"{context.stage}: rounding kernels", total=len(names)) as bar:
        exact, in_file = copy_model(folded.model), folded.model
        for layer in [call.layer for call in calls_of(exact) if type(call.layer).__name__ in KERNELS]:
            kernel, *bias = layer.get_weights()
            target = in_file.get_layer(layer.name)
            if layer.name in names:
                moments = gather(exact, in_file, layer, context.data.calibration)
                on_grid = round_kernel(layer, moments.evidence(has_bias=bool(bias)), config, bits.get(layer.name, 8))
                bias = [values - moments.shift(on_grid) for values in bias]
                bar.advance()
            else:
                on_grid = rounded(kernel, depthwise=is_depthwise(layer), per_tensor=config.kernels == "per_tensor")
            set_weights(target, [on_grid, *bias])
        for layer in exact.layers:  # the others stood in for their rounded selves
            if type(layer).__name__ in KERNELS and layer.name not in names:
                set_weights(in_file.get_layer(layer.name), layer.get_weights())
    return StageResult(in_file, records, *keeps_after(context.keeps, set(folded.holds) | set(names)))


def _bits(model: keras.Model, config: RoundWeights) -> dict[str, int]:
    """Layer -> bits, of those that the recipe names; of several patterns that match, the last counts.

    Raises:
        RecipeError: a pattern that matches no layer.
    """
    layers = [(layer.name, type(layer).__name__) for layer in model.layers if type(layer).__name__ in SUPPORTED]
    found: dict[str, int] = {}
    for pattern, bits in config.bits.items():
        found |= dict.fromkeys(select_layers(layers, [pattern], field="bits"), bits)
    return found


def plan(model: keras.Model, config: RoundWeights) -> tuple[keras.Model, list[LayerRecord]]:
    """Which layers `apply` works on."""
    folded, _, records = _prepare(model, config)
    return folded.model, records


def _prepare(model: keras.Model, config: RoundWeights) -> tuple[Folded, list[str], list[LayerRecord]]:
    """The folded model, names of the layers to round, and the records."""
    chosen = chosen_names(model, config.layers, config.skip)
    folded = fold_normalization(model, chosen)
    calls = Counter(call.layer.name for call in calls_of(folded.model) if type(call.layer).__name__ in KERNELS)
    reasons = {name: reason for name in calls if (reason := _why_not(folded.model.get_layer(name), calls[name]))}
    reasons |= {name: "not chosen by `layers` and `skip`" for name in calls if name not in chosen}
    names = [name for name in calls if name not in reasons]
    bits = _bits(folded.model, config)
    changes = {name: f"kernel rounded to {bits.get(name, 8)} bits ({config.method})" for name in names}
    return folded, names, layer_records(model, folded, changes, reasons)


def _why_not(layer: keras.layers.Layer, num_calls: int) -> str | None:
    """Why a kernel cannot be rounded; None if it can."""
    if type(layer).__name__ not in SUPPORTED:
        return f"it is none of {', '.join(SUPPORTED)}"
    if num_calls > 1:
        return "it is called several times"
    if getattr(layer, "groups", 1) > 1 and not is_depthwise(layer):
        return "it has groups"
    return None if getattr(layer, "data_format", "channels_last") == "channels_last" else "its channels are not on the last axis"


@dataclass(frozen=True)
class _Form:
    """How a Keras kernel is laid out as [groups, taps, outputs]."""

    depthwise: bool

    def group(self, kernel: Array) -> Array:
        """[..., in, out] to [1, taps * in, out]; depthwise [..., in, multiplier] to [in, taps, multiplier]."""
        if not self.depthwise:
            return kernel.reshape(1, -1, kernel.shape[-1])
        return np.moveaxis(kernel.reshape(-1, *kernel.shape[-2:]), 0, 1)

    def ungroup(self, grouped: Array, shape: tuple[int, ...]) -> Array:
        return (np.moveaxis(grouped, 0, 1) if self.depthwise else grouped).reshape(shape)

    def rows(self, read: Array) -> Array:
        """[rows, positions, channels] of `patches` to [groups, rows, taps]."""
        return np.moveaxis(read, 2, 0) if self.depthwise else read.reshape(1, len(read), -1)


def round_kernel(layer: keras.layers.Layer, evidence: Evidence, config: RoundWeights, bits: int) -> Array:
    """A layer's kernel on a grid: with 8 bits multiples of largest |weight| / 127, of its output channel or the whole, with fewer those of
    the scale for each output that costs least."""
    form, kernel = _Form(is_depthwise(layer)), layer.get_weights()[0].astype(np.float64)
    grouped, most = form.group(kernel), 2 ** (bits - 1) - 1
    if bits < 8:
        start, steps = search_scales(grouped, most, evidence)
        pinned = grouped == 0
    else:
        largest = np.abs(grouped).max(axis=None if config.kernels == "per_tensor" else 1, keepdims=True)
        steps = np.broadcast_to(largest / most, (len(grouped), 1, grouped.shape[2]))
        start = nearest(grouped, steps, most)
        pinned = (np.abs(start) == most) | (grouped == 0)  # the largest weight sets the scale of the file
    if config.method == "adaround":
        integers = adaround(grouped, steps, most, evidence, iterations=config.iterations)
        integers = integers if bits == 8 else least_cost(start, integers, grouped, steps, evidence)
    else:
        integers = coordinate_descent(start, grouped, steps, most, evidence, pinned=pinned)
    return form.ungroup(integers * steps, kernel.shape)


@dataclass(frozen=True, eq=False)
class Moments:
    """Means over the rows that a layer reads: `wanted` in the exact model, `received` behind rounded layers.

    Attributes:
        form: of the kernel.
        kernel: float64 [groups, taps, outputs], exact.
        wanted, received: [groups, taps].
        gram: [groups, taps, taps], of received with received.
        cross: [groups, taps, taps], of received with wanted.
    """

    form: _Form
    kernel: Array
    wanted: Array
    received: Array
    gram: Array
    cross: Array

    def evidence(self, *, has_bias: bool) -> Evidence:
        """Second moments; about the means where a bias makes up for these."""
        if not has_bias:
            return Evidence(self.gram, (self.cross - self.gram) @ self.kernel)
        turned = self.received[:, :, np.newaxis]
        gram, cross = (moment - turned * mean[:, np.newaxis] for moment, mean in ((self.gram, self.received), (self.cross, self.wanted)))
        return Evidence(gram, (cross - gram) @ self.kernel)

    def shift(self, on_grid: Array) -> Array:
        """How much more than wanted the layer gives on average with a kernel on the grid: [outputs]."""
        received, wanted = (mean[:, np.newaxis] for mean in (self.received, self.wanted))
        return (received @ self.form.group(on_grid) - wanted @ self.kernel).reshape(-1)


def gather(exact: keras.Model, in_file: keras.Model, layer: keras.layers.Layer, samples: Split) -> Moments:
    """What the samples say about one layer behind the rounded layers of `in_file`.

    Args:
        exact: with the weights before rounding.
        in_file: the same graph, rounded up to this layer.
        layer: of `exact`.
        samples: that calibrate.
    """
    form, totals, number = _Form(is_depthwise(layer)), [np.zeros(())] * 4, 0
    both = keras.Model(exact.inputs, _input_of(exact, layer.name)), keras.Model(in_file.inputs, _input_of(in_file, layer.name))
    with samples.readable():
        for inputs, _ in samples.dataset(BATCH_SIZE):
            wanted, received = (form.rows(patches(layer, model(inputs, training=False))) for model in both)
            turned = np.swapaxes(received, 1, 2)
            sums = wanted.sum(axis=1), received.sum(axis=1), turned @ received, turned @ wanted
            totals = [total + part for total, part in zip(totals, sums, strict=True)]
            number += received.shape[1]
    return Moments(form, form.group(layer.get_weights()[0].astype(np.float64)), *(total / max(number, 1) for total in totals))


def _input_of(model: keras.Model, name: str) -> object:
    """The symbolic tensor that a layer reads."""
    return next(call.args[0] for call in calls_of(model) if call.layer.name == name)
