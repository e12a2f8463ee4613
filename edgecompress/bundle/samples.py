"""Test samples for the bundle, so that a device counts right answers itself."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgecompress.device.golden import write_arrays_to
from edgecompress.errors import DataError
from edgecompress.quiet import without_noise
from edgecompress.recipe.schema import Data, Task
from edgecompress.samples import names_in_file, ordered

if TYPE_CHECKING:
    from edgecompress.report.schema import Report

SAMPLES = "samples.npz"


def draw_samples(report: Report, models: Mapping[str, Path], count: int, *, allow_code: bool = False) -> tuple[bytes, list[str]]:
    """Draws test samples with the recipe's seed.

    Args:
        report: of the run.
        models: name to .tflite.
        count: how many; all of the test split where it has fewer.
        allow_code: the recipe's data may run code.

    Returns:
        The .npz as `device.accuracy` takes it, and the models that take their inputs in the order in which the first one does.

    Raises:
        DataError: the task has no right answers, or the data is no longer that of the run.
    """
    task = Task.model_validate(report.recipe["task"])
    if task.kind not in ("classification", "multi_label"):
        raise DataError(f"{report.name}: test samples for a device need a task with right answers. Received: {task.kind}.")
    with without_noise():
        from edgecompress.data import load_data  # TensorFlow

        data = load_data(Data.model_validate(report.recipe["data"]), task, seed=report.seed, allow_code=allow_code)
    if data.fingerprint != report.data.fingerprint:
        raise DataError(f"{report.name}: data must be that of the run. Received: another; its fingerprint differs. Run the recipe again.")
    rows = np.sort(np.random.default_rng(report.seed).permutation(len(data.test))[:count])
    with without_noise(), data.test.readable():
        inputs, labels = next(data.test.dataset(len(rows), order=rows).as_numpy_iterator())
    orders = {name: names_in_file(path, data.input_shape) if isinstance(inputs, Mapping) else [] for name, path in models.items()}
    names = next(iter(orders.values()))
    threshold = [] if task.kind == "classification" else [0.0 if task.from_logits else 0.5]
    arrays = {f"input_{position}": values for position, values in enumerate(ordered(inputs, names))}
    stream = io.BytesIO()
    write_arrays_to(stream, {**arrays, "labels": labels, "threshold": np.array(threshold, np.float64)})
    return stream.getvalue(), [name for name, order in orders.items() if order == names]
