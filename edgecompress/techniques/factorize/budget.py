"""Ranks for a whole model under one limit of MACs: what is lost least per MAC saved goes first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgecompress.techniques.factorize.arrays import Rank


@dataclass(frozen=True)
class Choice:
    """A layer at one rank, or as it is (rank None, nothing lost)."""

    rank: Rank | None
    lost: float  # energy, as a fraction of the layer's
    macs: int


def spend(choices: Mapping[str, Sequence[Choice]], limit: int) -> dict[str, Choice] | None:
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
    position = dict.fromkeys(hulls, 0)
    total = sum(hull[0].macs for hull in hulls.values())
    while total > limit:
        steps = {name: hull[position[name] : position[name] + 2] for name, hull in hulls.items() if position[name] + 1 < len(hull)}
        if not steps:
            return None
        name = min(steps, key=lambda name: _slope(*steps[name]))
        position[name] += 1
        total -= steps[name][0].macs - steps[name][1].macs
    return {name: hull[position[name]] for name, hull in hulls.items()}


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
