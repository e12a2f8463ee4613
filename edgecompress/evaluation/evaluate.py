"""The two ways in: a Keras model, or a .tflite file, measured on a split."""

from __future__ import annotations

import os
from pathlib import Path

from edgecompress.backend import keras
from edgecompress.data import Split
from edgecompress.evaluation.keras_outputs import keras_outputs
from edgecompress.evaluation.predict import Evaluation, evaluate_outputs
from edgecompress.evaluation.tflite_outputs import tflite_outputs
from edgecompress.progress import Progress
from edgecompress.recipe.schema import Task


def evaluate_keras(model: keras.Model, split: Split, task: Task, *, batch_size: int, progress: Progress) -> Evaluation:
    """Measures a Keras model, run as in inference.

    Args:
        model: one output; not changed.
        split: read in its natural order, batch by batch.
        batch_size: samples per step.
    Raises:
        ModelError: a model that does not fit the samples or the task, or gives NaN or infinity.
        DataError: samples on which a metric of the task is not defined.
    """
    with progress.task(f"evaluating {model.name}", total=len(split)) as bar:
        outputs = keras_outputs(model, split, batch_size=batch_size)
        return evaluate_outputs(outputs, task, model_name=model.name, bar=bar, anomalies=split.anomalies)


def evaluate_tflite(
    path: str | os.PathLike[str], split: Split, task: Task, *, progress: Progress, threads: int | None = None
) -> Evaluation:
    """Measures a .tflite file on this machine: in batches, on several threads, or one by one, with the same result.

    Args:
        path: a .tflite of one output.
        split: read in its natural order, batch by batch.
        threads: the most threads to use; None: as many as there are cores, at most 8.
    Raises:
        ModelError: a file that the runtime refuses or fails to run, that does not fit the samples or the task, or that
            gives NaN or infinity.
        DataError: samples on which a metric of the task is not defined.
    """
    with progress.task(f"evaluating {Path(path).name}", total=len(split)) as bar:
        outputs = tflite_outputs(Path(path), split, threads=threads)
        return evaluate_outputs(outputs, task, model_name=str(path), bar=bar, anomalies=split.anomalies)
