"""Curves of a training as TensorBoard reads them: one event file for training, one for validation.

The files are written here, not by tf.summary, whose scalars need the package tensorboard. A training that goes on writes its
past anew, so that each epoch is there once.

Source: tensorflow/core/util/event.proto; file names and `brain.Event:2` as in tensorflow/core/util/events_writer.cc.
"""

import shutil
import time
from pathlib import Path
from typing import Any

from tensorflow.core.framework.summary_pb2 import Summary
from tensorflow.core.util.event_pb2 import Event

from edgecompress.backend import keras, tf
from edgecompress.store import storage_errors
from edgecompress.training.callbacks import History

PARTS = ("train", "validation")
VALIDATION = "validation_"  # what the names of a row's validation values begin with


class WriteCurves(keras.callbacks.Callback):
    """One point per epoch, from 1, of each row of `history`; stands behind it in the list of callbacks.

    Args:
        folder: of this training; what an earlier call left there is replaced.
        history: of the training.
    """

    def __init__(self, folder: Path, history: History) -> None:
        super().__init__()
        self._folder, self._history = folder, history
        self._writers: dict[str, tf.io.TFRecordWriter] = {}

    def on_train_begin(self, logs: Any = None) -> None:
        for part in PARTS:  # what else is there is of the stage's other trainings
            shutil.rmtree(self._folder / part, ignore_errors=True)
        for row in self._history.epochs:
            self._write(row)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._write(self._history.epochs[-1])

    def on_train_end(self, logs: Any = None) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers = {}

    def _write(self, row: dict[str, float]) -> None:
        """The row's values, under the names that Keras gives them."""
        for part in PARTS:
            names = [name for name in row if name != "epoch" and name.startswith(VALIDATION) == (part == "validation")]
            if not names:  # of a training that validates nothing
                continue
            scalars = [Summary.Value(tag=f"epoch_{name.removeprefix(VALIDATION)}", simple_value=row[name]) for name in names]
            event = Event(wall_time=time.time(), step=int(row["epoch"]), summary=Summary(value=scalars))
            with storage_errors(self._folder):
                writer = self._writer(part)
                writer.write(event.SerializeToString())
                writer.flush()

    def _writer(self, part: str) -> tf.io.TFRecordWriter:
        """The event file of training or validation, with the head that readers look for."""
        if part not in self._writers:
            (self._folder / part).mkdir(parents=True, exist_ok=True)
            self._writers[part] = tf.io.TFRecordWriter(str(self._folder / part / f"events.out.tfevents.{int(time.time())}.edgecompress"))
            self._writers[part].write(Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString())
        return self._writers[part]
