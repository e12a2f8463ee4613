"""What all trainings with a teacher share: a loss of several addends, each with a curve of its own."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from edgecompress.backend import keras, tf


class Batch(NamedTuple):
    """What a training step is given. `beside` holds values of the samples by name: `teacher` (logits), `labelled` (bool)."""

    inputs: Any
    labels: tf.Tensor
    weights: tf.Tensor | None
    beside: Mapping[str, tf.Tensor]


def unpack(data: Any) -> Batch:
    """From what Keras hands to a training step; inputs may be pairs (inputs, beside)."""
    inputs, labels, weights = keras.utils.unpack_x_y_sample_weight(data)
    if not (isinstance(inputs, tuple) and len(inputs) == 2 and isinstance(inputs[1], Mapping)):  # a tuple may be several inputs
        return Batch(inputs, labels, weights, {})
    inputs, beside = inputs
    return Batch(inputs, labels, weights, beside)


def classes(batch: Batch, teacher: tf.Tensor) -> tf.Tensor:
    """The labels, [b] of classes; where a sample has none, the class that the teacher chooses."""
    mask, labels = batch.beside.get("labelled"), batch.labels
    if labels.dtype.is_integer and labels.shape.rank == 2 and labels.shape[1] == 1:  # as some data sets have them
        labels = labels[:, 0]
    if mask is None or labels.shape.rank != 1:  # values: no loss between outputs looks at them
        return labels
    return tf.where(mask, labels, tf.argmax(teacher, axis=-1, output_type=labels.dtype))


class Taught(keras.Model):
    """Trains `student`; logs hold each addend of the loss as loss_NAME. Calling it calls the student.

    Where `labelled` stands beside the inputs, the compiled loss and metrics look at the labelled samples alone.

    Args:
        student: functional or sequential model; it is trained in place.
        addends: names of the addends of the loss.
    """

    def __init__(self, student: keras.Model, addends: Sequence[str]) -> None:
        super().__init__(name=f"taught_{student.name}")
        self.student = student
        self._total = keras.metrics.Mean(name="total")
        self._addends = {name: keras.metrics.Mean(name=f"loss_{name}") for name in addends}
        self.built = True  # its layers are: Keras then knows its weights before the first step

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """The student alone."""
        return self.student(inputs, training=training)

    def label_loss(self, batch: Batch, outputs: tf.Tensor) -> tf.Tensor:
        """The compiled loss; 0 for a batch without a label."""
        return self.compiled_loss(*_labelled(batch, outputs))

    def log(self, batch: Batch, outputs: tf.Tensor, loss: tf.Tensor, addends: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The logs of a training step: means over the epoch."""
        self.compiled_metrics.update_state(*_labelled(batch, outputs))
        self._total.update_state(loss)
        for name, metric in self._addends.items():
            metric.update_state(addends[name])
        seen = [*self.compiled_metrics.metrics, *self._addends.values()]
        return {"loss": self._total.result()} | {metric.name: metric.result() for metric in seen}

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """The compiled loss and metrics of the student; what only training measures is left out."""
        super().test_step(data)
        mine = {id(metric) for metric in (self._total, *self._addends.values())}  # not by name: a metric of the user's may be called total
        return {metric.name: metric.result() for metric in self.metrics if id(metric) not in mine}


def _labelled(batch: Batch, outputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor | None]:
    """Labels, outputs and weights of the samples that have a label."""
    mask = batch.beside.get("labelled")
    if mask is None:
        return batch.labels, outputs, batch.weights
    weights = None if batch.weights is None else tf.boolean_mask(batch.weights, mask)
    return tf.boolean_mask(batch.labels, mask), tf.boolean_mask(outputs, mask), weights
