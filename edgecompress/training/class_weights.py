"""How much the samples of each class count in the loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgecompress.data import Data
from edgecompress.errors import RecipeError
from edgecompress.recipe.suggestions import did_you_mean
from edgecompress.recipe.training import Training

if TYPE_CHECKING:
    from edgecompress.recipe.schema import Recipe


def class_weights(train: Training, data: Data) -> dict[int, float] | None:
    """Weight of each class, by label; None: all samples count the same.

    balanced: n / (classes * n_c) for a class of n_c among n training samples, so that each class counts the same in all, and
    the mean weight of a sample is 1.

    Raises:
        RecipeError: a name that no class has.
    """
    wanted, names = train.class_weights, data.class_names
    if wanted is None:
        return None
    if wanted == "balanced":
        counts = np.bincount(np.asarray(data.train.labels), minlength=len(names))
        return {label: float(counts.sum() / (len(names) * count)) for label, count in enumerate(counts)}
    for name in wanted:
        if name not in names:
            raise RecipeError(f"class_weights must name classes, of {', '.join(names)}. Received: {name!r}.{did_you_mean(name, names)}")
    return {label: wanted.get(name, 1.0) for label, name in enumerate(names)}


def check_class_weights(recipe: Recipe, data: Data) -> None:
    """Raises RecipeError where a training of the recipe weights a class that the data do not have."""
    for section in (recipe.model, *recipe.stages):
        train = getattr(section, "train", None)
        if train is not None:
            class_weights(train, data)
