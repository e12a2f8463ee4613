"""What all trainings with a teacher share: a loss of several addends, each with a curve of its own."""

from collections.abc import Mapping, Sequence
from typing import Any

from edgecompress.backend import keras, tf


class Taught(keras.Model):
    """Trains `student`; logs hold each addend of the loss as loss_NAME. Calling it calls the student.

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

    def log(self, loss: tf.Tensor, addends: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The logs of a training step: means over the epoch."""
        self._total.update_state(loss)
        for name, metric in self._addends.items():
            metric.update_state(addends[name])
        seen = [*self.compiled_metrics.metrics, *self._addends.values()]
        return {"loss": self._total.result()} | {metric.name: metric.result() for metric in seen}

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """The compiled loss and metrics of the student; what only training measures is left out."""
        mine = {self._total.name, *(metric.name for metric in self._addends.values())}
        return {name: value for name, value in super().test_step(data).items() if name not in mine}
