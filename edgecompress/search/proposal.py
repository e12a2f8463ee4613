"""The next point of a search that draws by expected gain: where it begins, what it considers, what it takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from edgecompress.errors import RecipeError
from edgecompress.recipe.space import ORDER, USE, Point, Space, stage_names
from edgecompress.search.axes import Axes, Floats
from edgecompress.search.harvest import is_untrained
from edgecompress.search.start import start_points
from edgecompress.search.surrogate import Observed, Surrogate

NUM_SPREAD, NUM_NEAR = 200, 200  # points that are considered: anywhere, and near what was tried
STEP = 0.15  # standard deviation of a step along an axis
UNTRAINED_WORK, FILE_WORK = 0.2, 0.5  # of what one stage that trains costs


class Proposals:
    """Points for the trials of one search.

    Args:
        space: of the search.
        seed: of the recipe.
    """

    def __init__(self, space: Space, seed: int) -> None:
        self._space, self._seed, self._axes = space, seed, Axes(space)
        self._start = [point for point in start_points(space, seed) if self._is_allowed(point)]

    def propose(self, number: int, observed: Sequence[Observed], pending: Sequence[Mapping[str, Any]]) -> Point:
        """The point of a trial; the same for the same trials before it.

        Args:
            number: of the trial, counted from 0 without those whose points are given.
            observed: what has ended, the oldest first.
            pending: points that others try at the moment.
        """
        observed = list({repr(sorted(one.point.items())): one for one in observed}.values())  # the same point ends in the same way
        tried = [*(one.point for one in observed), *pending]
        if number < len(self._start) and self._start[number] not in tried:
            return self._start[number]
        rng = np.random.default_rng(np.random.SeedSequence([self._seed, number]))
        points = self._considered(rng, [one for one in observed if one.losses is not None])
        fresh = [point for point in points if point not in tried] or points
        for index in self._order(fresh, observed, pending):
            if self._is_allowed(fresh[index]):
                return fresh[index]
        return fresh[0]

    def _order(self, points: Sequence[Point], observed: Sequence[Observed], pending: Sequence[Mapping[str, Any]]) -> Sequence[int]:
        """The best first, by gain per work; as they come where nothing is known yet."""
        if all(one.losses is None for one in observed):
            return range(len(points))
        with threadpool_limits(1):  # the matrices are so small that threads would only wait for each other
            gains = Surrogate(self._axes, observed).gains(points, pending)
        work = work_left(self._space, points, [one.point for one in observed if one.is_full])
        order: list[int] = np.argsort(-gains / work, kind="stable").tolist()
        return order

    def _considered(self, rng: np.random.Generator, reached: Sequence[Observed]) -> list[Point]:
        """Points anywhere, points near those that were tried, and points that share their first stages."""
        names = [axis.name for axis in self._axes.free]
        places = [dict(zip(names, row, strict=True)) for row in rng.random((NUM_SPREAD, len(names))).tolist()]
        for _ in range(NUM_NEAR if reached else 0):
            place = self._axes.units(reached[int(rng.integers(len(reached)))].point)
            places.append(place | dict(self._near(rng, place) if rng.random() < 0.5 else self._later(rng, place)))
        points: dict[str, Point] = {}
        for place in places:
            point = self._axes.point(place)
            points.setdefault(repr(sorted(point.items())), point)
        return list(points.values())

    def _near(self, rng: np.random.Generator, place: Mapping[str, float]) -> Iterator[tuple[str, float]]:
        """One or two steps."""
        for name in rng.choice(list(place), size=min(len(place), int(rng.integers(1, 3))), replace=False).tolist():
            axis = next(axis for axis in self._axes.free if axis.name == name)
            yield name, float(np.clip(place[name] + STEP * rng.standard_normal(), 0, 1)) if axis.is_ordered else float(rng.random())

    def _later(self, rng: np.random.Generator, place: Mapping[str, float]) -> Iterator[tuple[str, float]]:
        """Another draw of everything that comes from some stage on."""
        stages = stage_names(self._space.recipe)
        again = {*stages[int(rng.integers(len(stages) + 1)) :]}
        for name in place:
            if name != ORDER and (name.startswith("export.") or {name.removeprefix(USE), self._space.stage_of(name)} & again):
                yield name, float(rng.random())

    def _is_allowed(self, point: Point) -> bool:
        """Whether its fields go together."""
        try:
            self._space.recipe_at(point)
        except RecipeError:
            return False
        return True


def work_left(space: Space, points: Sequence[Mapping[str, Any]], trained: Sequence[Mapping[str, Any]]) -> Floats:
    """What trials cost, in stages that train: those that one shares with earlier trials cost nothing. Never a measured time.

    Args:
        space: of the search.
        points: not tried yet.
        trained: points of trials that ran in full.

    Returns:
        [points], above 0.
    """
    untrained = {name: is_untrained(stage) for name, stage in zip(stage_names(space.recipe), space.recipe.stages, strict=True)}
    kept = {prefix for point in trained for prefix in accumulate(_line(space, point))}
    return np.array([
        FILE_WORK + sum(
            UNTRAINED_WORK if untrained[name] else 1.0
            for name, prefix in zip(space.stages_at(point), accumulate(_line(space, point)), strict=True)
            if prefix not in kept
        )
        for point in points
    ])  # fmt: skip


def _line(space: Space, point: Mapping[str, Any]) -> list[str]:
    """The stages of a point, each with its fields; the first one with what all of them depend on: fields of no stage and no export."""
    fields: dict[str, list[Any]] = {}
    for path in space.fields:
        if path in point and not path.startswith("export."):
            fields.setdefault(space.stage_of(path), []).append(point[path])
    around = fields.get("", [])
    return [repr((name, fields.get(name), around)) for name in space.stages_at(point)]
