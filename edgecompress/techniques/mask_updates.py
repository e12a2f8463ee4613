"""Pruning while training for patterns that TF-MOT does not have for all layers: its schedule, with masks of our own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecompress.backend import keras, tf

EXPONENT = 3  # of the polynomial


@dataclass(frozen=True)
class MaskSchedule:
    """When masks are chosen, and which part of the final zeros they have then, as TF-MOT's PolynomialDecay and ConstantSparsity say it.

    Attributes:
        begin_step, end_step: first and last update of the weights before which masks are chosen.
        frequency: updates from one choice to the next; `end_step - begin_step` is a multiple of it.
        initial: fraction of the final zeros at `begin_step`; 1: constant.

    Source: Zhu & Gupta, To prune, or not to prune (2017), section 3.
    """

    begin_step: int
    end_step: int
    frequency: int
    initial: float

    def is_due(self, step: int) -> bool:
        """Whether masks are chosen before the update number `step`, from 0."""
        return self.begin_step <= step <= self.end_step and (step - self.begin_step) % self.frequency == 0

    def fraction(self, step: int) -> float:
        """The part of the final zeros, in [0, 1]."""
        left = 1 - (step - self.begin_step) / max(1, self.end_step - self.begin_step)
        return 1 + (self.initial - 1) * left**EXPONENT


@dataclass(frozen=True, eq=False)
class Masked:
    """A kernel under pruning. `choose`: (its values, part of the final zeros) to the mask, False at zeros."""

    variable: tf.Variable
    choose: Callable[[npt.NDArray[np.float32], float], npt.NDArray[np.bool_]]


class UpdateMasks(keras.callbacks.Callback):
    """Chooses masks anew at the steps of a schedule, and puts their zeros back after each update of the weights."""

    _supports_tf_logs = True  # Keras then hands over the loss as it is, without copying every metric

    def __init__(self, kernels: Sequence[Masked], schedule: MaskSchedule) -> None:
        super().__init__()
        self._kernels, self._schedule = kernels, schedule
        self._masks = [tf.Variable(tf.ones_like(kernel.variable, tf.bool), trainable=False) for kernel in kernels]
        self._hold = tf.function(self._multiply)

    def on_train_begin(self, logs: Any = None) -> None:
        if self._step() > self._schedule.begin_step:  # a training that goes on: the masks are what is zero
            for kernel, mask in zip(self._kernels, self._masks, strict=True):
                mask.assign(kernel.variable != 0)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        step = self._step()
        if self._schedule.is_due(step):
            for kernel, mask in zip(self._kernels, self._masks, strict=True):
                mask.assign(kernel.choose(kernel.variable.numpy(), self._schedule.fraction(step)))
            self._hold()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._hold()

    def _step(self) -> int:
        """Updates so far, also before a training was continued."""
        return int(self.model.optimizer.iterations)

    def _multiply(self) -> None:
        """Zeros in place, in one call of TensorFlow."""
        for kernel, mask in zip(self._kernels, self._masks, strict=True):
            kernel.variable.assign(tf.where(mask, kernel.variable, tf.zeros_like(kernel.variable)))
