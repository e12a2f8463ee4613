"""From singular values to a path of ranks, each with what it loses; and the rules that choose a point on it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edgecompress.techniques.factorize.arrays import Array, Rank, energy_beyond

ROUNDING = 1e-12  # energies closer than this are equal


@dataclass(frozen=True)
class Point:
    """A rank, and the fraction of the kernel's energy that is lost at it: of one spectrum exactly, of two at most, else nan."""

    rank: Rank
    lost: float


def path(spectra: Sequence[Array]) -> list[Point]:
    """Ranks from 1 to full; each point keeps what the one before it keeps, and more.

    One spectrum gives every rank. Of two, the smaller of both last values goes first on the way down, and what is lost is
    their sum (De Lathauwer et al., A multilinear singular value decomposition (2000), property 10: an upper bound).

    Args:
        spectra: one or two arrays of singular values of the same kernel, falling.
    """
    shares = [np.asarray(values, np.float64) ** 2 for values in spectra]
    if not shares[0].sum():
        return [Point((1,) * len(shares), 0.0)]
    shares = [squares / squares.sum() for squares in shares]
    if len(shares) == 1:
        beyond = energy_beyond(spectra[0])
        return [Point((rank,), float(beyond[rank])) for rank in range(1, len(beyond))]
    ranks, lost = [len(squares) for squares in shares], 0.0
    points = [Point(tuple(ranks), 0.0)]
    while max(ranks) > 1:
        last = [squares[rank - 1] if rank > 1 else np.inf for squares, rank in zip(shares, ranks, strict=True)]
        mode = int(np.argmin(last))
        lost += float(last[mode])
        ranks[mode] -= 1
        points.append(Point(tuple(ranks), min(lost, 1.0)))
    return points[::-1]


def path_without_spectra(full: int) -> list[Point]:
    """Ranks from 1 to full; what they lose is not known before they are tried."""
    return [Point((rank,), math.nan) for rank in range(1, full + 1)]


def least_rank_of_energy(points: Sequence[Point], energy: float) -> Point:
    """The first point that keeps at least `energy` in (0, 1]; with all of it, the full rank unless nothing is lost before."""
    return next((point for point in points if point.lost <= 1 - energy + ROUNDING), points[-1])


def largest_within(points: Sequence[Point], cost: Callable[[Rank], int], limit: float) -> Point | None:
    """The last point that costs at most `limit`; None where even the first costs more."""
    return next((point for point in reversed(points) if cost(point.rank) <= limit), None)


def break_even(points: Sequence[Point], cost: Callable[[Rank], int], before: int) -> Rank:
    """The smallest rank on the path at which the factors cost as much as the layer did; one more than full where none does.

    For a matrix of I x O that is the rank from IO / (I + O) on.
    """
    full = points[-1].rank
    return next((point.rank for point in points if cost(point.rank) >= before), tuple(number + 1 for number in full))
