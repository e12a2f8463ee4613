"""What must hold of a `search:` block, found before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edgecompress.destination import LOCAL
from edgecompress.errors import RecipeError
from edgecompress.recipe.nodes import Node
from edgecompress.recipe.problems import Problem, recipe_error
from edgecompress.recipe.schema import Recipe
from edgecompress.recipe.search import MEASURES, Dimension
from edgecompress.recipe.space import ORDER, USE, Chance, Space, ends, label, make_space, search_of
from edgecompress.recipe.strategy_rules import strategies
from edgecompress.recipe.suggestions import did_you_mean, received

# What says how a trial is judged must be the same for all of them.
FIXED = ("name", "seed", "threads", "task", "target", "benchmark", "goal", "track", "search", "vars", "extends")
DATA_FIELDS = ("preprocess", "augment", "batch_size", "calibration", "inputs")  # the samples stay the same
NUM_COMPLETIONS = 30  # draws of the other fields before a value counts as impossible


def check_space(recipe: Recipe, root: Node | None = None) -> Space:
    """Checks that every value of the space can stand in its field.

    Args:
        recipe: with a `search:` block.
        root: the recipe as read, for file and line in messages.

    Raises:
        RecipeError: everything that is wrong, one line each.
    """
    problems = [*_stage_ids(recipe), *_objectives(recipe), *_fixed(recipe), *_formats(recipe), *_twice(recipe), *_strategy(recipe)]
    if problems:
        raise recipe_error(problems, root)
    space = make_space(recipe)
    problems = [*_steps(space), *_values(space), *_first(space)]
    if problems:
        raise recipe_error(problems, root)
    return space


def objective_names(recipe: Recipe) -> list[str]:
    """What the search wants; without a word of the user: the first metric, and a small file."""
    return list(search_of(recipe).objectives) or [recipe.task.metrics[0], "size"]


def _strategy(recipe: Recipe) -> Iterator[Problem]:
    """Workers of a search take whole trials; they do not share one's training as well."""
    if "multi_worker" in strategies(recipe):
        words = "strategy must not be multi_worker in a recipe that is searched: other workers take trials of their own, see --worker"
        yield Problem(("search",), f"{words}. Received: 'multi_worker'.")


def _stage_ids(recipe: Recipe) -> Iterator[Problem]:
    """Stages that may be left out or change places."""
    search, ids = search_of(recipe), [stage.id for stage in recipe.stages if stage.id is not None]
    ordered = search.order if isinstance(search.order, list) else []
    for key, names in (("optional", search.optional), ("order", ordered)):
        for index, name in enumerate(names):
            if name not in ids:
                expected = f"the id of a stage ({', '.join(ids) or 'none has one'})"
                yield Problem(("search", key, index), f"{key} must name {expected}.{received(name)}{did_you_mean(name, ids)}")
    if search.order == "any" and len(ids) < 2:
        yield Problem(("search", "order"), f"order any needs two stages with an id.{received(ids)}")


def _objectives(recipe: Recipe) -> Iterator[Problem]:
    """What is wanted must be measured."""
    known = [*recipe.task.metrics, *MEASURES]
    for index, name in enumerate(search_of(recipe).objectives):
        path = ("search", "objectives", index)
        if name not in known:
            yield Problem(path, f"objective must be one that is measured ({', '.join(known)}).{received(name)}{did_you_mean(name, known)}")
        elif (
            name == "latency" and recipe.target.latency_table is None and (recipe.benchmark is None or LOCAL not in recipe.benchmark.hosts)
        ):
            measured = None if recipe.benchmark is None else recipe.benchmark.hosts
            expected = f"measured by a benchmark with the host {LOCAL}, or predicted from target.latency_table"
            yield Problem(path, f"objective latency must be {expected}.{received(measured)}")


