"""`prune_weights`: magnitude pruning of single weights with TF-MOT's wrapper and schedules, and of patterns with masks of our own.

TF-MOT decides when weights go while training; the mask that stays is ours, since TF-MOT keeps every weight that equals the
threshold: with ties, a requested half of zeros can end as none at all. Its blocks are for Dense layers alone: in a convolution it
prunes single weights in their place. And it counts calls of a layer for updates of its weights, so a layer that the model calls more
than once would be pruned too early: such models get our masks, on the same schedule.
"""

from collections import Counter
from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from edgecompress.backend import keras, model_optimization
from edgecompress.graph.order import nodes_in_order
from edgecompress.keeps import Keep, get_variable, mask_of
from edgecompress.models.copying import copy_model, with_layers_wrapped
from edgecompress.recipe.stages import PruneWeights, Train
from edgecompress.stage import Context, LayerRecord, StageResult
from edgecompress.techniques.kernels import Kernel, choose_kernels, pruning_supports
from edgecompress.techniques.mask_updates import Masked, MaskSchedule, UpdateMasks
from edgecompress.techniques.weight_patterns import Units, blocks, single_weights, two_of_four, zeroed_per_kernel
from edgecompress.training import fit
from edgecompress.training.fit import num_steps_per_epoch

NUM_MASK_UPDATES = 50  # masks are updated at most so often between begin and end; more costs time and changes nothing
BLOCK_SHAPE = (1, 4)
LEAST_CHANNELS = 3  # input channels for which 2:4 asks for a zero


def apply(model: keras.Model, config: PruneWeights, context: Context) -> StageResult:
    """Prunes a copy of `model`, gradually while it trains, or at once when the recipe gives no `train`."""
    kernels, records = _choose(model, config)
    if not kernels:
        return StageResult(copy_model(model), records, context.keeps)  # nothing to do: nor is it trained
    counts = _counts(kernels, config)
    pruned_layers = {kernel.layer for kernel in kernels}
    held = [keep for keep in context.keeps if keep.kind == "mask" or keep.layer not in pruned_layers]
    epochs: list[dict[str, float]] = []
    if config.train is None:
        pruned = copy_model(model)
    elif config.pattern == "unstructured" and not _calls_again(model, pruned_layers):
        pruned, epochs = _train_with_wrappers(model, kernels, counts, held, config.train, config, context)
    else:
        pruned, epochs = _train_with_masks(model, kernels, counts, held, config.train, config, context)
    records += _zero_least(pruned, kernels, counts, config)
    masks = [mask_of(kernel.layer, kernel.weight, get_variable(pruned, kernel.layer, kernel.weight).numpy()) for kernel in kernels]
    others = [keep for keep in held if keep.layer not in pruned_layers]  # the new masks hold the old zeros too
    return StageResult(pruned, records, (*others, *masks), _released(pruned_layers, context.keeps), epochs)


def _calls_again(model: keras.Model, layers: set[str]) -> bool:
    """Whether the model calls one of the layers more than once."""
    calls = Counter(node.layer.name for node in nodes_in_order(model))
    return any(calls[layer] > 1 for layer in layers)


def plan(model: keras.Model, config: PruneWeights) -> tuple[keras.Model, list[LayerRecord]]:
    """The model pruned at once; after a training the same number of zeros may stand elsewhere."""
    kernels, records = _choose(model, config)
    pruned = copy_model(model)
    return pruned, records + _zero_least(pruned, kernels, _counts(kernels, config), config)


def _choose(model: keras.Model, config: PruneWeights) -> tuple[list[Kernel], list[LayerRecord]]:
    """The kernels to prune; while training single weights TF-MOT must be able to wrap their layers."""
    if config.pattern == "unstructured" and config.train is not None:
        return choose_kernels(model, config.layers, config.skip, pruning_supports)
    kernels, records = choose_kernels(model, config.layers, config.skip)
    reasons = {kernel.layer: _why_not(kernel, config.pattern) for kernel in kernels}
    records += [LayerRecord(kernel.layer, kernel.type, "skipped", reason) for kernel in kernels if (reason := reasons[kernel.layer])]
    return [kernel for kernel in kernels if reasons[kernel.layer] is None], records


def _why_not(kernel: Kernel, pattern: str) -> str | None:
    """Why a pattern leaves a kernel alone; None if it does not."""
    if pattern == "unstructured":
        return None
    if kernel.type == "Embedding":
        return f"the pattern {pattern} lies along input channels, and an Embedding has none"
    num_inputs = kernel.values.shape[-1 if kernel.channel_axis == -2 else -2]
    if pattern == "2:4" and num_inputs < LEAST_CHANNELS:
        return f"{num_inputs} input channels are as the pattern 2:4 wants them"
    return None


def _units(values: npt.NDArray[np.float32], kernel: Kernel, config: PruneWeights) -> Units:
    """What goes as a whole in `values`, the present weights of a kernel."""
    if config.pattern == "2:4":
        return two_of_four(values, kernel.channel_axis)
    if config.pattern == "block":
        return blocks(values, config.block_shape or BLOCK_SHAPE, config.block_score or "average", kernel.channel_axis)
    return single_weights(values)


