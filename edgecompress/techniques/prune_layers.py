"""`prune_layers`: residual branches and shape-keeping layers are removed, those first that the validation metric misses least."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgecompress.backend import keras
from edgecompress.errors import ModelError
from edgecompress.graph.blocks import Block, find_blocks, without_block
from edgecompress.graph.layers import ModelTotals, describe_layers, total
from edgecompress.graph.selection import select_layers
from edgecompress.models.copying import copy_model
from edgecompress.recipe.stages import PruneLayers
from edgecompress.stage import Context, LayerRecord, StageResult
from edgecompress.techniques.structured.reestimate import reestimate_batch_norm
from edgecompress.training import fit

MISSED_MORE = "the validation metric misses it more than those that go"


@dataclass(frozen=True)
class Removed:
    """A block that is gone, and what the validation metric was without it (None: not measured)."""

    block: Block
    metric: float | None


def apply(model: keras.Model, config: PruneLayers, context: Context) -> StageResult:
    """Removes blocks of a copy of `model`, one after the other, until enough are gone.

    Raises:
        RecipeError: a pattern that matches nothing.
        ModelError: no block can go, or not enough of them.
    """
    smaller, gone = _remove(model, config, lambda current, blocks: _least_missed(current, blocks, config, context))
    names = {name for each in gone for name in each.block.layers}
    keeps = tuple(keep for keep in context.keeps if keep.layer not in names)
    released = tuple(f"{keep.layer}: {keep.describe()}, the layer is gone" for keep in context.keeps if keep.layer in names)
    if config.reestimate and gone:
        reestimate_batch_norm(smaller, context.data.calibration, batch_size=context.data.batch_size)
    rows = fit(smaller, config.train, context, keeps=keeps) if config.train is not None and gone else []
    return StageResult(smaller, _records(model, config, gone), keeps, released, rows)


def plan(model: keras.Model, config: PruneLayers) -> tuple[keras.Model, list[LayerRecord]]:
    """The model without the last blocks; which ones go, a run measures.

    Raises:
        RecipeError: a pattern that matches nothing.
        ModelError: no block can go, or not enough of them.
    """
    smaller, gone = _remove(model, config, lambda current, blocks: (without_block(current, blocks[-1]), Removed(blocks[-1], None)))
    return smaller, _records(model, config, gone)


def _remove(
    model: keras.Model, config: PruneLayers, remove_one: Callable[[keras.Model, Sequence[Block]], tuple[keras.Model, Removed]]
) -> tuple[keras.Model, list[Removed]]:
    """Lets `remove_one` choose among the blocks that are left, until enough are gone."""
    may_go, before = _may_go(model, config), total(describe_layers(model))
    if not any(may_go(block) for block in find_blocks(model)):
        raise ModelError(f"{model.name}: model must have a residual branch, or a layer that keeps the shape of its input. Received: none.")
    current, gone = model, list[Removed]()
    while not _is_enough(config, before, total(describe_layers(current)), len(gone)):
        blocks = [block for block in find_blocks(current) if may_go(block)]
        if not blocks:
            nearest = _left(config, before, total(describe_layers(current)), len(gone))
            wanted = getattr(config, config.target)
            raise ModelError(f"{config.target} must be one that can be reached: the nearest is {nearest:.4g}. Received: {wanted:g}.")
        current, removed = remove_one(current, blocks)
        gone.append(removed)
    return (current if gone else copy_model(model)), gone


def _may_go(model: keras.Model, config: PruneLayers) -> Callable[[Block], bool]:
    """The patterns of the recipe: a block is named by any of its layers, and spared by any of them."""
    names = [(layer.name, type(layer).__name__) for layer in model.layers]
    wanted = set(select_layers(names, config.layers, field="layers")) if config.layers else {name for name, _ in names}
    spared = set(select_layers(names, config.skip, field="skip")) if config.skip else set()
    return lambda block: bool(wanted.intersection(block.layers)) and not spared.intersection(block.layers)


def _left(config: PruneLayers, before: ModelTotals, now: ModelTotals, num_gone: int) -> float:
    """What the target speaks of, in the unit in which the recipe gives it."""
    if config.target == "count":
        return num_gone
    amount, left = getattr(config, config.target), getattr(now, config.target)
    return float(left / getattr(before, config.target) if amount <= 1 else left)


def _is_enough(config: PruneLayers, before: ModelTotals, now: ModelTotals, num_gone: int) -> bool:
    left, wanted = _left(config, before, now, num_gone), getattr(config, config.target)
    return bool(left >= wanted if config.target == "count" else left <= wanted)


def _least_missed(model: keras.Model, blocks: Sequence[Block], config: PruneLayers, context: Context) -> tuple[keras.Model, Removed]:
    """Measures the model without each of the blocks; of equals, the last one goes."""
    name = context.task.metrics[0]
    sign = 1 if context.task.rises(name) else -1
    tried = []
    with context.progress.task(f"{context.stage}: measuring blocks", total=len(blocks)) as bar:
        for block in blocks:
            smaller = without_block(model, block)
            if config.reestimate:
                reestimate_batch_norm(smaller, context.data.calibration, batch_size=context.data.batch_size)
            tried.append((smaller, Removed(block, float(context.evaluate(smaller)[name]))))
            bar.advance()
    return max(reversed(tried), key=lambda pair: sign * (pair[1].metric or 0.0))


def _records(model: keras.Model, config: PruneLayers, gone: Sequence[Removed]) -> list[LayerRecord]:
    """One record per layer of a block that could go."""
    kinds = {layer.name: type(layer).__name__ for layer in model.layers}
    may_go, reasons = _may_go(model, config), dict[str, str]()
    for each in gone:
        measured = "" if each.metric is None else f": without it, the validation metric was {each.metric:.4f}"
        reasons |= dict.fromkeys(each.block.layers, f"gone with {each.block.name}{measured}")
    left = [name for block in find_blocks(model) if may_go(block) for name in block.layers if name not in reasons]
    return [
        *(LayerRecord(name, kinds[name], "changed", reason) for name, reason in reasons.items()),
        *(LayerRecord(name, kinds[name], "skipped", MISSED_MORE) for name in dict.fromkeys(left)),
    ]
