"""The recipes that a `search:` block spans: a point says what each field is, which stages stand, and in which order."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any, Protocol, TypeAlias

from edgecompress.errors import RecipeError
from edgecompress.recipe.rules import check_recipe
from edgecompress.recipe.schema import Recipe, Search
from edgecompress.recipe.search import MOST_ORDERED, Dimension
from edgecompress.recipe.vary import vary_recipe

USE, ORDER = "use.", "order"  # names of what is drawn beside fields: use.ID (true or false), order (ids, with commas)
Scalar: TypeAlias = str | int | float | bool
Point: TypeAlias = dict[str, Scalar | None]


class Chooser(Protocol):
    """Whoever draws: Optuna, or chance."""

    def category(self, name: str, choices: Sequence[Scalar | None]) -> Scalar | None:
        """One of `choices`."""

    def number(self, name: str, dimension: Dimension, *, whole: bool) -> int | float:
        """A number of a range."""


class Chance:
    """Draws evenly; only for checks."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def category(self, name: str, choices: Sequence[Scalar | None]) -> Scalar | None:
        return self._random.choice(choices)

    def number(self, name: str, dimension: Dimension, *, whole: bool) -> int | float:
        low, high = ends(dimension)
        return self._random.randint(int(low), int(high)) if whole else self._random.uniform(low, high)


@dataclass(frozen=True)
class Space:
    """What may be drawn.

    Attributes:
        recipe: what every trial starts from.
        fields: dotted path -> its dimension.
        whole: paths of ranges that hold whole numbers only.
        optional: ids of stages that may be left out.
        orders: allowed orders of all stages, as ids or indices with commas; empty: as given.
    """

    recipe: Recipe
    fields: Mapping[str, Dimension]
    whole: frozenset[str]
    optional: tuple[str, ...]
    orders: tuple[str, ...]

    def draw(self, chooser: Chooser) -> Point:
        """A point; fields of a stage that is left out are not drawn."""
        point: Point = {f"{USE}{name}": chooser.category(f"{USE}{name}", (True, False)) for name in self.optional}
        if self.orders:
            point[ORDER] = chooser.category(ORDER, self.orders)
        for path, dimension in self.fields.items():
            if not point.get(f"{USE}{self.stage_of(path)}", True):
                continue
            if dimension.choices is not None:
                point[path] = chooser.category(path, [label(value) for value in dimension.choices])
            else:
                point[path] = chooser.number(path, dimension, whole=path in self.whole)
        return point

    def recipe_at(self, point: Mapping[str, Any]) -> Recipe:
        """The recipe of a point, an ordinary one.

        Raises:
            RecipeError: fields that do not go together.
        """
        names = stage_names(self.recipe)
        kept = [names.index(name) for name in self.stages_at(point)]
        return vary_recipe(self.recipe, {path: self._value(path, value) for path, value in point.items() if path in self.fields}, kept)

    def stages_at(self, point: Mapping[str, Any]) -> list[str]:
        """Ids or indices of the stages that stand at a point, in their order."""
        order = str(point[ORDER]).split(",") if ORDER in point else stage_names(self.recipe)
        return [name for name in order if point.get(f"{USE}{name}", True)]

    @staticmethod
    def stage_of(path: str) -> str:
        """Id or index of the stage that a path leads into; "" for others."""
        parts = path.split(".")
        return parts[1] if parts[0] == "stages" and len(parts) > 1 else ""

    def _value(self, path: str, value: Any) -> Any:
        """What a label stands for."""
        choices = self.fields[path].choices
        return value if choices is None else next((choice for choice in choices if label(choice) == value), value)


def make_space(recipe: Recipe) -> Space:
    """The space of a recipe whose `search:` names fields and stages that exist.

    Raises:
        RecipeError: no order of the stages is allowed by their rules.
    """
    search = search_of(recipe)
    whole = frozenset(path for path, dimension in search.space.items() if dimension.is_written_whole and _is_whole(recipe, path, dimension))
    return Space(recipe, search.space, whole, tuple(search.optional), _orders(recipe, search))


def search_of(recipe: Recipe) -> Search:
    """The `search:` block.

    Raises:
        RecipeError: there is none, or the recipe's export chooses by itself, so that trials would not be told apart.
    """
    if recipe.search is None:
        raise RecipeError(f"{recipe.name}: search must be given to search: a space of fields to vary. Received: nothing.")
    if recipe.export.format == "auto":
        expected = "export.format must be a format of its own to search; search.space may name several"
        raise RecipeError(f"{recipe.name}: {expected}. Received: 'auto'.")
    return recipe.search


def ends(dimension: Dimension) -> tuple[float, float]:
    """Lowest and highest value of a range."""
    return float(dimension.low or 0), float(dimension.high or 0)


def label(value: Any) -> Scalar | None:
    """A choice as one word: scalars as they are, lists and mappings as JSON."""
    return value if value is None or isinstance(value, str | int | float | bool) else json.dumps(value, sort_keys=True)


def stage_names(recipe: Recipe) -> list[str]:
    """The id of each stage; where it has none, its index."""
    return [stage.id or str(index) for index, stage in enumerate(recipe.stages)]


def _is_whole(recipe: Recipe, path: str, dimension: Dimension) -> bool:
    """Whether the field refuses a number with a fraction."""
    try:
        vary_recipe(recipe, {path: ends(dimension)[0] + 0.5})
    except RecipeError:
        return True
    return False


def _orders(recipe: Recipe, search: Search) -> tuple[str, ...]:
    """Allowed orders of all stages; those that change places do so among the places that they have."""
    if search.order == "given":
        return ()
    names = stage_names(recipe)
    movable = [name for name, stage in zip(names, recipe.stages, strict=True) if stage.id is not None]
    movable = movable if search.order == "any" else [name for name in names if name in search.order]
    if len(movable) > MOST_ORDERED:
        raise RecipeError(
            f"search.order: stages that change places must be at most {MOST_ORDERED}; name them. Received: {', '.join(movable)}."
        )
    places = [names.index(name) for name in movable]
    allowed = []
    for permutation in permutations(movable):
        order = list(names)
        for place, name in zip(places, permutation, strict=True):
            order[place] = name
        if _is_allowed(recipe, [names.index(name) for name in order]):
            allowed.append(",".join(order))
    if not allowed:
        raise RecipeError(f"search.order: some order of the stages must be allowed by their rules. Received: {', '.join(movable)}.")
    return tuple(allowed)


def _is_allowed(recipe: Recipe, order: Sequence[int]) -> bool:
    """Whether the rules between stages let them stand so."""
    try:
        check_recipe(recipe.model_copy(update={"stages": [recipe.stages[index] for index in order], "search": None}))
    except RecipeError:
        return False
    return True
