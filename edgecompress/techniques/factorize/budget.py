"""Ranks for a whole model under one limit, of MACs or of what may be lost: what is lost least per MAC saved goes first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from edgecompress.techniques.factorize.arrays import Rank


@dataclass(frozen=True)
class Choice:
    """A layer at one rank, or as it is (rank None, nothing lost)."""

    rank: Rank | None
    lost: float  # energy, as a fraction of the layer's; or what the metric loses with this layer alone
    macs: int


def meet(choices: Mapping[str, Sequence[Choice]], limit: int) -> dict[str, Choice] | None:
    """One choice per layer, with at most `limit` MACs together.

    Each layer goes down the lower convex hull of what it can lose against what it costs. Of all next steps, the one with
    the least loss per MAC saved is taken until the limit is met: for a limit that is met exactly, no other set of choices
    loses less in sum.

    Args:
        choices: by layer, the way it is among them.
        limit: MACs.

    Returns:
        The choice of each layer; None where the limit cannot be met.
    """
    hulls = {name: _lower_hull(options) for name, options in choices.items()}
    chosen = {name: hull[0] for name, hull in hulls.items()}
    total = sum(choice.macs for choice in chosen.values())
    for name, before, after in _steps(hulls):
        if total <= limit:
            break
        chosen[name], total = after, total - before.macs + after.macs
    return chosen if total <= limit else None


def spend(choices: Mapping[str, Sequence[Choice]], limit: float) -> dict[str, Choice]:
    """One choice per layer, that together lose at most `limit` if losses add up.

    A layer stops where its next step no longer fits; the others go on.

    Args:
        choices: by layer, the way it is among them.
        limit: in the unit of what is lost.

    Returns:
        The choice of each layer.
    """
    hulls = {name: _lower_hull(options) for name, options in choices.items()}
    chosen = {name: hull[0] for name, hull in hulls.items()}
    stopped, total = set[str](), sum(choice.lost for choice in chosen.values())
    for name, before, after in _steps(hulls):
        if name not in stopped and total - before.lost + after.lost <= limit:
            chosen[name], total = after, total - before.lost + after.lost
        else:
            stopped.add(name)
    return chosen


def _steps(hulls: Mapping[str, Sequence[Choice]]) -> list[tuple[str, Choice, Choice]]:
    """All steps down the hulls, the least loss per MAC saved first: on each hull it rises, so the steps of a layer stay in order."""
    steps = [(name, before, after) for name, hull in hulls.items() for before, after in pairwise(hull)]
    return sorted(steps, key=lambda step: _slope(*step[1:]))


def _lower_hull(choices: Sequence[Choice]) -> list[Choice]:
    """The choices that are best for some price of a MAC, from the dearest to the cheapest."""
    hull: list[Choice] = []
    for choice in sorted(choices, key=lambda choice: (-choice.macs, choice.lost)):
        if hull and choice.macs == hull[-1].macs:
            continue
        while hull and choice.lost <= hull[-1].lost:
            hull.pop()  # cheaper and no worse
        while len(hull) > 1 and _slope(hull[-2], hull[-1]) >= _slope(hull[-1], choice):
            hull.pop()
        hull.append(choice)
    return hull


def _slope(before: Choice, after: Choice) -> float:
    """Loss per MAC saved."""
    return (after.lost - before.lost) / (before.macs - after.macs)
