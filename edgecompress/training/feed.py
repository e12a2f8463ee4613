"""What a training is fed with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgecompress.backend import tf
from edgecompress.stage import Context


@dataclass(frozen=True)
class Feed:
    """Batches of a training.

    Attributes:
        batches: from the first epoch, counted from 0, to what `Model.fit` takes.
        validation: what it takes for validation.
        num_steps: updates in an epoch.
        class_weights: of Keras; None where the batches hold weights or need none.
        steps: further arguments of `Model.fit`, for batches that do not say where an epoch ends.
    """

    batches: Callable[[int], Any]
    validation: Any
    num_steps: int
    class_weights: Mapping[int, float] | None = None
    steps: Mapping[str, int] | None = None


def validation(context: Context) -> tf.data.Dataset:
    """What is looked at after each epoch: the validation split, but for its anomalies, which say nothing of a training without them."""
    split = context.data.validation
    order = None if split.anomalies is None else np.flatnonzero(~split.anomalies)
    return split.dataset(context.data.batch_size, order=order)
