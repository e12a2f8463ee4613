"""The epochs of one training, on one device or on many: callbacks, resume, early stop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from edgecompress.backend import keras, tf
from edgecompress.graph.layers import wrapped_layer
from edgecompress.graph.selection import select_layers
from edgecompress.recipe.training import Training
from edgecompress.stage import Context
from edgecompress.store import TRAINING_FILE
from edgecompress.training.callbacks import EarlyStop, History, ResetRandomLayers, ShowProgress, StopOnNaN
from edgecompress.training.checkpoint import Checkpoint
from edgecompress.training.compiling import keras_loss, keras_metric, keras_optimizer, rises, steering_metric
from edgecompress.training.curves import WriteCurves
from edgecompress.training.feed import Feed


def run_epochs(
    trainee: keras.Model, model: keras.Model, train: Training, context: Context, feed: Feed, *,
    callbacks: Sequence[keras.callbacks.Callback] = (), first_best_epoch: int = 0, writes: bool = True,
) -> list[dict[str, float]]:  # fmt: skip
    """Trains `trainee` in place; see `fit`.

    Args:
        trainee: compiled here; the model, or what it trains within.
        model: whose layers are frozen.
        writes: False: nothing is left in the folder, for workers that are not the chief.
    """
    metric = steering_metric(context.task)
    history = History()
    early_stop = EarlyStop(metric, rises(context.task), train.early_stop, first_best_epoch) if train.early_stop else None
    checkpoint = Checkpoint(context.folder / TRAINING_FILE, history, early_stop, train.epochs)
    with frozen(model, train.freeze):
        optimizer = keras_optimizer(train, train.epochs * feed.num_steps)
        trainee.compile(optimizer=optimizer, loss=keras_loss(context.task), metrics=[keras_metric(context.task)])
        first_epoch = checkpoint.restore(trainee)
        done = early_stop is not None and first_epoch > 0 and early_stop.out_of_patience(first_epoch - 1)
        with context.progress.task(f"{context.stage}: training", (train.epochs - first_epoch) * feed.num_steps) as bar:
            own = [
                StopOnNaN(context.stage), ResetRandomLayers(context.seed), history, *([early_stop] if early_stop else []),
                *([checkpoint, WriteCurves(context.curves, history)] if writes else []), ShowProgress(bar, metric, train.epochs),
            ]  # fmt: skip
            if first_epoch < train.epochs and not done:
                trainee.fit(
                    feed.batches(first_epoch), validation_data=feed.validation, epochs=train.epochs, initial_epoch=first_epoch,
                    shuffle=False, verbose=0, callbacks=[*callbacks, *own], class_weight=feed.class_weights, **(feed.steps or {}),
                )  # fmt: skip
        if early_stop is not None and early_stop.best_weights is not None:
            for variable, value in zip(trainee.weights, early_stop.best_weights, strict=True):
                variable.assign(value)
    return history.epochs


@contextmanager
def frozen(model: keras.Model, patterns: Sequence[str]) -> Iterator[None]:
    """Keeps the chosen layers from training, until the exit."""
    by_name = {wrapped_layer(layer).name: layer for layer in model.layers}
    names = [(name, type(wrapped_layer(layer)).__name__) for name, layer in by_name.items()]
    chosen = [by_name[name] for name in (select_layers(names, patterns, field="freeze") if patterns else [])]
    before = [(layer.trainable, layer._trainable_weights, layer._non_trainable_weights) for layer in chosen]
    for layer, (_, own, others) in zip(chosen, before, strict=True):
        layer.trainable = False
        if wrapped_layer(layer) is not layer:  # TF-MOT's wrappers train the kernel and centroids that they hold, whatever their layer says
            _hold(layer, [], [*own, *others])
    try:
        yield
    finally:
        for layer, (trainable, own, others) in zip(chosen, before, strict=True):
            layer.trainable = trainable
            _hold(layer, own, others)


def _hold(layer: keras.layers.Layer, trainable: list[tf.Variable], others: list[tf.Variable]) -> None:
    """Which weights of its own a layer lists as what; past Keras, which would track the lists as something new."""
    object.__setattr__(layer, "_trainable_weights", trainable)
    object.__setattr__(layer, "_non_trainable_weights", others)
