"""`convert` and `evaluate`: one step of the line for one model, without a run folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from edgecompress.device import DeviceFault
from edgecompress.device.child import run_job
from edgecompress.errors import DataError, ModelError
from edgecompress.inspection import is_tflite
from edgecompress.progress import Progress
from edgecompress.quiet import noise_to
from edgecompress.recipe.schema import Data, Export, Recipe, Task
from edgecompress.store import write_atomic

PROBE_TIMEOUT_S = 120.0

if TYPE_CHECKING:
    import numpy as np
    from rich.table import Table


def convert(
    model: Path, *, format: str = "int8", io: str | None = None, data: Path | None = None, out: Path | None = None,
    allow_code: bool = False, progress: Progress | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Converts a Keras model file to a .tflite that has run once.

    Args:
        model: .h5, .keras or SavedModel folder.
        format: as in the `export:` block of a recipe.
        io: type of the in- and outputs.
        data: .npz (x or x_train as the model takes it) or a folder with one folder per class; needed by int8 and int16x8.
        out: the file to write; absent: beside the model.

    Returns:
        The keys of the report's `artifact`, with `path`, `format`, `rung` and `warnings`.

    Raises:
        EdgeCompressError: the model, the data or the conversion; nothing is written then.
    """
    export = Export.model_validate({"format": format, "io": io})
    if export.format in ("int8", "int16x8") and data is None:
        raise DataError(f"format {format} needs real samples for calibration: name them with --data")
    with _noise_to_nowhere():
        from edgecompress import export as exporting
        from edgecompress.models import load_model
        from edgecompress.tflite import describe

        progress = progress or Progress()
        keras_model = load_model(model, allow_code=allow_code)
        calibration = _calibration(data, keras_model.input_shape[1:]) if data is not None else None
        with progress.task("converting"):
            conversion = exporting.convert(keras_model, export, calibration=calibration, progress=progress)
        path = out or model.with_suffix(".tflite")
        write_atomic(path, conversion.content)
        facts = {"rung": conversion.rung, "warnings": conversion.warnings}
        return {"path": str(path), "format": format, **describe(conversion.content), **facts}


def _calibration(path: Path, input_shape: tuple[int, ...]) -> np.ndarray:
    """Samples for calibration, from a source that a recipe could name; images get the size that the model takes."""
    from edgecompress.data import load_data

    section: dict[str, Any] = {"source": "image_folder" if path.is_dir() else "npz", "path": str(path)}
    if path.is_dir():
        section["preprocess"] = {"resize": list(input_shape[:2]), "scale": 1 / 255}
    samples: np.ndarray = load_data(Data.model_validate(section), Task(), seed=0).calibration.arrays()[0]
    return samples


def evaluate(model: Path, recipe: Recipe, *, allow_code: bool = False, progress: Progress | None = None) -> dict[str, Any]:
    """Measures a .tflite or Keras model on the test split of a recipe.

    Returns:
        `model`, `num_test` and `metrics`.

    Raises:
        EdgeCompressError: the model, the data, or a model that does not fit the data.
    """
    if not model.exists():
        raise ModelError(f"{model}: must be a model file that exists")
    with _noise_to_nowhere():
        from edgecompress.data import load_data
        from edgecompress.evaluation import evaluate_keras, evaluate_tflite
        from edgecompress.models import load_model

        progress = progress or Progress()
        data = load_data(recipe.data, recipe.task, seed=recipe.seed)
        if is_tflite(model):
            _probe(model)
            found = evaluate_tflite(model, data.test, recipe.task, progress=progress)
        else:
            keras_model = load_model(model, allow_code=allow_code)
            found = evaluate_keras(keras_model, data.test, recipe.task, batch_size=data.batch_size, progress=progress)
        return {"model": str(model), "num_test": len(data.test), "metrics": found.metrics}


def _probe(model: Path) -> None:
    """Runs a stranger's file once in a child process: one that crashes the runtime must not take this process along."""
    try:
        run_job({"job": "probe", "model": str(model)}, timeout_s=PROBE_TIMEOUT_S)
    except DeviceFault as fault:
        raise ModelError(f"{model}: cannot be run: {fault.reason}") from fault


def evaluation_table(found: dict[str, Any]) -> Table:
    """The result of `evaluate` for the terminal."""
    from rich.table import Table

    table = Table("metric", "value", title=f"{found['model']} on {found['num_test']:,} test samples", title_justify="left")
    for name, value in found["metrics"].items():
        if not isinstance(value, dict):
            table.add_row(name, f"{value:.4f}")
    return table


@contextmanager
def _noise_to_nowhere() -> Iterator[None]:
    """These commands have no run folder: what TensorFlow prints is thrown away."""
    with TemporaryDirectory(prefix="edgecompress-") as folder, noise_to(Path(folder) / "noise.log"):
        yield
