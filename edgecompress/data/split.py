"""A split: samples of one part, as tf.data in a given order or in the order of an epoch."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np

from edgecompress.backend import tf
from edgecompress.data.array_inputs import ArrayInputs
from edgecompress.data.augment import augment_batch, is_active
from edgecompress.data.joined_inputs import JoinedInputs
from edgecompress.data.preprocess import output_shape
from edgecompress.data.source import Inputs
from edgecompress.errors import DataError
from edgecompress.recipe.schema import Augment, Preprocess
from edgecompress.samples import Samples, Shapes, each

NUM_PREFETCHED = 2  # batches that are ready while one is in use
NUM_ARRAY_BATCH = 256  # samples per batch when a whole split becomes an array


class Split:
    """Samples of one split; targets are their labels, or their inputs where `target` is input.

    Args:
        inputs: of the part that the split is drawn from.
        labels: of that part: int64 [n] or float32 [n, columns]; None where it has none and `target` is input.
        rows: int64 [len(split)], which samples of the part are in the split.
        preprocess: applied to each batch; by name where the inputs are.
        target: label, or input (an autoencoder).
        augment: for batches that ask for it; None: never.
        normal: labels of the classes that are no anomalies; None: there are none to detect.

    Attributes:
        labels: of the samples, like the argument.
        anomalies: bool [len(split)], which samples are some; None without `normal`.
        sample_shape: of a sample after preprocessing; by name where the inputs are.
    """

    def __init__(
        self, inputs: Inputs, labels: np.ndarray | None, rows: np.ndarray, *, preprocess: Preprocess | Mapping[str, Preprocess],
        target: Literal["label", "input"] = "label", augment: Augment | None = None, normal: Collection[int] | None = None,
    ) -> None:  # fmt: skip
        self._inputs, self._preprocess = inputs, preprocess
        self._augment = augment if augment is not None and is_active(augment) else None
        self.sample_shape: Shapes = each(output_shape, inputs.sample_shape, preprocess)
        self.labels = None if labels is None else labels[rows]
        self.anomalies = None if normal is None or self.labels is None else ~np.isin(self.labels, list(normal))
        self._part_rows = rows
        self._companions: dict[str, tf.Tensor] = {}
        self._natural: dict[int, tf.data.Dataset] = {}  # by batch size: tracing costs as much as evaluating some ten thousand small samples
        with tf.device("CPU:0"):
            self._rows = tf.constant(rows)
            self._targets = None if target == "input" else tf.constant(self.labels)

    def __len__(self) -> int:
        return int(self._rows.shape[0])

    def beside(self, **values: np.ndarray) -> Split:
        """The same samples with inputs that are pairs (inputs, values of the sample by name).

        Args:
            values: [len(split), ...] each, in the order of the split.
        """
        split = copy.copy(self)
        split._natural = {}
        with tf.device("CPU:0"):
            split._companions = self._companions | {name: tf.constant(value) for name, value in values.items()}
        return split

    def with_unlabelled(self, others: Split) -> Split:
        """These samples, and after them those of `others`; beside each stands `labelled`, bool. What stands for a missing label is 0.

        Args:
            others: of the same sample shape after preprocessing.
        """
        joined = self.beside(labelled=np.arange(len(self) + len(others)) < len(self))
        joined._inputs = JoinedInputs(self._inputs, others._inputs)
        joined._part_rows = np.concatenate([self._part_rows, others._part_rows + len(self._inputs)])
        if self.labels is not None:
            joined.labels = np.concatenate([self.labels, np.zeros((len(others), *self.labels.shape[1:]), self.labels.dtype)])
        with tf.device("CPU:0"):
            joined._rows = tf.constant(joined._part_rows)
            joined._targets = None if self._targets is None else tf.constant(joined.labels)
        return joined

    def dataset(self, batch_size: int, *, order: np.ndarray | None = None, augment_seed: int | None = None) -> tf.data.Dataset:
        """Batches of the split: (inputs float32 [b, ...], or such arrays by name; targets [b] or [b, ...]).

        Args:
            batch_size: samples per batch; the last batch holds what is left.
            order: int [m], positions in the split: a permutation or a subset. None: as the split has them.
            augment_seed: decides the augmentation, in [0, 2^63). None: none.
        """
        if order is None and augment_seed is None and batch_size in self._natural:
            return self._natural[batch_size]
        positions = np.arange(len(self)) if order is None else np.asarray(order, dtype=np.int64)
        with tf.device("CPU:0"):
            plan = tf.constant(positions), tf.constant(augment_seed or 0, tf.int64)
        batches = self._batches(*plan, len(positions), batch_size, augment=augment_seed is not None)
        batches = _untuned(batches.prefetch(NUM_PREFETCHED))
        if order is None and augment_seed is None:
            self._natural[batch_size] = batches
        return batches

    def in_place(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The whole split as (inputs float32 [n, ...], targets), not copied and to be read only: what `dataset` would copy batch by batch.

        Returns: None where that is not to be had: samples that are on disk, preprocessed, or not neighbours in memory in this order.
        """
        first, num_samples = int(self._part_rows[0]) if len(self) else 0, len(self)
        is_range = np.array_equal(self._part_rows, np.arange(first, first + num_samples))
        if not isinstance(self._inputs, ArrayInputs) or not isinstance(self._preprocess, Preprocess) or self._companions or not is_range:
            return None
        values = self._inputs.as_they_are(self._preprocess)
        if values is None:
            return None
        inputs = values[first : first + num_samples]
        return inputs, inputs if self._targets is None else np.asarray(memoryview(self._targets))

    def epochs(self, batch_size: int, *, seed: int, first_epoch: int, augment: bool) -> tf.data.Dataset:
        """A dataset that gives the next epoch each time it is iterated: what `Model.fit` needs for a whole training.

        Its epoch e is `dataset(batch_size, order=order, augment_seed=augment_seed)` with `epoch_plan(len(self), seed, e)`, so
        a training that is resumed at e sees what an undisturbed one would have seen. An iteration counts once its first
        batch is asked for, finished or not.

        Args:
            batch_size: samples per batch; the last batch holds what is left.
            seed: not negative.
            first_epoch: number of the epoch of the first iteration, from 0.
            augment: whether to augment; without effect where the split has nothing to augment with.
        """
        numbers = itertools.count(first_epoch)

        def plan() -> Iterator[tuple[np.ndarray, int]]:
            yield epoch_plan(len(self), seed, next(numbers))

        def batches(order: tf.Tensor, augment_seed: tf.Tensor) -> tf.data.Dataset:
            return self._batches(order, augment_seed, len(self), batch_size, augment=augment)

        signature = (tf.TensorSpec([len(self)], tf.int64), tf.TensorSpec([], tf.int64))
        num_batches = tf.data.experimental.assert_cardinality(-(-len(self) // batch_size))  # flat_map does not know it
        plans = tf.data.Dataset.from_generator(plan, output_signature=signature)
        return _untuned(plans.flat_map(batches).apply(num_batches).prefetch(NUM_PREFETCHED))

    def arrays(self) -> tuple[Samples, np.ndarray]:
        """The whole split as (inputs float32 [n, ...], or such arrays by name; targets); only for splits that fit into memory so."""
        with self.readable():
            inputs, targets = zip(*self.dataset(NUM_ARRAY_BATCH).as_numpy_iterator(), strict=True)
        return each(lambda *parts: np.concatenate(parts), *inputs), np.concatenate(targets)

    def some(self, number: int) -> Samples:
        """Inputs of at most `number` samples, evenly spread over the split: float32 [n, ...], or such arrays by name."""
        chosen = min(number, len(self))
        with self.readable():
            inputs, _ = next(iter(self.dataset(chosen, order=np.arange(chosen) * len(self) // chosen)))
        samples: Samples = each(lambda part: part.numpy(), inputs)
        return samples

    @contextmanager
    def readable(self) -> Iterator[None]:
        """For the time that a dataset of the split is iterated: samples that have become unreadable since they were checked are named.

        Raises:
            DataError: which sample, and why, in place of what TensorFlow says without a name.
        """
        try:
            yield
        except tf.errors.OpError as error:
            fault = self._inputs.fault(self._part_rows)
            if fault is None:
                raise
            raise DataError(fault) from error

    def _batches(self, order: tf.Tensor, augment_seed: tf.Tensor, num_samples: int, batch_size: int, *, augment: bool) -> tf.data.Dataset:
        """Batches of the samples at `order`, int64 [num_samples]. Tensors are captured, never written into the graph."""

        def batch(index: tf.Tensor) -> tuple[Any, tf.Tensor]:
            positions = order[index * batch_size : (index + 1) * batch_size]
            inputs = self._inputs.batch(tf.gather(self._rows, positions), self._preprocess)
            inputs = each(lambda tensor, shape: tf.ensure_shape(tensor, [None, *shape]), inputs, self.sample_shape)
            if augment and self._augment is not None:
                inputs = augment_batch(inputs, self._augment, tf.stack([augment_seed, index]))
            targets = inputs if self._targets is None else tf.gather(self._targets, positions)
            beside = {name: tf.gather(values, positions) for name, values in self._companions.items()}
            return (inputs, beside) if beside else inputs, targets

        return tf.data.Dataset.range(-(-num_samples // batch_size)).map(batch)


def epoch_plan(num_samples: int, seed: int, epoch: int) -> tuple[np.ndarray, int]:
    """Order and augmentation seed of an epoch; they depend on nothing else.

    Args:
        num_samples: of the split.
        seed: of the training, not negative.
        epoch: from 0.

    Returns: (order, augment_seed): a permutation int64 [num_samples], and a number in [0, 2^63).
    """
    generator = np.random.default_rng([seed, epoch])
    return generator.permutation(num_samples), int(generator.integers(2**63, dtype=np.uint64))


def _untuned(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Without tf.data's tuner: there is nothing here to tune, and an iterator that ends waits for the tuner to wake up, up to 0.6 s."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.with_options(options)
