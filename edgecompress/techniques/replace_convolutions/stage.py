"""`replace_convolutions` as a stage: choose, judge, fit, match, replace, train."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgecompress.backend import keras
from edgecompress.graph.layers import ModelTotals, describe_layers, total
from edgecompress.layer_latency import LayerLatency, time_part
from edgecompress.models.copying import copy_model
from edgecompress.models.layer_samples import Array, layer_inputs, output_error
from edgecompress.models.rebuild import calls_of
from edgecompress.models.replacing import Part, Weights, alone, chain, replace_layers
from edgecompress.recipe.stages import ReplaceConvolutions
from edgecompress.stage import Context, LayerRecord, StageResult
from edgecompress.techniques.chosen_layers import choose_layers, free_name
from edgecompress.techniques.remembered import remembered_latency
from edgecompress.techniques.replace_convolutions.blocks import BLOCKS, weight_shapes
from edgecompress.techniques.replace_convolutions.fitting import fit_fire, fit_separable
from edgecompress.training import fit, match

BATCH_SIZE = 32  # samples whose features are in memory at a time


@dataclass(frozen=True, eq=False)
class Replacement:
    """A convolution and the block for it.

    Attributes:
        layer: built, of the model.
        input_shape: of one sample, at its first call.
        weights: of the block's layers.
        before, after: costs of both by themselves.
        why_not: why the layer is left alone; None if it is replaced.
        latency: where it was measured.
        errors: of the block's outputs on the calibration samples, relative: after the fit, and after the matching.
    """

    layer: keras.layers.Layer
    input_shape: tuple[int, ...]
    weights: list[Weights]
    before: ModelTotals
    after: ModelTotals
    why_not: str | None = None
    latency: LayerLatency | None = None
    errors: tuple[float, ...] = ()

    @property
    def name(self) -> str:
        return str(self.layer.name)

    def record(self) -> LayerRecord:
        """For plan and report."""
        before, after = (dict[str, Any](parameters=totals.parameters, macs=totals.macs) for totals in (self.before, self.after))
        facts = [f"{words} {before[key]:,} -> {after[key]:,}" for key, words in (("parameters", "parameters"), ("macs", "MACs"))]
        for name, error in zip(("error_after_fit", "error_after_match"), self.errors, strict=False):
            after[name] = error
            facts.append(f"{name.replace('_', ' ')} {error:.4f}")
        if self.latency is not None:
            before["p50_ms"], after["p50_ms"] = self.latency.before_ms, self.latency.after_ms
            facts.append(self.latency.describe())
        if self.why_not is None:
            return LayerRecord(self.name, "Conv2D", "changed", ", ".join(facts), before, after)
        return LayerRecord(self.name, "Conv2D", "skipped", f"{self.why_not}; {', '.join(facts)}", before, after)


def apply(model: keras.Model, config: ReplaceConvolutions, context: Context) -> StageResult:
    """Puts blocks in the place of the convolutions where that pays, then trains when the recipe gives a `train` block.

    Raises:
        RecipeError: a pattern that matches no layer, or none that can be replaced.
        ModelError: no convolution is left to replace.
        TrainingError: the loss became NaN or infinite.
    """
    replacements, records = _choose(model, config)
    replacements = [_judged(replacement, model, config, context) for replacement in replacements]
    chosen = [replacement for replacement in replacements if replacement.why_not is None]
    records += [replacement.record() for replacement in replacements if replacement.why_not is not None]
    if not chosen:
        return StageResult(copy_model(model), records, context.keeps)  # nothing to recover from: nor is it trained
    with context.progress.task(f"{context.stage}: fitting", len(chosen)) as bar:
        fitted = []
        for replacement in chosen:
            bar.describe(replacement.name)
            fitted.append(_fitted(replacement, model, config, context))
            bar.advance()
    matched = _matched(fitted, model, config, context)
    records += [replacement.record() for replacement in matched]
    names = {replacement.name for replacement in matched}
    replaced = replace_layers(model, {replacement.name: _block(replacement, model, config) for replacement in matched})
    keeps = tuple(keep for keep in context.keeps if keep.layer not in names)
    released = tuple(
        f"{keep.layer}: {keep.describe()}, replaced by a {config.method} block" for keep in context.keeps if keep.layer in names
    )
    epochs = fit(replaced, config.train, context, keeps=keeps) if config.train is not None else []
    return StageResult(replaced, records, keeps, released, epochs)


def plan(model: keras.Model, config: ReplaceConvolutions) -> tuple[keras.Model, list[LayerRecord]]:
    """What `apply` would do by the counts alone: nothing is timed, fitted or matched."""
    replacements, records = _choose(model, config)
    records += [replacement.record() for replacement in replacements]
    chosen = [replacement for replacement in replacements if replacement.why_not is None]
    return replace_layers(model, {replacement.name: _block(replacement, model, config) for replacement in chosen}), records


def _choose(model: keras.Model, config: ReplaceConvolutions) -> tuple[list[Replacement], list[LayerRecord]]:
    """The convolutions that a block could stand for, judged by their costs; and a record for each other layer."""
    takes = f"{config.method} takes Conv2D of more than one position"
    chosen, records = choose_layers(model, config.layers, config.skip, lambda layer: _why_not(layer, config.method), takes)
    shapes = {call.layer.name: call.args[0].shape[1:] for call in calls_of(model)}
    return [_counted(layer, tuple(shapes[layer.name]), model, config) for layer in chosen], records


def _why_not(layer: keras.layers.Layer, method: str) -> str | None:
    """Why a block cannot stand for a layer; None if it can."""
    kind = type(layer).__name__
    if kind != "Conv2D":
        return f"{kind} is no Conv2D"
    if max(layer.kernel_size) == 1:
        return "its kernel has one position only"
    if layer.groups > 1:
        return "it has groups"
    if layer.data_format != "channels_last":
        return "its channels are not its last axis"
    if layer.kernel_constraint:
        return "its block would not keep the constraint on its kernel"
    if method == "fire" and layer.padding != "same":
        return "a fire block needs the padding same: its two expansions would have different sizes"
    return "a fire block needs two outputs" if method == "fire" and layer.filters < 2 else None


def _counted(layer: keras.layers.Layer, input_shape: tuple[int, ...], model: keras.Model, config: ReplaceConvolutions) -> Replacement:
    """The replacement with weights that stand for their shapes only."""
    weights = [[np.ones(shape) for shape in shapes] for shapes in weight_shapes(layer, config.method, config.squeeze)]
    as_it_is = alone(chain((type(layer).from_config(layer.get_config()), layer.get_weights())), input_shape)
    before = after = total(describe_layers(as_it_is))
    replacement = Replacement(layer, input_shape, weights, before, after)
    after = total(describe_layers(alone(_block(replacement, model, config), input_shape)))
    reason = None
    if after.parameters >= before.parameters:
        reason = "its parameters would not fall"
    elif before.macs_known and after.macs >= before.macs:
        reason = "its MACs would not fall"
    return replace(replacement, after=after, why_not=reason)


def _judged(replacement: Replacement, model: keras.Model, config: ReplaceConvolutions, context: Context) -> Replacement:
    """The replacement after the layer and its block were timed against each other."""
    name, timed_as = replacement.name, config.timed_as
    if timed_as is None or replacement.why_not is not None:
        return replacement
    latency = remembered_latency(context, name, lambda: time_part(model, name, _block(replacement, model, config), timed_as, context))
    if isinstance(latency, str):
        return replace(replacement, why_not=latency)
    return replace(replacement, latency=latency, why_not=None if latency.is_faster else "its latency would not fall")


def _fitted(replacement: Replacement, model: keras.Model, config: ReplaceConvolutions, context: Context) -> Replacement:
    """The replacement with the weights that it starts with."""

    def samples() -> Iterator[Array]:
        return layer_inputs(model, replacement.name, context.data.calibration, BATCH_SIZE)

    layer, input_shape = replacement.layer, replacement.input_shape
    if config.method == "separable":
        weights = fit_separable(layer, samples, input_shape)
    else:
        weights = fit_fire(layer, samples, input_shape, config.squeeze)
    return _with_error(replace(replacement, weights=weights), model, config, context)


def _matched(fitted: list[Replacement], model: keras.Model, config: ReplaceConvolutions, context: Context) -> list[Replacement]:
    """The replacements after the layer-wise training."""
    if not config.match.epochs:
        return fitted
    parts: dict[str, Part] = {replacement.name: _block(replacement, model, config) for replacement in fitted}
    match(model, parts, config.match, context)
    trained: list[Any] = [replace(one, weights=[layer.get_weights() for layer, _ in parts[one.name].weights]) for one in fitted]
    return [_with_error(replacement, model, config, context) for replacement in trained]


def _with_error(replacement: Replacement, model: keras.Model, config: ReplaceConvolutions, context: Context) -> Replacement:
    """The replacement with the error of its outputs as it is now."""
    layer, input_shape = replacement.layer, replacement.input_shape
    as_it_is = alone(chain((type(layer).from_config(layer.get_config()), layer.get_weights())), input_shape)
    block = alone(_block(replacement, model, config), input_shape)
    inputs = layer_inputs(model, replacement.name, context.data.calibration, BATCH_SIZE)
    return replace(replacement, errors=(*replacement.errors, output_error(as_it_is, block, inputs)))


def _block(replacement: Replacement, model: keras.Model, config: ReplaceConvolutions) -> Part:
    """The block with names that the model does not have."""
    return BLOCKS[config.method](replacement.layer, replacement.weights, lambda ending: free_name(model, f"{replacement.name}{ending}"))