def _counts(kernels: Sequence[Kernel], config: PruneWeights) -> list[int]:
    """How many units of each kernel go in the end."""
    fraction = 1.0 if config.pattern == "2:4" else config.sparsity
    return zeroed_per_kernel([_units(kernel.values, kernel, config).scores for kernel in kernels], fraction, config.scope)


def _zero_least(model: keras.Model, kernels: Sequence[Kernel], counts: Sequence[int], config: PruneWeights) -> list[LayerRecord]:
    """Sets the units of least score to zero in place; one record per kernel."""
    records = []
    for kernel, count in zip(kernels, counts, strict=True):
        variable = get_variable(model, kernel.layer, kernel.weight)
        mask = _units(variable.numpy(), kernel, config).mask(count)
        variable.assign(variable.numpy() * mask)
        records.append(_record(kernel, variable.numpy(), int((~mask).sum())))
    return records


def _mask_schedule(config: PruneWeights, context: Context) -> MaskSchedule:
    """The epochs of the recipe as updates of the weights."""
    steps = num_steps_per_epoch(context, config.train)
    begin_step, num_pruning_steps = round(config.begin * steps), max(1, round((config.end_epoch - config.begin) * steps))
    frequency = -(-num_pruning_steps // NUM_MASK_UPDATES)
    end_step = begin_step + frequency * (num_pruning_steps // frequency)  # masks are chosen at multiples of the frequency: the last is one
    initial = 1.0 if config.schedule == "constant" else config.initial_sparsity / config.sparsity if config.sparsity else 0.0
    return MaskSchedule(begin_step, end_step, frequency, initial)


def _train_with_masks(
    model: keras.Model, kernels: Sequence[Kernel], counts: Sequence[int], keeps: Sequence[Keep], train: Train, config: PruneWeights,
    context: Context,
) -> tuple[keras.Model, list[dict[str, float]]]:  # fmt: skip
    """Trains a copy whose zeros become more in the recipe's pattern."""
    pruned, schedule = copy_model(model), _mask_schedule(config, context)

    def choose(values: npt.NDArray[np.float32], part: float, kernel: Kernel, count: int) -> npt.NDArray[np.bool_]:
        return _units(values, kernel, config).mask(round(part * count))

    masked = [
        Masked(get_variable(pruned, kernel.layer, kernel.weight), partial(choose, kernel=kernel, count=count))
        for kernel, count in zip(kernels, counts, strict=True)
    ]
    first_best_epoch = schedule.end_step // num_steps_per_epoch(context, config.train)  # the epoch in which the last mask is made
    epochs = fit(pruned, train, context, keeps=keeps, callbacks=[UpdateMasks(masked, schedule)], first_best_epoch=first_best_epoch)
    return pruned, epochs


def _train_with_wrappers(
    model: keras.Model, kernels: Sequence[Kernel], counts: Sequence[int], keeps: Sequence[Keep], train: Train, config: PruneWeights,
    context: Context,
) -> tuple[keras.Model, list[dict[str, float]]]:  # fmt: skip
    """Wraps the chosen layers with TF-MOT, trains, strips the wrappers."""
    pruning = model_optimization().sparsity.keras
    steps = _mask_schedule(config, context)
    sparsities = {kernel.layer: count / kernel.values.size for kernel, count in zip(kernels, counts, strict=True)}

    def wrap(layer: keras.layers.Layer) -> keras.layers.Layer:
        if not sparsities.get(layer.name):
            return layer
        return pruning.prune_low_magnitude(layer, pruning_schedule=schedule(sparsities[layer.name]))

    def schedule(sparsity: float) -> object:
        times = {"begin_step": steps.begin_step, "end_step": steps.end_step, "frequency": steps.frequency}
        if config.schedule == "constant":
            return pruning.ConstantSparsity(sparsity, **times)
        return pruning.PolynomialDecay(min(config.initial_sparsity, sparsity), sparsity, **times)

    wrapped = with_layers_wrapped(model, wrap)
    first_best_epoch = steps.end_step // num_steps_per_epoch(context, config.train)  # the epoch in which the last mask is made
    epochs = fit(wrapped, train, context, keeps=keeps, callbacks=[pruning.UpdatePruningStep()], first_best_epoch=first_best_epoch)
    return copy_model(pruning.strip_pruning(wrapped)), epochs  # stripping reuses layers, which then stand in two graphs


def _released(pruned: set[str], keeps: Sequence[Keep]) -> tuple[str, ...]:
    """What pruning had to break, in words: zeros among shared values."""
    return tuple(
        f"{keep.layer}: {keep.describe()}, zeros were added" for keep in keeps if keep.layer in pruned and keep.kind == "centroids"
    )


def _record(kernel: Kernel, pruned: npt.NDArray[np.float32], num_zeros: int) -> LayerRecord:
    """Sparsity before and after. More zeros than asked for were there before."""
    zeros = int((pruned == 0).sum())
    reason = f"{zeros:,} of {pruned.size:,} weights are zero" + (", some since before" if zeros > num_zeros else "")
    before, after = float((kernel.values == 0).mean()), float((pruned == 0).mean())
    return LayerRecord(kernel.layer, kernel.type, "changed", reason, {"sparsity": before}, {"sparsity": after})
