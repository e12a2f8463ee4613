"""What a trained trial gives for almost nothing: points of the space whose models need no training once its own are there.

Two kinds of change train nothing: another value of `export`, and stages after the last common one that work without training, be
it that optional ones go or that they come. What is left is a conversion and an evaluation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, combinations, takewhile, zip_longest
from typing import Any

from edgecompress.errors import RecipeError
from edgecompress.recipe.schema import Recipe
from edgecompress.recipe.space import USE, Point, Space, label, stage_names
from edgecompress.recipe.stages import StageConfig
from edgecompress.recipe.stages.post_training import PostTraining
from edgecompress.recipe.stages.prune_channels import Removal

FILE_BUDGETS = ("size_kb", "latency_ms")
Move = dict[str, Any]


def siblings(space: Space, point: Point, most: int) -> list[Point]:
    """Points that a trained one brings along, the most useful first. The same for whoever asks.

    One change comes before two. Of single ones, in turns: leaving out a stage that trained, which gives another network; another
    form of the file; a stage that works without training, which changes little.

    Args:
        space: of the search.
        point: a trial that ran in full.
        most: how many at most.
    """
    found: list[Point] = []
    if not most:
        return found
    recipe = space.recipe_at(point)
    for moves in _orderly(space, point):
        other = _moved(space, point, moves)
        if other is None or other == point or other in found:
            continue
        try:
            changed = space.recipe_at(other)
        except RecipeError:  # a format without that io, say
            continue
        if trains_nothing_new(recipe, changed):
            found.append(other)
            if len(found) == most:
                break
    return found


def trains_nothing_new(trained: Recipe, other: Recipe) -> bool:
    """Whether all stages of the other recipe are stages of the first one, with the same ones before them, or work without training."""
    if trained.export != other.export and any(_needs_file(stage) for stage in other.stages):
        return False
    shared = _num_shared(trained.stages, other.stages)
    same = {"stages": [], "export": trained.export}
    return trained.model_copy(update=same) == other.model_copy(update=same) and all(is_untrained(s) for s in other.stages[shared:])


def is_untrained(stage: StageConfig) -> bool:
    """Whether a stage works without training, on the calibration samples."""
    return isinstance(stage, PostTraining)


def _needs_file(stage: StageConfig) -> bool:
    """Whether a stage fills a budget that is measured on the file."""
    return isinstance(stage, Removal) and stage.kind in FILE_BUDGETS


def _orderly(space: Space, point: Point) -> Iterator[tuple[Move, ...]]:
    """Moves one by one, then two at once."""
    written = dict(zip(stage_names(space.recipe), space.recipe.stages, strict=True))
    toggles = [name for name in reversed(space.stages_at(point)) if name in space.optional]
    toggles += [name for name in space.optional if name not in toggles]
    flips = {name: {f"{USE}{name}": not point[f"{USE}{name}"]} for name in toggles}
    networks = [flip for name, flip in flips.items() if not is_untrained(written[name])]
    finishes = [flip for name, flip in flips.items() if is_untrained(written[name])]
    files = [
        {path: label(choice)}
        for path, dimension in space.fields.items()
        if path.startswith("export.") and dimension.choices is not None
        for choice in dimension.choices
        if label(choice) != point.get(path)
    ]
    singles = [move for turn in zip_longest(networks, files, finishes) for move in turn if move is not None]
    return chain(((move,) for move in singles), combinations(singles, 2))


def _moved(space: Space, point: Point, moves: Sequence[Move]) -> Point | None:
    """The point after some moves; None where they are of one thing, bring a stage whose fields nobody drew, or one that trains."""
    names = [name for move in moves for name in move]
    if len(set(names)) < len(names):
        return None
    other = {**point, **{name: value for move in moves for name, value in move.items()}}
    gone = {name for name in space.optional if not other[f"{USE}{name}"]}
    other = {name: value for name, value in other.items() if space.stage_of(name) not in gone}
    if any(path not in other for path in space.fields if space.stage_of(path) not in gone):
        return None
    before, after = space.stages_at(point), space.stages_at(other)
    shared = _num_shared(before, after)
    written = dict(zip(stage_names(space.recipe), space.recipe.stages, strict=True))
    return other if all(is_untrained(written[name]) for name in after[shared:]) else None


def _num_shared(first: Sequence[Any], second: Sequence[Any]) -> int:
    """How many equal parts both begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))
