"""Successive halving: a short recovery first, and more of it for those that are not hopeless after it.

Asynchronous, so that workers never wait for each other: a trial is compared with those that reached the same rung before it
(Li et al., A System for Massively Parallel Hyperparameter Tuning, 2020). With several objectives "better" means a better front.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgecompress.recipe.schema import Recipe
from edgecompress.search.front import Candidate, front_numbers

RUNG = "rung_"  # attributes of trials: what they reached after each short recovery
LEAST_UPDATES = 1000  # tracing, conversion and evaluation of one more recovery cost as much as several hundred updates


def num_updates(recipe: Recipe, num_samples: int) -> int:
    """Updates of all stages together, if none stops early. The baseline is shared, so it does not count.

    Args:
        recipe: of a trial.
        num_samples: of the training split.
    """
    stages: list[Any] = list(recipe.stages)
    trainings = [stage if "epochs" in type(stage).model_fields else stage.train for stage in stages]
    return sum(training.epochs for training in trainings if training is not None) * -(-num_samples // recipe.data.batch_size)


def is_worth_it(recipe: Recipe, num_samples: int) -> bool:
    """Whether a recipe trains for so long that a short recovery first can save more than it costs."""
    return num_updates(recipe, num_samples) >= LEAST_UPDATES


def shortened(recipe: Recipe, fraction: float) -> Recipe:
    """The recipe with a fraction of the epochs of each stage, at least one; schedules in epochs shrink with them.

    The baseline keeps its own: it is shared by all trials.
    """
    return recipe.model_copy(update={"stages": [_shortened_stage(stage, fraction) for stage in recipe.stages]})


def goes_on(own: Candidate, others: Sequence[Candidate], keep: float) -> bool:
    """Whether a trial is among the best of its rung so far.

    Args:
        own: what it reached there.
        others: what the trials before it reached there.
        keep: fraction of all that go on, at least one.
    """
    numbers = front_numbers([own, *others])
    num_better = sum(number < numbers[0] for number in numbers[1:])
    return num_better < max(1.0, keep * len(numbers))


def _shortened_stage(stage: Any, fraction: float) -> Any:
    """One stage; its Config is made anew, so that what it demands of its fields still holds."""
    values: dict[str, Any] = {name: getattr(stage, name) for name in stage.model_fields_set}
    if "epochs" in type(stage).model_fields:
        values["epochs"] = _epochs(stage.epochs, fraction)
    if (train := values.get("train")) is not None and "epochs" in type(train).model_fields:
        epochs = _epochs(train.epochs, fraction)
        values["train"] = train.model_copy(update={"epochs": epochs})
        for name in ("begin", "end"):  # of a schedule, in epochs
            if values.get(name) is not None:
                values[name] = values[name] * epochs / train.epochs
    return type(stage).model_validate(values)


def _epochs(epochs: int, fraction: float) -> int:
    return max(1, round(epochs * fraction)) if epochs else 0