def _fixed(recipe: Recipe) -> Iterator[Problem]:
    """Fields that every trial must share."""
    for path in search_of(recipe).space:
        parts = path.split(".")
        if parts[0] in FIXED or (parts[0] == "data" and (len(parts) < 2 or parts[1] not in DATA_FIELDS)):
            yield Problem(("search", "space", path), f"field must be one that may differ between trials.{received(path)}")
        elif parts[0] == "stages" and len(parts) < 3:
            expected = "field must be one of a stage, as in stages.cut.macs; search.optional and order vary the stages themselves"
            yield Problem(("search", "space", path), f"{expected}.{received(path)}")


def _formats(recipe: Recipe) -> Iterator[Problem]:
    """Trials of `auto`, which chooses by itself, would not be told apart."""
    dimension = search_of(recipe).space.get("export.format")
    if dimension is not None and "auto" in (dimension.choices or []):
        yield Problem(("search", "space", "export.format"), "formats must be ones of their own. Received: 'auto'.")


def _twice(recipe: Recipe) -> Iterator[Problem]:
    """A stage may be named by its id or its place; one field under both names would be drawn twice."""
    places = {stage.id: str(index) for index, stage in enumerate(recipe.stages) if stage.id is not None}
    first: dict[tuple[str, ...], str] = {}
    for path in search_of(recipe).space:
        parts = path.split(".")
        field = (parts[0], places.get(parts[1], parts[1]), *parts[2:]) if parts[0] == "stages" and len(parts) > 2 else tuple(parts)
        if first.setdefault(field, path) != path:
            yield Problem(("search", "space", path), f"field must be named once; {first[field]} is the same.{received(path)}")


def _values(space: Space) -> Iterator[Problem]:
    """Every choice, and both ends of every range, must be possible in some recipe of the space."""
    for path, dimension in space.fields.items():
        for value in _samples(dimension):
            fault = _fault(space, path, value)
            if fault is not None:
                yield Problem(("search", "space", path), fault)
                break


def _steps(space: Space) -> Iterator[Problem]:
    """Whole numbers lie whole numbers apart."""
    for path in sorted(space.whole):
        step = space.fields[path].step
        if step is not None and step % 1:
            yield Problem(("search", "space", path), f"step must be a whole number for this field.{received(step)}")


def _samples(dimension: Dimension) -> list[Any]:
    return [label(value) for value in dimension.choices] if dimension.choices is not None else [dimension.low, dimension.high]


def _fault(space: Space, path: str, value: Any) -> str | None:
    """What is wrong with a value, whatever the other fields are; None where some recipe can have it."""
    first = None
    for seed in range(NUM_COMPLETIONS):
        point = {path: value} if not seed else {**space.draw(Chance(seed)), path: value}
        try:
            space.recipe_at(point)
        except RecipeError as error:
            first = first or " ".join(str(error).splitlines()[0].removeprefix("--set: ").split())
            if not seed and "key must be one of" in first:
                return first
        else:
            return None
    return first


def _first(space: Space) -> Iterator[Problem]:
    """Points that are given name what the space draws."""
    search = search_of(space.recipe)
    known = [*space.fields, *(f"{USE}{name}" for name in space.optional), *([ORDER] if space.orders else [])]
    for index, point in enumerate(search.first):
        for name, value in point.items():
            path = ("search", "first", index, name)
            if name not in known:
                yield Problem(path, f"key must be one of {', '.join(known)}.{received(name)}{did_you_mean(name, known)}")
            elif not _is_inside(space, name, value):
                yield Problem(path, f"value must lie in the space.{received(value)}")


def _is_inside(space: Space, name: str, value: Any) -> bool:
    """Whether the space could draw it."""
    if name == ORDER:
        return value in space.orders
    if name.startswith(USE):
        return isinstance(value, bool)
    dimension = space.fields[name]
    if dimension.choices is not None:
        return label(value) in [label(choice) for choice in dimension.choices]
    low, high = ends(dimension)
    if not isinstance(value, int | float) or isinstance(value, bool) or (name in space.whole and value % 1):
        return False
    return low <= value <= high
