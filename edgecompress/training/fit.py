"""`fit`: one training of one stage."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from edgecompress.backend import keras, tf
from edgecompress.graph.layers import wrapped_layer
from edgecompress.graph.selection import select_layers
from edgecompress.keeps import Keep, enforced
from edgecompress.recipe.stages import Train
from edgecompress.recipe.training import Training
from edgecompress.stage import Context, Lesson
from edgecompress.store import TRAINING_FILE
from edgecompress.training.callbacks import EarlyStop, History, ResetRandomLayers, ShowProgress, StopOnNaN
from edgecompress.training.checkpoint import Checkpoint
from edgecompress.training.class_weights import class_weights
from edgecompress.training.compiling import keras_loss, keras_metric, keras_optimizer, rises, steering_metric


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
        RecipeError: a pattern of `train.freeze` matches no layer.
    """
    metric = steering_metric(context.task)
    if lesson is None and isinstance(train, Train) and train.distill is not None:
        lesson = context.teach(model, train.distill, context)
    trainee, samples = (model, context.data.train) if lesson is None else (lesson.trainee, lesson.samples)
    num_steps = _num_batches(len(samples), context)
    history = History()
    early_stop = EarlyStop(metric, rises(context.task), train.early_stop, first_best_epoch) if train.early_stop else None
    checkpoint = Checkpoint(context.folder / TRAINING_FILE, history, early_stop, train.epochs)
    with _frozen(model, train.freeze), enforced(model, keeps):
        optimizer = keras_optimizer(train, train.epochs * num_steps)
        trainee.compile(optimizer=optimizer, loss=keras_loss(context.task), metrics=[keras_metric(context.task)])
        first_epoch = checkpoint.restore(trainee)
        done = early_stop is not None and first_epoch > 0 and early_stop.out_of_patience(first_epoch - 1)
        with context.progress.task(f"{context.stage}: training", (train.epochs - first_epoch) * num_steps) as bar:
            own = [
                StopOnNaN(context.stage), ResetRandomLayers(context.seed), history, *([early_stop] if early_stop else []),
                checkpoint, ShowProgress(bar, metric, train.epochs),
            ]  # fmt: skip
            if first_epoch < train.epochs and not done:
                data = context.data
                batches = samples.epochs(data.batch_size, seed=context.seed, first_epoch=first_epoch, augment=data.augments)
                with samples.readable(), data.validation.readable():
                    trainee.fit(
                        batches, validation_data=_validation(context), epochs=train.epochs, initial_epoch=first_epoch,
                        shuffle=False, verbose=0, callbacks=[*callbacks, *own], class_weight=class_weights(train, data),
                    )  # fmt: skip
        if early_stop is not None and early_stop.best_weights is not None:
            for variable, value in zip(trainee.weights, early_stop.best_weights, strict=True):
                variable.assign(value)
    return history.epochs


def _validation(context: Context) -> tf.data.Dataset:
    """What is looked at after each epoch: the validation split, but for its anomalies, which say nothing of a training without them."""
    split = context.data.validation
    order = None if split.anomalies is None else np.flatnonzero(~split.anomalies)
    return split.dataset(context.data.batch_size, order=order)


@contextmanager
def _frozen(model: keras.Model, patterns: Sequence[str]) -> Iterator[None]:
    """Keeps the chosen layers from training, until the exit."""
    by_name = {wrapped_layer(layer).name: layer for layer in model.layers}
    names = [(name, type(wrapped_layer(layer)).__name__) for name, layer in by_name.items()]
    frozen = [by_name[name] for name in (select_layers(names, patterns, field="freeze") if patterns else [])]
    before = [(layer.trainable, layer._trainable_weights, layer._non_trainable_weights) for layer in frozen]
    for layer, (_, own, others) in zip(frozen, before, strict=True):
        layer.trainable = False
        if wrapped_layer(layer) is not layer:  # TF-MOT's wrappers train the kernel and centroids that they hold, whatever their layer says
            _hold(layer, [], [*own, *others])
    try:
        yield
    finally:
        for layer, (trainable, own, others) in zip(frozen, before, strict=True):
            layer.trainable = trainable
            _hold(layer, own, others)


def _hold(layer: keras.layers.Layer, trainable: list[tf.Variable], others: list[tf.Variable]) -> None:
    """Which weights of its own a layer lists as what; past Keras, which would track the lists as something new."""
    object.__setattr__(layer, "_trainable_weights", trainable)
    object.__setattr__(layer, "_non_trainable_weights", others)
