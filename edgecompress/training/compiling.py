"""Loss, metrics and optimizer of a training, from the task and the `train:` block of a recipe."""

from typing import Any

from edgecompress.backend import keras
from edgecompress.recipe.schema import Task
from edgecompress.recipe.training import Training
from edgecompress.task_functions import OwnLoss, own_metric


def keras_loss(task: Task) -> keras.losses.Loss:
    """The Keras loss of a task."""
    if task.own_loss is not None:
        return OwnLoss(task.own_loss, task.kind)
    if task.loss == "sparse_categorical_crossentropy":
        return keras.losses.SparseCategoricalCrossentropy(from_logits=task.from_logits)
    if task.loss == "binary_crossentropy":
        return keras.losses.BinaryCrossentropy(from_logits=task.from_logits)
    return keras.losses.MeanSquaredError() if task.loss == "mean_squared_error" else keras.losses.MeanAbsoluteError()


def steering_metric(task: Task) -> str:
    """The metric that is watched while training, and steers early stopping: the first, but for anomalies, which training never sees."""
    return task.loss if task.kind == "autoencoder" and task.metrics[0] == "auc" else task.metrics[0]


def keras_metric(task: Task) -> keras.metrics.Metric:
    """`steering_metric` as Keras computes it."""
    name = steering_metric(task)
    if name in task.own_metrics:
        return own_metric(task, name)
    if name == "accuracy":
        if task.kind == "multi_label":
            return keras.metrics.BinaryAccuracy(name=name, threshold=0.0 if task.from_logits else 0.5)
        return keras.metrics.SparseCategoricalAccuracy(name=name)
    if name == "top_5_accuracy":
        return keras.metrics.SparseTopKCategoricalAccuracy(k=5, name=name)
    if name == "auc":
        return keras.metrics.AUC(name=name, from_logits=task.from_logits)
    if name == "sparse_categorical_crossentropy":
        return keras.metrics.SparseCategoricalCrossentropy(name=name, from_logits=task.from_logits)
    if name == "binary_crossentropy":
        return keras.metrics.BinaryCrossentropy(name=name, from_logits=task.from_logits)
    return keras.metrics.MeanSquaredError(name=name) if name == "mean_squared_error" else keras.metrics.MeanAbsoluteError(name=name)


def keras_optimizer(train: Training, num_steps: int) -> keras.optimizers.Optimizer:
    """The optimizer, its learning rate falling over `num_steps` updates as the schedule says."""
    rate: Any = train.learning_rate
    if train.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(train.learning_rate, num_steps)
    elif train.schedule == "linear":
        rate = keras.optimizers.schedules.PolynomialDecay(train.learning_rate, num_steps, end_learning_rate=0.0)
    if train.optimizer == "sgd":
        return keras.optimizers.SGD(rate, momentum=0.9)
    return {"adam": keras.optimizers.Adam, "adamw": keras.optimizers.AdamW, "rmsprop": keras.optimizers.RMSprop}[train.optimizer](rate)


def rises(task: Task) -> bool:
    """Whether more of `steering_metric` is better."""
    return task.rises(steering_metric(task))
