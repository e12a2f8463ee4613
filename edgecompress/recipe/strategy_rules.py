"""Which trainings several devices can share: those that are nothing but a model, samples and promises."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from edgecompress.recipe.nodes import KeyPath
from edgecompress.recipe.problems import Problem
from edgecompress.recipe.schema import Recipe
from edgecompress.recipe.stages import TECHNIQUES, Train
from edgecompress.recipe.suggestions import received
from edgecompress.recipe.training import Training


def strategies(recipe: Recipe) -> set[str]:
    """The strategies that trainings of the recipe name."""
    return {training.strategy for _, training in _trainings(recipe, ()) if training.strategy is not None}


def strategy_problems(recipe: Recipe) -> Iterator[Problem]:
    """Trainings that name a strategy and cannot be shared.

    TF-MOT's wrappers, masks that change while training, penalties on channels and teachers live beside the model, where a copy on
    another device has nothing of them.
    """
    for path, training in _trainings(recipe, ()):
        if training.strategy is None:
            continue
        words = _why_not(recipe, path, training)
        if words is not None:
            yield Problem((*path, "strategy"), f"strategy must be absent {words}.{received(training.strategy)}")


def _why_not(recipe: Recipe, path: KeyPath, training: Training) -> str | None:
    """Why the training at `path` cannot be shared, with the way out; None: it can."""
    if isinstance(training, Train) and training.distill is not None:
        return "beside distill: a teacher teaches on one device"
    if path[0] != "stages":
        return None
    technique = recipe.stages[int(path[1])].technique
    if not TECHNIQUES[technique].shares_training:
        return f"in {technique}, whose training is not an ordinary one; a train stage after it may have one"
    if any(stage.technique == "quantize_aware" for stage in recipe.stages[: int(path[1])]):
        return "after quantize_aware, whose ranges are measured on one device"
    if path[2:] not in ((), ("train",)):
        return f"in {'.'.join(str(part) for part in path[2:])}, which trains on one device"
    return None


def _trainings(section: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Training]]:
    """Every `train:` block in a part of a recipe, at any depth, with its path."""
    if isinstance(section, Training):
        yield path, section
    if isinstance(section, list):
        for index, part in enumerate(section):
            yield from _trainings(part, (*path, index))
    elif isinstance(section, BaseModel):
        for name in type(section).model_fields:
            yield from _trainings(getattr(section, name), (*path, name))
