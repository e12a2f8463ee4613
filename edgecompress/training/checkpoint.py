"""The state of a training after a whole epoch: enough to go on as if nothing had happened.

Order of samples, augmentation and dropout depend on (seed, epoch) alone, so weights, optimizer, history and the memory of
early stopping are all there is to keep.
"""

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgecompress.backend import keras
from edgecompress.store import write_atomic
from edgecompress.training.callbacks import EarlyStop, History
from edgecompress.training.variables import value_of


class Checkpoint(keras.callbacks.Callback):
    """Writes the state to `path` after each epoch but the last one; `restore` reads it back."""

    def __init__(self, path: Path, history: History, early_stop: EarlyStop | None, num_epochs: int) -> None:
        super().__init__()
        self._path, self._history, self._early_stop, self._num_epochs = path, history, early_stop, num_epochs

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch + 1 == self._num_epochs:
            return  # the caller stores the finished model at once
        state: dict[str, Any] = {"epoch": epoch, "history": self._history.epochs}
        arrays = {f"weight_{i}": value_of(value) for i, value in enumerate(self.model.weights)}
        arrays |= {f"optimizer_{i}": value_of(value) for i, value in enumerate(self.model.optimizer.variables)}
        if self._early_stop is not None:
            state |= {"best_value": self._early_stop.best_value, "best_epoch": self._early_stop.best_epoch}
            arrays |= {f"best_{i}": value for i, value in enumerate(self._early_stop.best_weights or [])}
        content = io.BytesIO()
        np.savez(content, state=np.frombuffer(json.dumps(state).encode(), np.uint8), **arrays)
        write_atomic(self._path, content.getbuffer())

    def restore(self, model: keras.Model) -> int:
        """Puts a stored state into `model`, its optimizer and the other callbacks; returns the epoch to start with.

        0: none is stored, or that of a model with other variables.
        """
        model.optimizer.build(model.trainable_variables)  # in any case: a first step that made its variables would be traced twice
        try:
            with np.load(self._path, allow_pickle=False) as file:
                stored = dict(file)
        except (OSError, EOFError, ValueError, zipfile.BadZipFile):
            return 0
        wanted = {f"weight_{i}": value for i, value in enumerate(model.weights)}
        wanted |= {f"optimizer_{i}": value for i, value in enumerate(model.optimizer.variables)}
        if not _holds(stored, wanted):
            return 0
        state = json.loads(stored["state"].tobytes())
        for name, variable in wanted.items():
            variable.assign(stored[name])
        self._history.epochs = state["history"]
        if self._early_stop is not None:
            self._early_stop.best_value, self._early_stop.best_epoch = state["best_value"], state["best_epoch"]
            if self._early_stop.best_value is not None:
                self._early_stop.best_weights = [stored[f"best_{i}"] for i in range(len(model.weights))]
        return int(state["epoch"]) + 1


def _holds(stored: Mapping[str, np.ndarray], wanted: Mapping[str, Any]) -> bool:
    """Whether the stored arrays are those of these variables, by number and shapes."""
    found = {name: array.shape for name, array in stored.items() if name.startswith(("weight_", "optimizer_"))}
    return found == {name: tuple(variable.shape) for name, variable in wanted.items()}
