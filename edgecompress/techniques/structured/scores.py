"""From a criterion to one score per channel of each group; the least go first, in all groups together or in each.

How the layers of a group are combined:
- l1, l2, geometric_median: each layer that makes the channels scores them; divided by the layer's mean, and averaged.
- batch_norm_scale: the average over the normalizations that the channels pass.
- lamp: on the sum of squares over all layers that make the channels.
- taylor, fisher: the sum over all layers that read the channels, which is the change of the loss when they all stop; divided by the
  group's Euclidean norm.
- activation, apoz: the average over all layers that read them; activation is divided by the group's mean.
"""

from collections.abc import Callable, Sequence

import numpy as np

from edgecompress.backend import keras
from edgecompress.graph.channels import ChannelGraph, ChannelGroup, ChannelSlice
from edgecompress.graph.channels.surgery import layer_at
from edgecompress.recipe.stages.prune_channels import Criterion
from edgecompress.stage import Context
from edgecompress.techniques.structured import criteria
from edgecompress.techniques.structured.criteria import Floats, Scores
from edgecompress.techniques.structured.evidence import activations, loss_changes

WITHOUT_SAMPLES: tuple[Criterion, ...] = ("l1", "l2", "geometric_median", "batch_norm_scale", "lamp", "random")


def score_channels(criterion: Criterion, model: keras.Model, graph: ChannelGraph, context: Context | None) -> list[Scores]:
    """Scores of all groups.

    Args:
        criterion: one of WITHOUT_SAMPLES where there is no context.
        model: not changed.
        graph: of `model`.
        context: samples, task and seed.

    Returns:
        For each group float64 [channels]; NaN where the criterion has nothing to look at.

    Raises:
        ModelError: see `evidence`.
    """
    if criterion == "random":
        generator = np.random.default_rng(0 if context is None else context.seed)
        return [generator.random(group.size) for group in graph.groups]
    if context is None or criterion in WITHOUT_SAMPLES:
        return [_score_weights(criterion, model, group) for group in graph.groups]
    samples = context.data.calibration
    if criterion in ("taylor", "fisher"):
        changes = loss_changes(model, graph, samples, context.task)
        every = criteria.taylor(changes.first_order) if criterion == "taylor" else criteria.fisher(changes.second_order)
        return [criteria.normalized(scores) for scores in _by_group(graph, every)]
    seen = activations(model, graph, samples)
    if criterion == "apoz":
        return _by_group(graph, criteria.apoz(seen.zeros))
    return [criteria.relative(scores) for scores in _by_group(graph, criteria.activation(seen.magnitudes))]


def _by_group(graph: ChannelGraph, scores: Scores) -> list[Scores]:
    return np.split(scores, graph.starts[1:-1])


def _score_weights(criterion: Criterion, model: keras.Model, group: ChannelGroup) -> Scores:
    """Scores from the weights alone."""
    if criterion == "batch_norm_scale":
        scales = [part for part in group.slices if part.weight == "gamma"]
        return _mean_over(group, scales, lambda part: criteria.batch_norm_scale(_values(model, part)[:, 0]))
    makers = [part for part in group.slices if part.role == "makes"]
    if criterion == "lamp":
        energies = np.zeros(group.size)
        for part in makers:
            np.add.at(energies, part.channels, np.square(_values(model, part), dtype=np.float64).sum(1))
        return criteria.lamp(energies)
    score: Callable[[Floats], Scores] = {"l1": criteria.l1, "l2": criteria.l2, "geometric_median": criteria.geometric_median}[criterion]
    return _mean_over(group, makers, lambda part: criteria.relative(score(_values(model, part))))


def _mean_over(group: ChannelGroup, parts: Sequence[ChannelSlice], score: Callable[[ChannelSlice], Scores]) -> Scores:
    """The mean over the slices that have a channel; NaN for one that none has."""
    sums, counts = np.zeros(group.size), np.zeros(group.size)
    for part in parts:
        np.add.at(sums, part.channels, score(part))
        np.add.at(counts, part.channels, 1)
    return np.divide(sums, counts, out=np.full(group.size, np.nan), where=counts > 0)


def _values(model: keras.Model, part: ChannelSlice) -> Floats:
    """The part's weights, one row per position."""
    values = np.moveaxis(getattr(layer_at(model, part.layer), part.weight).numpy(), part.axis, 0)
    rows: Floats = values.reshape(values.shape[0], -1)[part.positions]
    return rows
