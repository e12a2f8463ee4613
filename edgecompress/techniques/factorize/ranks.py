"""The rank of each layer, by the rule of the recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgecompress.errors import ModelError, RecipeError
from edgecompress.recipe.stages.factorize import DEFAULT_METRIC_DROP, Factorize
from edgecompress.techniques.factorize.arrays import Rank
from edgecompress.techniques.factorize.budget import Choice, meet, spend
from edgecompress.techniques.factorize.candidate import Candidate
from edgecompress.techniques.factorize.paths import largest_within, least_rank_of_energy

NOT_NEEDED = "the model's MACs are met without it"
TOO_DEAR = "every rank that was measured loses more of the metric than is left to lose"

Choices = Mapping[str, Sequence[Choice]]


def choose_ranks(
    candidates: Sequence[Candidate], config: Factorize, *, model_macs: int, other_macs: int, measured: Choices | None = None
) -> dict[str, Rank | str]:
    """A rank for each layer, or why it gets none.

    Args:
        candidates: the layers to choose for.
        config: the rule.
        model_macs: of the whole model, for `macs`.
        other_macs: of everything in it that is not among the candidates.
        measured: by layer, what its ranks lose of the metric, for `rank: sensitivity`.

    Raises:
        RecipeError: a rank above the full rank of every layer.
        ModelError: MACs that cannot be met.
    """
    if config.macs is not None:
        choices = _by_energy(candidates) if measured is None else {candidate.name: measured[candidate.name] for candidate in candidates}
        return _by_macs(choices, limit=int(config.macs * model_macs), other_macs=other_macs)
    if measured is not None:
        drop = DEFAULT_METRIC_DROP if config.metric_drop is None else config.metric_drop
        spent = spend({candidate.name: measured[candidate.name] for candidate in candidates}, drop)
        return {name: _why_as_it_is(measured[name]) if choice.rank is None else choice.rank for name, choice in spent.items()}
    if isinstance(config.rank, int):
        _check_rank(candidates, config.rank)
    return {candidate.name: _by_layer(candidate, config) for candidate in candidates}


def _why_as_it_is(options: Sequence[Choice]) -> str:
    """Why none of the ranks that were measured was taken."""
    if len(options) == 1:
        return "no rank that is measured saves parameters and MACs"
    return TOO_DEAR if min(option.macs for option in options[1:]) < options[0].macs else "its MACs would not fall"


def _by_layer(candidate: Candidate, config: Factorize) -> Rank | str:
    """By the rules that look at one layer."""
    if config.energy is not None:
        return least_rank_of_energy(candidate.points, config.energy).rank
    if config.ratio is not None:
        point = largest_within(candidate.points, candidate.parameters, config.ratio * candidate.parameters_before)
        return point.rank if point is not None else f"even rank 1 has more than {config.ratio:g} of its parameters"
    if config.rank == "vbmf":
        rank = candidate.vbmf_rank()
        return rank if min(rank) else "vbmf finds no signal in it, only noise"
    limit = int(config.rank or 0)
    return candidate.method.matched(candidate.group_shape, tuple(min(limit, most) for most in candidate.full_rank))


def _check_rank(candidates: Sequence[Candidate], rank: int) -> None:
    """A rank that no layer has is a mistake; one that some layers have not leaves those alone."""
    highest = max(candidates, key=lambda candidate: max(candidate.full_rank))
    if rank > max(highest.full_rank):
        received = f"Received: {rank}."
        raise RecipeError(f"rank must be at most {max(highest.full_rank)}, the full rank of {highest.name}. {received}")


def _by_energy(candidates: Sequence[Candidate]) -> Choices:
    """All ranks that save something, by layer, with the energy that they lose."""
    return {
        candidate.name: [
            Choice(None, 0.0, candidate.macs_before),
            *(Choice(point.rank, point.lost, candidate.macs(point.rank)) for point in candidate.points if candidate.saves(point.rank)),
        ]
        for candidate in candidates
    }


def _by_macs(choices: Choices, *, limit: int, other_macs: int) -> dict[str, Rank | str]:
    """What loses least per MAC saved, until the whole model is within the limit."""
    chosen = meet(choices, limit - other_macs)
    if chosen is None:
        least = other_macs + sum(min(choice.macs for choice in options) for options in choices.values())
        raise ModelError(
            f"macs must leave the model at least {least:,} MACs, with every chosen layer at its lowest rank. Received: {limit:,}."
        )
    return {name: NOT_NEEDED if choice.rank is None else choice.rank for name, choice in chosen.items()}
