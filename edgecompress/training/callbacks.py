"""What happens between the batches and epochs of a training."""

import math
import re
from typing import Any

import numpy as np

from edgecompress.backend import keras
from edgecompress.errors import TrainingError
from edgecompress.progress import Bar
from edgecompress.training.variables import values_of


class StopOnNaN(keras.callbacks.Callback):
    """Stops at the first step whose loss is not finite, and says which.

    Raises:
        TrainingError: with stage, epoch and step, both counted from 1.
    """

    _supports_tf_logs = True  # Keras then hands over the loss as it is, without copying every metric

    def __init__(self, stage: str) -> None:
        super().__init__()
        self._stage = stage
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if not math.isfinite(float(logs["loss"])):
            raise TrainingError(
                f"stage {self._stage}: the loss became {float(logs['loss'])} at step {batch + 1} of epoch {self._epoch + 1}. "
                "Lower learning_rate, or look for values in the data that are not scaled."
            )


class ResetRandomLayers(keras.callbacks.Callback):
    """Gives Dropout and its like a state that depends on (seed, epoch, layer) alone: a resumed training equals an undisturbed one."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._seed = seed

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        for index, layer in enumerate(self.model._flatten_layers()):
            generator = getattr(getattr(layer, "_random_generator", None), "_generator", None)
            if generator is not None:
                generator.reset_from_seed(int(np.random.SeedSequence([self._seed, epoch, index]).generate_state(1)[0]))


class EarlyStop(keras.callbacks.Callback):
    """Stops after `patience` epochs without a better validation metric, and remembers the best weights.

    Keras has such a callback, but its state cannot be stored for a resumed training. `first_epoch`: earlier epochs never
    count as the best, for a pruning schedule that has not reached its sparsity yet.
    """

    def __init__(self, metric: str, rises: bool, patience: int, first_epoch: int = 0) -> None:
        super().__init__()
        self._metric, self._sign, self._patience, self._first_epoch = f"val_{metric}", 1 if rises else -1, patience, first_epoch
        self.best_value: float | None = None
        self.best_epoch = -1
        self.best_weights: list[np.ndarray] | None = None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch < self._first_epoch:
            return
        value = self._sign * float(logs[self._metric])
        if self.best_value is None or value > self.best_value:
            self.best_value, self.best_epoch = value, epoch
            self.best_weights = values_of(self.model)
        self.model.stop_training = self.out_of_patience(epoch)

    def out_of_patience(self, epoch: int) -> bool:
        """Whether training should end after `epoch`."""
        return self.best_value is not None and epoch - self.best_epoch >= self._patience


class History(keras.callbacks.Callback):
    """One dictionary per epoch: epoch (from 1), loss, metric, their validation values, the learning rate of the last step."""

    def __init__(self) -> None:
        super().__init__()
        self.epochs: list[dict[str, float]] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        row = {"epoch": epoch + 1} | {re.sub("^val_", "validation_", name): float(value) for name, value in logs.items()}
        row.pop("lr", None)
        self.epochs.append(row | {"learning_rate": float(keras.backend.get_value(self.model.optimizer.learning_rate))})


class ShowProgress(keras.callbacks.Callback):
    """Moves a bar that counts steps."""

    _supports_tf_logs = True

    def __init__(self, bar: Bar, metric: str, num_epochs: int) -> None:
        super().__init__()
        self._bar, self._metric, self._num_epochs = bar, metric, num_epochs

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._bar.advance()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        value = float(logs[f"val_{self._metric}"])
        self._bar.describe(f"epoch {epoch + 1}/{self._num_epochs}, validation {self._metric} {value:.4f}")
