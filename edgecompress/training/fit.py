"""`fit`: one training of one stage."""

from collections.abc import Sequence
from typing import Any

from edgecompress.backend import keras, tf
from edgecompress.errors import RecipeError
from edgecompress.keeps import Keep, enforced
from edgecompress.recipe.stages import Train
from edgecompress.recipe.training import Training
from edgecompress.stage import Context, Lesson
from edgecompress.training.class_weights import class_weights
from edgecompress.training.course import run_epochs
from edgecompress.training.feed import Feed, validation
from edgecompress.training.replicas import mirrored
from edgecompress.training.shared import share


def num_steps_per_epoch(context: Context, train: Training | None) -> int:
    """Optimizer updates in one epoch of a stage that trains; the last batch may be smaller. Teachers teach on unlabelled samples too."""
    data = context.data
    taught = isinstance(train, Train) and train.distill is not None
    return _num_batches(len(data.train) + (len(data.unlabelled) if taught and data.unlabelled is not None else 0), context)


def _num_batches(num_samples: int, context: Context) -> int:
    return -(-num_samples // context.data.batch_size)


def fit(
    model: keras.Model,
    train: Training,
    context: Context,
    *,
    keeps: Sequence[Keep] = (),
    callbacks: Sequence[keras.callbacks.Callback] = (),
    first_best_epoch: int = 0,
    lesson: Lesson | None = None,
) -> list[dict[str, float]]:
    """Trains `model` in place on the training split and returns one dictionary per epoch.

    A training that was killed goes on after its last whole epoch, from `context.folder`, with the bits it would have had.

    Args:
        model: changed in place; pass a copy.
        train: epochs, optimizer, schedule, early stop, frozen layers, and teachers.
        context: data, task, seed and the folder of the stage.
        keeps: held after each update.
        callbacks: of the technique, such as TF-MOT's pruning step.
        first_best_epoch: epochs before it, from 0, are never restored by early stopping.
        lesson: trains `model` with a teacher; absent: as `train.distill` says.

    Raises:
        TrainingError: the loss became NaN or infinite.
        RecipeError: a pattern of `train.freeze` matches no layer; a strategy that this training cannot have.
        DeviceError: a worker was lost.
    """
    if train.strategy is not None:
        return _fit_shared(model, train, context, keeps, callbacks=callbacks, lesson=lesson)
    if lesson is None and isinstance(train, Train) and train.distill is not None:
        lesson = context.teach(model, train.distill, context)
    trainee, samples = (model, context.data.train) if lesson is None else (lesson.trainee, lesson.samples)
    data = context.data

    def batches(first_epoch: int) -> tf.data.Dataset:
        return samples.epochs(data.batch_size, seed=context.seed, first_epoch=first_epoch, augment=data.augments)

    feed = Feed(batches, validation(context), _num_batches(len(samples), context), class_weights(train, data))
    with enforced(model, keeps), samples.readable(), data.validation.readable():
        return run_epochs(trainee, model, train, context, feed, callbacks=callbacks, first_best_epoch=first_best_epoch)


def _fit_shared(
    model: keras.Model, train: Training, context: Context, keeps: Sequence[Keep], *, callbacks: Sequence[Any], lesson: Lesson | None
) -> list[dict[str, float]]:  # fmt: skip
    """The same on several devices. What `strategy_rules` refuses is refused here for those who call from Python."""
    if callbacks or lesson is not None or (isinstance(train, Train) and train.distill is not None):
        raise RecipeError(f"stage {context.stage}: train.strategy must be absent in this training. Received: {train.strategy!r}.")
    with enforced(model, keeps):  # once, before the copies are made; they hold the keeps by themselves
        pass
    if train.strategy == "mirrored":
        return share(mirrored(), model, train, context, keeps)
    if context.share is None:
        expected = "edgecompress run on each of the workers, with TF_CONFIG or --workers"
        raise RecipeError(
            f"stage {context.stage}: a training with strategy multi_worker must be started by {expected}. Received: one process."
        )
    return context.share(model, train, context, keeps)
