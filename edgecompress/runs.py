"""`run` and `compress`: the two ways to start the line from Python, and the `Run` that they return."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecompress.progress import Progress, visible_progress
from edgecompress.quiet import noise_to
from edgecompress.recipe import load_recipe, make_recipe
from edgecompress.recipe.schema import Recipe
from edgecompress.recipe.stages import StageConfig
from edgecompress.store import RunFolder

if TYPE_CHECKING:
    import numpy as np

    from edgecompress.backend import keras
    from edgecompress.report.schema import Report


class Picture:
    """HTML with drawings inside, which a notebook shows."""

    def __init__(self, html: str) -> None:
        self.html = html

    def _repr_html_(self) -> str:
        return self.html


class Run:
    """A finished run: its folder and its report. Shows its table in a notebook."""

    def __init__(self, folder: Path, report: Report, temporary: tempfile.TemporaryDirectory[str] | None = None) -> None:
        self.folder = folder
        self.report = report
        self._temporary = temporary  # lives as long as the run does

    @property
    def tflite_path(self) -> Path:
        """The final .tflite."""
        return self.folder / "model.tflite"

    @cached_property
    def model(self) -> keras.Model:
        """The last Keras model; after `quantize_aware` it carries fake-quantization."""
        from edgecompress.models import load_model

        return load_model(max((self.folder / "stages").glob("[0-9]*")) / "model.h5")

    def plot_stages(self) -> Picture:
        """Parameters, bytes and metric after each stage, as a picture that a notebook shows."""
        from edgecompress.report.html import stage_plots

        return Picture(stage_plots(self.report))

    def _repr_html_(self) -> str:
        return self.report._repr_html_()


def run_recipe(
    recipe: Recipe, *, out: Path | None = None, fresh: bool = False, allow_code: bool = False, progress: Progress | None = None
) -> Run:
    """Runs a recipe from data to report, continuing what an earlier call left in the same folder.

    Args:
        recipe: resolved and checked, from `load_recipe`.
        out: the run folder, made if missing; absent: `runs/<name>`.
        fresh: forget the stages of earlier calls.
        allow_code: SavedModels, which run code, may be loaded.
        progress: where bars and lines go; silent by default.

    Raises:
        EdgeCompressError: the narrowest kind, see `errors`. Missed goals and failed devices are in the report, not raised.
    """
    started_at, started = datetime.now(UTC).isoformat(timespec="seconds"), time.monotonic()
    progress = progress or Progress()
    with RunFolder(out or Path("runs") / recipe.name, fresh=fresh) as store, noise_to(store.path / "run.log"):
        with progress.task("loading TensorFlow"):
            from edgecompress.pipeline import run_line  # here, so that TensorFlow's first words go to the log
            from edgecompress.report import write_report
        report = run_line(recipe, store, progress, allow_code=allow_code)
        report = report.model_copy(update={"started_at": started_at, "seconds": time.monotonic() - started})
        with progress.task("writing the report"):
            write_report(report, store.path)
        return Run(store.path, report)


def run(
    recipe: str | Path, *, overrides: Mapping[str, Any] | None = None, out: str | Path | None = None, fresh: bool = False,
    allow_code: bool = False, quiet: bool = False,
) -> Run:  # fmt: skip
    """Runs a recipe file; in a notebook the result shows its table.

    Args:
        recipe: path of a YAML file, or `builtin:NAME.yaml`.
        overrides: values by dotted path, such as `{"data.batch_size": 64, "stages.cut.macs": 0.4}`.
        out: the run folder; absent: `runs/<name>`.
        fresh: forget the stages of earlier calls.
        allow_code: SavedModels, which run code, may be loaded.
        quiet: no progress bars.

    Raises:
        EdgeCompressError: bad recipe, data or model; see `errors`.
    """
    progress = Progress() if quiet else visible_progress()
    folder = Path(out) if out is not None else None
    return run_recipe(load_recipe(recipe, overrides or {}), out=folder, fresh=fresh, allow_code=allow_code, progress=progress)


def compress(
    model: keras.Model, data: tuple[np.ndarray, np.ndarray], *, test_data: tuple[np.ndarray, np.ndarray] | None = None,
    stages: Sequence[StageConfig] = (), export: str | Mapping[str, Any] = "int8", task: Mapping[str, Any] | None = None,
    benchmark: Mapping[str, Any] | None = None, name: str = "compressed", seed: int = 0, out: str | Path | None = None, quiet: bool = False,
) -> Run:  # fmt: skip
    """Compresses a Keras model that is already trained. No YAML; files stay only if `out` is given.

    Args:
        model: functional or sequential tf_keras model; it is not changed.
        data: (x [n, ...], y [n]) as the model takes them.
        stages: in order, such as `[ec.PruneWeights(sparsity=0.6)]`.
        export: a format, or the `export:` block of a recipe.
        task: the `task:` block of a recipe; absent: classification, outputs are logits unless the last layer is a softmax.
        test_data: like `data`; absent: a fifth of `data`.
        benchmark: the `benchmark:` block of a recipe; absent: its defaults.
        out: keep the run folder there.

    Returns:
        The run; `run.tflite_path` is valid as long as the run object lives, or for good with `out`.
    """
    import numpy as np

    from edgecompress.models import save_model

    temporary = tempfile.TemporaryDirectory(prefix="edgecompress-")
    inputs = Path(temporary.name)
    if test_data is None:
        np.savez(inputs / "data.npz", x=data[0], y=data[1])
    else:
        np.savez(inputs / "data.npz", x_train=data[0], y_train=data[1], x_test=test_data[0], y_test=test_data[1])
    save_model(model, inputs / "model.h5")
    recipe = make_recipe({
        "name": name, "seed": seed, "data": {"source": "npz", "path": str(inputs / "data.npz")},
        "model": {"source": "file", "path": str(inputs / "model.h5")},
        "task": dict(task) if task is not None else {"from_logits": not _ends_in_softmax(model)}, "stages": list(stages),
        "export": {"format": export} if isinstance(export, str) else dict(export), "benchmark": dict(benchmark or {}),
    })  # fmt: skip
    folder = Path(out) if out is not None else inputs / "run"
    finished = run_recipe(recipe, out=folder, progress=Progress() if quiet else visible_progress())
    return Run(finished.folder, finished.report, temporary if out is None else None)


def _ends_in_softmax(model: keras.Model) -> bool:
    """Whether the outputs are probabilities already."""
    last = model.layers[-1]
    return type(last).__name__ == "Softmax" or getattr(getattr(last, "activation", None), "__name__", "") == "softmax"
