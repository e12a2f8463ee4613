"""`prune_weights`: unstructured magnitude pruning with TF-MOT's wrapper and schedules.

TF-MOT decides when weights go while training; the mask that stays is ours, since TF-MOT keeps every weight that equals the
threshold: with ties, a requested half of zeros can end as none at all.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edgecompress.backend import keras, model_optimization
from edgecompress.keeps import Keep, get_variable, mask_of
from edgecompress.models.copying import copy_model, with_layers_wrapped
from edgecompress.recipe.stages import PruneWeights, Train
from edgecompress.stage import Context, LayerRecord, StageResult
from edgecompress.techniques.kernels import Kernel, choose_kernels, pruning_supports
from edgecompress.training import fit
from edgecompress.training.fit import num_steps_per_epoch

NUM_MASK_UPDATES = 50  # masks are updated at most so often between begin and end; more costs time and changes nothing
LEAST_KEPT = 0.01  # of each kernel: pruning globally must not cut a layer off


def magnitude_mask(kernel: npt.NDArray[np.floating], num_zeros: int) -> npt.NDArray[np.bool_]:
    """False at the `num_zeros` weights of least magnitude, exactly; of equal ones the earlier in C order go first.

    Args:
        kernel: any shape.
        num_zeros: 0 to kernel.size.
    """
    mask = np.ones(kernel.size, bool)
    mask[np.argsort(np.abs(kernel), axis=None, kind="stable")[:num_zeros]] = False
    return mask.reshape(kernel.shape)


def zeros_per_kernel(kernels: Sequence[npt.NDArray[np.floating]], sparsity: float, scope: str) -> list[int]:
    """How many zeros each kernel gets. scope "layer": the same fraction of each; "global": the least magnitudes of all.

    Source: Blalock et al., What is the State of Neural Network Pruning? (2020), section 2.3. Globally, one weight in a
    hundred of each kernel is kept whatever its magnitude; the total stays exact as long as `sparsity` allows it.
    """
    if scope == "layer":
        return [round(sparsity * kernel.size) for kernel in kernels]
    magnitudes = [np.abs(kernel).reshape(-1).astype(np.float64) for kernel in kernels]
    for values in magnitudes:
        num_kept = max(1, int(LEAST_KEPT * values.size))
        values[np.argsort(values, kind="stable")[values.size - num_kept :]] = np.inf
    owner = np.repeat(np.arange(len(kernels)), [values.size for values in magnitudes])
    everything = np.concatenate(magnitudes)
    num_zeros = min(round(sparsity * everything.size), int(np.isfinite(everything).sum()))
    chosen = np.argsort(everything, kind="stable")[:num_zeros]
    return [int(count) for count in np.bincount(owner[chosen], minlength=len(kernels))]


def apply(model: keras.Model, config: PruneWeights, context: Context) -> StageResult:
    """Prunes a copy of `model`, gradually while it trains, or at once when the recipe gives no `train`."""
    kernels, records = _choose(model, config)
    num_zeros = zeros_per_kernel([kernel.values for kernel in kernels], config.sparsity, config.scope)
    pruned_layers = {kernel.layer for kernel in kernels}
    held = [keep for keep in context.keeps if keep.kind == "mask" or keep.layer not in pruned_layers]
    epochs: list[dict[str, float]] = []
    if config.train is None:
        pruned = copy_model(model)
    else:
        pruned, epochs = _train_while_pruning(model, kernels, num_zeros, held, config.train, config, context)
    records += _zero_least(pruned, kernels, num_zeros)
    masks = [mask_of(kernel.layer, kernel.weight, get_variable(pruned, kernel.layer, kernel.weight).numpy()) for kernel in kernels]
    others = [keep for keep in held if keep.layer not in pruned_layers]  # the new masks hold the old zeros too
    return StageResult(pruned, records, (*others, *masks), _released(pruned_layers, context.keeps), epochs)


def plan(model: keras.Model, config: PruneWeights) -> tuple[keras.Model, list[LayerRecord]]:
    """The model pruned at once; after a training the same number of zeros may stand elsewhere."""
    kernels, records = _choose(model, config)
    pruned = copy_model(model)
    num_zeros = zeros_per_kernel([kernel.values for kernel in kernels], config.sparsity, config.scope)
    return pruned, records + _zero_least(pruned, kernels, num_zeros)


def _choose(model: keras.Model, config: PruneWeights) -> tuple[list[Kernel], list[LayerRecord]]:
    """The kernels to prune; while training TF-MOT must be able to wrap their layers."""
    if config.train is None:
        return choose_kernels(model, config.layers, config.skip)
    return choose_kernels(model, config.layers, config.skip, pruning_supports)


def _zero_least(model: keras.Model, kernels: Sequence[Kernel], num_zeros: Sequence[int]) -> list[LayerRecord]:
    """Sets the weights of least magnitude to zero in place; one record per kernel."""
    records = []
    for kernel, count in zip(kernels, num_zeros, strict=True):
        variable = get_variable(model, kernel.layer, kernel.weight)
        variable.assign(variable.numpy() * magnitude_mask(variable.numpy(), count))
        records.append(_record(kernel, variable.numpy(), count))
    return records


def _train_while_pruning(
    model: keras.Model,
    kernels: Sequence[Kernel],
    num_zeros: Sequence[int],
    keeps: Sequence[Keep],
    train: Train,
    config: PruneWeights,
    context: Context,
) -> tuple[keras.Model, list[dict[str, float]]]:
    """Wraps the chosen layers with TF-MOT, trains, strips the wrappers."""
    pruning = model_optimization().sparsity.keras
    steps = num_steps_per_epoch(context)
    begin_step, num_pruning_steps = round(config.begin * steps), max(1, round((config.end_epoch - config.begin) * steps))
    frequency = -(-num_pruning_steps // NUM_MASK_UPDATES)
    end_step = begin_step + frequency * (num_pruning_steps // frequency)  # TF-MOT prunes at multiples of the frequency: the last is one
    counts = {kernel.layer: count / kernel.values.size for kernel, count in zip(kernels, num_zeros, strict=True)}

    def wrap(layer: keras.layers.Layer) -> keras.layers.Layer:
        if not counts.get(layer.name):
            return layer
        return pruning.prune_low_magnitude(layer, pruning_schedule=schedule(counts[layer.name]))

    def schedule(sparsity: float) -> object:
        if config.schedule == "constant":
            return pruning.ConstantSparsity(sparsity, begin_step=begin_step, end_step=end_step, frequency=frequency)
        initial = min(config.initial_sparsity, sparsity)
        return pruning.PolynomialDecay(initial, sparsity, begin_step=begin_step, end_step=end_step, frequency=frequency)

    wrapped = with_layers_wrapped(model, wrap)
    first_best_epoch = end_step // steps  # the epoch in which the last mask is made
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
