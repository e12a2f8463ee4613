"""Which of many trials are best: feasibility first, then Pareto fronts; and how much of the objectives a front covers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Candidate:
    """What a trial reached.

    Attributes:
        losses: one per objective, less is better.
        violation: sum of what is missed of each limit; 0 where all are met.
    """

    losses: tuple[float, ...]
    violation: float


def dominates(first: Candidate, second: Candidate) -> bool:
    """Whether the first is better in some objective and worse in none; what keeps the limits beats what does not.

    Source: Deb et al., A fast and elitist multiobjective genetic algorithm: NSGA-II (2002), section VI.
    """
    if first.violation != second.violation:
        return first.violation < second.violation
    pairs = list(zip(first.losses, second.losses, strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def front_numbers(candidates: Sequence[Candidate]) -> list[int]:
    """For each: 0 on the first front, 1 on the front that is left without it, and so on."""
    numbers, left, number = [0] * len(candidates), set(range(len(candidates))), 0
    while left:
        front = {i for i in left if not any(dominates(candidates[j], candidates[i]) for j in left)}
        for i in front:
            numbers[i] = number
        left, number = left - front, number + 1
    return numbers


def hypervolume(losses: Floats, reference: Floats) -> float:
    """Volume between points and a reference point that all of them beat; what does not beat it counts nothing.

    Args:
        losses: [n, m], less is better.
        reference: [m].
    """
    inside = losses[(losses < reference).all(axis=1)] if len(losses) else losses
    if not len(inside):
        return 0.0
    if inside.shape[1] == 1:
        return float(reference[0] - inside.min())
    inside = inside[np.argsort(inside[:, -1])]
    edges = np.append(inside[1:, -1], reference[-1])
    # Slices along the last objective: in each, those count that begin before it.
    return sum(
        (edge - point[-1]) * hypervolume(inside[: index + 1, :-1], reference[:-1])
        for index, (point, edge) in enumerate(zip(inside, edges, strict=True))
        if edge > point[-1]
    )
