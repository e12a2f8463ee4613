"""A training that several devices share: each has a copy of the model and computes its slice of every batch.

A batch holds the samples that it would hold on one device, and the gradient is that of its mean loss, also where the slices
differ in size; so the course is that of one device, but for the order in which floats are added, for BatchNormalization, which sees
the mean and variance of a slice, and for Dropout, which draws on each device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np

from edgecompress.backend import keras, tf
from edgecompress.data import Split
from edgecompress.keeps import Keep, constraint, find_variable, in_turn
from edgecompress.models.copying import copy_model
from edgecompress.samples import each
from edgecompress.training.variables import parts_of

Constrained = Sequence[tuple[Any, Callable[[tf.Tensor], tf.Tensor]]]


@cache
def mirrored() -> tf.distribute.Strategy:
    """All devices of this machine: its GPUs, or where there are none, what TensorFlow was told to make of its CPU."""
    devices = [device.name for device in tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")]
    return tf.distribute.MirroredStrategy(devices)


class Replica(keras.Model):
    """The copies of a model on all devices, as one model whose training step computes a slice of the batch.

    A training step takes (inputs, targets, share) or (inputs, targets, weights, share): share is the fraction of the whole batch that
    the slice is. A slice without targets has one sample as input all the same, which counts nowhere: many an operator takes no empty
    batch. Must be made in the scope of a strategy.

    Args:
        model: functional or sequential; it is copied, not changed.
        keeps: held after each update.
    """

    def __init__(self, model: keras.Model, keeps: Sequence[Keep]) -> None:
        super().__init__(name=f"replica_{model.name}")
        self.inner = copy_model(model)
        constrained = _take_constraints(self.inner, keeps)
        # As a function, since Keras takes variables in an attribute for weights of this model.
        self._hold: Callable[[], None] = partial(_hold, constrained)
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> tf.Tensor:
        """The model alone."""
        return self.inner(inputs, training=training)

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """One update of all copies."""
        inputs, targets, *weights, share = data
        weight = weights[0] if weights else None
        with tf.GradientTape() as tape:
            outputs = self(inputs, training=True)[: tf.shape(targets)[0]]
            # Keras has divided the mean over the slice by the number of slices already; they may differ in size.
            loss = self.compute_loss(inputs, targets, outputs, weight) * share * tf.distribute.get_strategy().num_replicas_in_sync
        self.optimizer.minimize(loss, self.trainable_variables, tape=tape)
        self._hold()
        return self.compute_metrics(inputs, targets, outputs, weight)

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Loss and metrics of a slice (inputs, targets)."""
        inputs, targets = data
        outputs = self(inputs, training=False)[: tf.shape(targets)[0]]
        self.compute_loss(inputs, targets, outputs, None)
        return self.compute_metrics(inputs, targets, outputs, None)


class ShareStatistics(keras.callbacks.Callback):
    """Gives all devices the mean of what BatchNormalization measured on each, before every validation: that is the model that is kept."""

    def on_test_begin(self, logs: Any = None) -> None:
        for variable in self.model.weights:
            if variable.synchronization == tf.VariableSynchronization.ON_READ and len(parts_of(variable)) > 0:
                variable.assign(variable.read_value())


@dataclass(frozen=True)
class Slices:
    """The samples of one training, cut for a strategy.

    Args:
        strategy: the devices.
        batch_size: samples of a whole batch.
    """

    strategy: tf.distribute.Strategy
    batch_size: int

    def num_steps(self, num_samples: int) -> int:
        """Updates in an epoch; the last batch may be smaller."""
        return -(-num_samples // self.batch_size)

    def epochs(self, split: Split, *, seed: int, first_epoch: int, augment: bool, class_weights: Mapping[int, float] | None) -> Any:
        """Every epoch from `first_epoch` on, one after the other, without an end: what `Model.fit` wants of a distributed dataset."""
        batches = split.epochs(self.batch_size, seed=seed, first_epoch=first_epoch, augment=augment)
        table = None if class_weights is None else np.asarray([class_weights[label] for label in sorted(class_weights)], np.float32)

        def cut(inputs: Any, targets: tf.Tensor, begin: tf.Tensor, end: tf.Tensor) -> Any:
            share = tf.cast(end - begin, tf.float32) / tf.cast(tf.shape(targets)[0], tf.float32)
            mine = _slice(inputs, targets, begin, end)
            return (*mine, share) if table is None else (*mine, tf.gather(table, mine[1]), share)

        return self._distributed(batches.repeat(), cut)

    def validation(self, batches: tf.data.Dataset) -> Any:
        """The same for validation, which begins anew with each iterator."""
        return self._distributed(batches.repeat(), _slice)

    def _distributed(self, batches: tf.data.Dataset, cut: Callable[..., Any]) -> Any:
        number = self.strategy.num_replicas_in_sync

        def mine(context: tf.distribute.InputContext) -> tf.data.Dataset:
            local = number // context.num_input_pipelines  # devices of this machine, which take the elements in turns
            first = context.input_pipeline_id * local

            def slices(inputs: Any, targets: tf.Tensor) -> tf.data.Dataset:
                size = tf.shape(targets)[0]

                def part(index: tf.Tensor) -> Any:
                    return cut(inputs, targets, size * index // number, size * (index + 1) // number)

                return tf.data.Dataset.range(first, first + local, output_type=tf.int32).map(part)

            endless = tf.data.experimental.assert_cardinality(tf.data.experimental.INFINITE_CARDINALITY)
            # Else the devices would ask each other before every step whether one of them has come to an end.
            return batches.flat_map(slices).apply(endless).prefetch(2 * local)

        return self.strategy.distribute_datasets_from_function(mine)


def _slice(inputs: Any, targets: tf.Tensor, begin: tf.Tensor, end: tf.Tensor) -> tuple[Any, tf.Tensor]:
    """A device's part of a batch; one sample at least as input."""
    return each(lambda part: part[begin : tf.maximum(end, begin + 1)], inputs), targets[begin:end]


def _take_constraints(model: keras.Model, keeps: Sequence[Keep]) -> Constrained:
    """All constraints, keeps last, taken away from the variables: Keras would apply them where a copy cannot be changed."""
    found: dict[int, tuple[Any, list[Any]]] = {}
    for variable in model.weights:
        if variable.constraint is not None:
            found[id(variable)] = (variable, [variable.constraint])
            for part in parts_of(variable):
                part._constraint = None
    for keep in sorted(keeps, key=lambda keep: keep.kind):
        variable = find_variable(model, keep.layer, keep.weight)
        if variable is not None:
            found.setdefault(id(variable), (variable, []))[1].append(constraint(keep))
    return [(variable, in_turn(functions)) for variable, functions in found.values()]


def _hold(constrained: Constrained) -> None:
    """Applies the constraints, inside a training step."""

    def update(strategy: tf.distribute.Strategy) -> None:
        for variable, function in constrained:
            strategy.extended.update(variable, lambda part, function=function: part.assign(function(part)), group=False)

    if constrained:
        tf.__internal__.distribute.interim.maybe_merge_call(update, tf.distribute.get_strategy())
