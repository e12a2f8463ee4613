"""`rank: sensitivity`: what the metric loses when one layer alone is factorized, at several ranks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from edgecompress.backend import keras
from edgecompress.models.replacing import Part, replace_layers
from edgecompress.recipe.stages import Factorize
from edgecompress.sensitivity import Sensitivity, Unit, losses_by_name, measure
from edgecompress.stage import Context
from edgecompress.techniques.factorize.budget import Choice
from edgecompress.techniques.factorize.candidate import Candidate
from edgecompress.techniques.factorize.decisions import Decision
from edgecompress.techniques.factorize.paths import largest_within

LEVELS = (0.3, 0.5, 0.7, 0.8, 0.9)  # fractions of a layer's parameters that go: the last ones cost most


def measure_ranks(
    model: keras.Model, candidates: Sequence[Candidate], config: Factorize, context: Context,
    factors: Callable[[Decision], Decision], part: Callable[[Decision], Part],
) -> tuple[Sensitivity, dict[str, list[Choice]]]:  # fmt: skip
    """The validation metric with one layer at a time in factors, and the ranks to choose from with what was lost.

    Args:
        model: not changed.
        candidates: the layers to measure.
        config: decides the factors.
        context: its folder gets `sensitivity.json`.
        factors: a decision with its factors, or with the reason why there are none.
        part: what stands for the layer of such a decision.

    Returns:
        The curves, and by layer its choices, the way it is among them.
    """
    tried = {candidate.name: _tried(candidate, factors) for candidate in candidates}

    def unit(name: str, at: Mapping[float, Decision]) -> Unit:
        return Unit(name, tuple(at), lambda level: replace_layers(model, {name: part(at[level])}))

    metric = context.task.metrics[0]
    found = measure(
        [unit(name, at) for name, at in tried.items()], model, lambda changed: context.evaluate(changed)[metric],
        metric=metric, rises=context.task.rises(metric), file=context.folder / "sensitivity.json", shared=context.sensitivities,
        progress=context.progress, of="parameters",
        depends_on=[
            config.method, config.data_aware, context.seed, context.data.fingerprint, len(context.data.calibration),
            context.task.model_dump(mode="json"),
        ],
    )  # fmt: skip
    losses = losses_by_name(found)
    choices = {}
    for candidate in candidates:
        levels, lost = losses[candidate.name]
        ranks = [tried[candidate.name][level].rank for level in levels]
        choices[candidate.name] = [
            Choice(None, 0.0, candidate.macs_before),
            *(Choice(rank, float(loss), candidate.macs(rank)) for rank, loss in zip(ranks, lost, strict=True) if rank is not None),
        ]
    return found, choices


def _tried(candidate: Candidate, factors: Callable[[Decision], Decision]) -> dict[float, Decision]:
    """Level -> the layer at the largest rank that is within it; without levels that save nothing or have no factors."""
    found: dict[float, Decision] = {}
    for level in LEVELS:
        point = largest_within(candidate.points, candidate.parameters, (1 - level) * candidate.parameters_before)
        if point is not None and candidate.saves(point.rank):
            decision = factors(Decision(candidate, point.rank))
            if decision.why_not is None:
                found[level] = decision
    return found
