"""`convert` and `evaluate`: one step of the line for one model, without a run folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecompress.backend import keras
from edgecompress.calibration.checks import check_samples, check_statistics
from edgecompress.calibration.reading import Calibration, read_calibration
from edgecompress.data import load_data
from edgecompress.device import DeviceFault
from edgecompress.device.child import run_job
from edgecompress.errors import DataError, ModelError, StorageError
from edgecompress.evaluation import evaluate_keras, evaluate_tflite
from edgecompress.export import finished_file
from edgecompress.export.compatibility import CALIBRATED, check_model, is_quantize_aware
from edgecompress.inspection import is_tflite
from edgecompress.model_file import model_format
from edgecompress.models import load_model
from edgecompress.progress import Progress
from edgecompress.recipe.load import make_section
from edgecompress.recipe.schema import Export, Recipe, Target
from edgecompress.recipe.suggestions import near_path
from edgecompress.store import write_atomic
from edgecompress.tflite import describe

if TYPE_CHECKING:
    from rich.console import RenderableType

PROBE_TIMEOUT_S = 120.0


def convert(
    model: Path, *, format: str = "int8", io: str | None = None, data: Path | None = None,
    preprocess: Mapping[str, Any] | None = None, runtime: str | None = None, shrink: bool = True, out: Path | None = None,
    allow_code: bool = False, progress: Progress | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Converts a Keras model file to a .tflite that has run once.

    Args:
        model: .h5, .keras or SavedModel folder.
        format: as in the `export:` block of a recipe.
        io: type of the in- and outputs.
        data: an .npz file or a folder of images, see `read_calibration`. Needed by int8 and int16x8, unless the model is
            quantize-aware and so has its ranges in it; other formats do not look at it.
        preprocess: `scale`, `mean` and `std` of the data, as in a recipe.
        runtime: what the file must run on, such as "tflite-runtime==2.14.0", as in the `target:` block of a recipe.
        shrink: make the file smaller without changing one bit of its outputs.
        out: the file to write; absent: beside the model.

    Returns:
        The keys of the report's `artifact`, with `path`, `format`, `rung`, `warnings` and `calibration`: the samples in
        words, None where the ranges did not come from samples alone.

    Raises:
        EdgeCompressError: the model, the data or the conversion; nothing is written then.
    """
    export = make_section(Export, "export", {"format": format, "io": io, "shrink": shrink})
    target = make_section(Target, "target", {"runtime": runtime})
    if data is not None and not data.exists():
        raise DataError(f"{data}: data must be an .npz file or a folder of images. Received: nothing is there.{near_path(data)}")
    keras_model = load_model(model, allow_code=allow_code)
    path = out or (model.resolve() if model.is_dir() else model).with_suffix(".tflite")
    if path.exists() and any(path.samefile(given) for given in (model, data) if given is not None):
        raise StorageError(f"{path}: the file to write must not be the model itself, nor its data.")
    check_model(keras_model, export)  # before the data are read
    calibration = _calibration(keras_model, export, data, preprocess or {})
    samples = calibration.samples if calibration is not None else None
    doubts = [] if samples is None else [*check_samples(samples), *check_statistics(keras_model, samples)]
    conversion, shrunk = finished_file(
        keras_model, export, calibration=samples, progress=progress or Progress(), runtime=target.runtime
    )  # fmt: skip
    write_atomic(path, shrunk.content)
    words = calibration.words if calibration is not None and not is_quantize_aware(keras_model) else None
    facts = {
        "rung": conversion.rung, "warnings": [*doubts, *conversion.warnings, *shrunk.warnings], "calibration": words,
        "shrink": shrunk.facts,
    }  # fmt: skip
    return {"path": str(path), "format": format, **describe(shrunk.content), **facts}


def _calibration(model: keras.Model, export: Export, data: Path | None, preprocess: Mapping[str, Any]) -> Calibration | None:
    """The samples, if the format has a use for them."""
    if export.format not in CALIBRATED or (data is None and is_quantize_aware(model)):
        return None
    if data is None:
        raise DataError(f"format {export.format} needs real samples for calibration: name them with --data. Received: none.")
    shapes = {name: tuple(tensor.shape[1:]) for name, tensor in zip(model.input_names, model.inputs, strict=True)}
    return read_calibration(data, shapes if len(shapes) > 1 else tuple(model.inputs[0].shape[1:]), preprocess)


def evaluate(model: Path, recipe: Recipe, *, allow_code: bool = False, progress: Progress | None = None) -> dict[str, Any]:
    """Measures a .tflite or Keras model on the test split of a recipe.

    Returns:
        `model`, `num_test` and `metrics`.

    Raises:
        EdgeCompressError: the model, the data, or a model that does not fit the data.
    """
    model_format(model)  # what is no model is told before the data are read
    progress = progress or Progress()
    data = load_data(recipe.data, recipe.task, seed=recipe.seed, allow_code=allow_code)
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


def evaluation_table(found: Mapping[str, Any]) -> RenderableType:
    """The result of `evaluate` for the terminal."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table("metric", "value")
    for name, value in found["metrics"].items():
        if not isinstance(value, dict):
            table.add_row(name, f"{value:.4g}")
    return Group(Text(f"{found['model']} on {found['num_test']:,} test samples", style="bold"), table)
