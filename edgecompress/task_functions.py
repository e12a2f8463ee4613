"""Losses and metrics that are functions of the user's own. They run code: `load_functions` needs leave, and is called wherever data are.

A loss is called with tensors `(targets, outputs)`: targets int64 [b], the classes, for classification, else as the outputs; outputs
float32 [b, ...], as the model gives them. It gives one number per sample, float32 [b].

A metric is called with NumPy arrays `(targets, outputs)`, a batch at a time: targets int64 [b], or float32 [b, values]; outputs
float32 [b, values]. It gives one finite number per sample, [b]: the metric is their mean, so that two models can be compared sample by
sample. A name with "accuracy" in it is shown in percent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edgecompress.backend import keras, tf
from edgecompress.errors import ModelError, RecipeError
from edgecompress.recipe.task import Task
from edgecompress.user_code import code_hash, faults, load_function

if TYPE_CHECKING:
    from edgecompress.data.split import Split

NUM_TRIED = 8  # samples

_loaded: dict[str, Callable[..., Any]] = {}  # by place; what the user has given leave to run in this process


def load_functions(task: Task, *, allow_code: bool) -> list[str | None]:
    """Imports the functions that a task names, as they are on disk now.

    Returns:
        A hash of the code of each; empty where a task has none.

    Raises:
        RecipeError: no leave, nothing there, or what the code itself raised.
    """
    places = _places(task)
    for field, place in places.items():
        _loaded[place] = load_function(place, RecipeError, field, allow_code=allow_code)
    return [code_hash(place) for place in places.values()]


def try_functions(task: Task, split: Split, output_shape: Sequence[int]) -> None:
    """Calls them once on real targets and outputs that are all alike, so that a mistake is found before any training.

    Args:
        split: whose first targets are taken.
        output_shape: of the model, for one sample.

    Raises:
        RecipeError: a function raises, or gives something else than one number per sample; a loss that cannot be differentiated.
    """
    if not _places(task):
        return
    with split.readable():
        targets = next(split.dataset(NUM_TRIED).as_numpy_iterator())[1]
    outputs = np.full((len(targets), *output_shape), 0.0 if task.from_logits else 1 / output_shape[-1], np.float32)
    rows = outputs.reshape(len(outputs), -1)
    for name in task.own_metrics:
        own_metric_values(task, name, rows, targets.astype(np.int64) if task.kind == "classification" else targets.reshape(rows.shape))
    if task.own_loss is None:
        return
    given, loss = tf.Variable(outputs), OwnLoss(task.own_loss, task.kind)
    with tf.GradientTape() as tape:
        value = loss(tf.convert_to_tensor(targets), given)
    if tape.gradient(value, given) is None:
        raise RecipeError(f"task.own_loss: {task.own_loss} must be differentiable by its outputs. Received: no gradient.")


def own_metric_values(task: Task, name: str, rows: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """One number per sample, float64 [b].

    Args:
        rows: float32 [b, values], the outputs.
        targets: int64 [b] or float32 [b, values].

    Raises:
        RecipeError: the function raises, or gives something else than one number per sample.
        ModelError: for these outputs a number is not finite.
    """
    place, field = task.own_metrics[name].function, f"task.own_metrics.{name}"
    with faults(place, RecipeError, field):
        values = np.asarray(_loaded[place](targets, rows), dtype=np.float64)
    if values.shape != (len(rows),):
        raise RecipeError(
            f"{field}: {place} must give one number per sample, an array of shape [{len(rows)}]. Received: {list(values.shape)}."
        )
    if not np.isfinite(values).all():
        broken = int((~np.isfinite(values)).sum())
        raise ModelError(f"{field}: {place} must give finite numbers. Received: NaN or infinity for {broken} of {len(values)} samples.")
    return values


class OwnLoss(keras.losses.Loss):
    """The loss that a function of the user's own computes.

    Args:
        place: of a function that `load_functions` has loaded.
        kind: of the task.
    """

    def __init__(self, place: str, kind: str) -> None:
        super().__init__(name="own_loss")
        self._place, self._kind = place, kind

    def call(self, targets: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        """float32 [b]; Keras weighs them and takes their mean."""
        place = self._place
        if self._kind == "classification":
            wanted = tf.cast(tf.reshape(targets, [-1]), tf.int64)
        else:
            wanted = tf.reshape(tf.cast(targets, outputs.dtype), tf.shape(outputs))
        with faults(place, RecipeError, "task.own_loss"):
            values = tf.cast(_loaded[place](wanted, outputs), outputs.dtype)
        if values.shape.rank != 1:
            shape = values.shape.as_list() if values.shape.rank is not None else "an unknown shape"
            raise RecipeError(f"task.own_loss: {place} must give one number per sample, a tensor of shape [b]. Received: {shape}.")
        return values


def own_metric(task: Task, name: str) -> keras.metrics.Metric:
    """The mean of a metric of the user's own while Keras trains."""

    def values(targets: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        rows = tf.reshape(outputs, [tf.shape(outputs)[0], -1])
        wanted = tf.cast(tf.reshape(targets, [-1]), tf.int64) if task.kind == "classification" else tf.reshape(targets, tf.shape(rows))
        function = _loaded[task.own_metrics[name].function]
        found = tf.numpy_function(lambda *arrays: np.asarray(function(*arrays), np.float32), [wanted, rows], tf.float32, stateful=False)
        found.set_shape([None])
        return found

    return keras.metrics.MeanMetricWrapper(values, name=name)


def _places(task: Task) -> dict[str, str]:
    """Field -> function."""
    own = {f"task.own_metrics.{name}": metric.function for name, metric in task.own_metrics.items()}
    return own if task.own_loss is None else {"task.own_loss": task.own_loss, **own}
