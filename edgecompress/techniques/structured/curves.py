"""How much the groups of channels matter, and a budget spread over them by it."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edgecompress.backend import keras
from edgecompress.graph.channels import ChannelGraph, ChannelGroup, carry_out, plan_cut
from edgecompress.recipe.stages.prune_channels import Criterion
from edgecompress.sensitivity import Sensitivity, Unit, measure
from edgecompress.stage import Context
from edgecompress.techniques.structured.criteria import Floats, Scores
from edgecompress.techniques.structured.reestimate import reestimate_batch_norm
from edgecompress.techniques.structured.scores import score_channels

LEVELS = (0.25, 0.5, 0.75)  # fractions of a group's channels


def measure_channels(
    model: keras.Model, graph: ChannelGraph, names: Sequence[str], criterion: Criterion, context: Context, *, reestimate: bool = True
) -> Sensitivity:
    """The validation metric with one group at a time cut, its least channels first.

    Args:
        model: not changed.
        graph: of `model`.
        names: the groups to measure.
        criterion: what a channel is worth.
        context: its folder gets `sensitivity.json`.
        reestimate: BatchNormalization's statistics are taken anew after each cut.

    Source: Li et al., Pruning Filters (2017), section 3.2, which measures layer by layer in the same way.
    """
    scored = zip(graph.groups, score_channels(criterion, model, graph, context), strict=True)
    groups = {group.name: (group, scores) for group, scores in scored}

    def unit(name: str) -> Unit:
        group, scores = groups[name]
        order = _order(group, scores)
        levels = tuple(level for level in LEVELS if 0 < round(level * group.size) <= min(order.size, group.size - 1))

        def change(level: float) -> keras.Model:
            channels = np.sort(order[: round(level * group.size)]).tolist()
            cut = carry_out(plan_cut(graph, {name: channels}), model)
            if reestimate:
                reestimate_batch_norm(cut, context.data.calibration, batch_size=context.data.batch_size)
            return cut

        return Unit(name, levels, change)

    metric, data = context.task.metrics[0], context.data
    seed = context.seed if criterion == "random" else 0
    return measure(
        [unit(name) for name in names], model, lambda cut: context.evaluate(cut)[metric], metric=metric, rises=context.task.rises(metric),
        file=context.folder / "sensitivity.json", shared=context.sensitivities, progress=context.progress, of="channels",
        depends_on=[criterion, reestimate, seed, data.fingerprint, len(data.calibration), context.task.model_dump(mode="json")],
    )  # fmt: skip


def _order(group: ChannelGroup, scores: Scores) -> npt.NDArray[np.int64]:
    """The channels that may go, the least first."""
    order = np.argsort(scores, kind="stable")
    return order[~(group.frozen | np.isnan(scores))[order]]


def scores_of_losses(scores: Scores, stays: npt.NDArray[np.bool_], levels: Sequence[float], losses: Floats, size_before: int) -> Scores:
    """Scores in the same order as `scores`, but in a unit that all groups share: what the metric has lost once a channel is gone.

    Ranked globally by these, the next channel to go is the one whose group then has lost least: at any budget all groups that were cut
    have lost about the same. Between measured levels the loss is a straight line from (0, 0) on; beyond the last one the line goes on.

    Args:
        scores: float [channels], of the group as it is now.
        stays: bool [channels], those that may not go.
        levels: fractions of `size_before`, rising; none: nothing was measured, and all channels stay last.
        losses: float [levels], at least 0, not falling.
        size_before: channels of the group when it was measured; at least as many as now.

    Returns:
        float64 [channels].
    """
    order = np.argsort(scores, kind="stable")
    order = order[~stays[order]]
    fractions = (size_before - scores.size + 1 + np.arange(order.size)) / size_before
    found = np.full(scores.size, np.inf)
    if not len(levels):
        return found
    x, y = np.array([0.0, *levels]), np.array([0.0, *losses])
    lost = np.interp(fractions, x, y)
    beyond = fractions > x[-1]
    lost[beyond] = y[-1] + (fractions[beyond] - x[-1]) * (y[-1] - y[-2]) / (x[-1] - x[-2])
    found[order] = lost + 1e-9 * fractions  # where nothing is lost, the same fraction of each goes
    return found
