"""A space as a unit cube: one axis for each thing that is drawn, for designs that cover it and for surrogates that learn on it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecompress.recipe.search import Dimension
from edgecompress.recipe.space import ORDER, USE, Point, Scalar, Space, ends, label

Floats = npt.NDArray[np.float64]
ANY = Dimension(low=0, high=1)
ABSENT = 0.5  # where a field stands whose stage is left out


@dataclass(frozen=True)
class Axis:
    """One thing that is drawn.

    Attributes:
        name: as in a point.
        choices: in their order; None: a range.
        dimension: of a range; None: choices.
        is_whole: whether the range holds whole numbers only.
    """

    name: str
    choices: tuple[Scalar | None, ...] | None
    dimension: Dimension | None = None
    is_whole: bool = False

    @property
    def is_free(self) -> bool:
        """Whether there is more than one value."""
        return self.choices is None or len(self.choices) > 1

    @property
    def is_ordered(self) -> bool:
        """Whether its values are numbers."""
        return self.choices is None or all(isinstance(choice, int | float) and not isinstance(choice, bool) for choice in self.choices)

    def value(self, unit: float) -> Scalar | None:
        """What stands at a place in [0, 1]; numbers rise along the axis, other choices stand as they are written."""
        if self.choices is not None:
            choices = sorted(self.choices) if self.is_ordered else self.choices  # type: ignore[type-var]  # numbers
            return choices[min(len(choices) - 1, int(unit * len(choices)))]
        dimension = self.dimension or ANY
        low, high = ends(dimension)
        if dimension.log:
            found = math.exp((1 - unit) * math.log(low) + unit * math.log(high))
        else:
            found = (1 - unit) * low + unit * high
        step = dimension.step or (1.0 if self.is_whole else None)
        if step is not None:
            found = low + step * min(math.floor((high - low) / step + 1e-9), round((found - low) / step))
        return round(found) if self.is_whole else float(min(high, max(low, found)))

    def unit(self, value: Any) -> float:
        """Where a value stands; the middle of its part for a choice."""
        if self.choices is not None:
            choices = sorted(self.choices) if self.is_ordered else list(self.choices)  # type: ignore[type-var]  # numbers
            return (choices.index(value) + 0.5) / len(choices)
        dimension = self.dimension or ANY
        low, high = ends(dimension)
        if dimension.log:
            return (math.log(value) - math.log(low)) / (math.log(high) - math.log(low))
        return (float(value) - low) / (high - low)


class At:
    """A chooser that takes what stands at a place of the cube."""

    def __init__(self, units: Mapping[str, float]) -> None:
        self._units = units

    def category(self, name: str, choices: Sequence[Scalar | None]) -> Scalar | None:
        return Axis(name, tuple(choices)).value(self._units[name])

    def number(self, name: str, dimension: Dimension, *, whole: bool) -> int | float:
        value = Axis(name, None, dimension, whole).value(self._units[name])
        return value  # type: ignore[return-value]  # of a range


class Axes:
    """All axes of a space."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self.all = [Axis(f"{USE}{name}", (True, False)) for name in space.optional]
        if space.orders:
            self.all.append(Axis(ORDER, space.orders))
        for path, dimension in space.fields.items():
            choices = None if dimension.choices is None else tuple(label(value) for value in dimension.choices)
            self.all.append(Axis(path, choices, dimension, path in space.whole))
        self.free = [axis for axis in self.all if axis.is_free]

    def point(self, units: Mapping[str, float]) -> Point:
        """What stands at a place; axes that are not named stand at their begin."""
        return self._space.draw(At({axis.name: units.get(axis.name, 0.0) for axis in self.all}))

    def units(self, point: Mapping[str, Any]) -> dict[str, float]:
        """Where a point stands, on the free axes."""
        return {axis.name: axis.unit(point[axis.name]) if axis.name in point else ABSENT for axis in self.free}

    def features(self, point: Mapping[str, Any]) -> Floats:
        """A point as numbers that a surrogate learns on: places of what is ordered, one column for each choice of what is not."""
        columns: list[float] = []
        for axis in self.free:
            if axis.choices is None or axis.is_ordered:
                columns.append(axis.unit(point[axis.name]) if axis.name in point else ABSENT)
            else:
                columns += [float(axis.name in point and point[axis.name] == choice) for choice in axis.choices]
        return np.array(columns)
