"""`run` and `compress`: the two ways to start the line from Python, and the `Run` that they return."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecompress.destination import LOCAL
from edgecompress.errors import RecipeError
from edgecompress.progress import Progress, visible_progress
from edgecompress.quiet import noise_to
from edgecompress.recipe import load_recipe, make_recipe
from edgecompress.recipe.schema import Recipe
from edgecompress.recipe.stages import StageConfig
from edgecompress.store import STAGES, RunFolder, stage_name
from edgecompress.tracking import check_tracker, tracked
from edgecompress.workers.cluster import WORKER_LIMIT_S, Cluster
from edgecompress.workers.joining import cluster_for, led_workers

if TYPE_CHECKING:
    from edgecompress.backend import keras
    from edgecompress.given_inputs import Samples
    from edgecompress.report.schema import Report


class Picture:
    """HTML with drawings inside, which a notebook shows."""

    def __init__(self, html: str) -> None:
        self.html = html

    def _repr_html_(self) -> str:
        return self.html


class Run:
    """A finished run: its folder and its report. Shows its table in a notebook."""

    def __init__(self, folder: Path, report: Report, *, allow_code: bool = False) -> None:
        self.folder = folder
        self.report = report
        self._allow_code = allow_code

    @property
    def tflite_path(self) -> Path:
        """The final .tflite."""
        return self.folder / "model.tflite"

    @cached_property
    def model(self) -> keras.Model:
        """The last Keras model; after `quantize_aware` it carries fake-quantization."""
        from edgecompress.models import load_model

        last = self.report.stages[-1]
        return load_model(self.folder / STAGES / stage_name(last.index, last.technique) / "model.h5", allow_code=self._allow_code)

    def plot_stages(self) -> Picture:
        """Parameters, bytes and metric after each stage, as a picture that a notebook shows."""
        from edgecompress.report.html import stage_plots

        return Picture(stage_plots(self.report))

    def _repr_html_(self) -> str:
        return self.report._repr_html_()


def run_recipe(
    recipe: Recipe, *, out: Path | None = None, fresh: bool = False, allow_code: bool = False, ssh_config: Path | None = None,
    progress: Progress | None = None, worker_limit_s: float = WORKER_LIMIT_S,
) -> Run:  # fmt: skip
    """Runs a recipe from data to report, continuing what an earlier call left in the same folder.

    Args:
        recipe: resolved and checked, from `load_recipe`.
        out: the run folder, made if missing; absent: `runs/<name>`.
        fresh: forget the stages of earlier calls.
        allow_code: SavedModels and `source: python`, which run code, are allowed.
        ssh_config: how to reach `benchmark.hosts`, handed to `ssh -F`.
        progress: where bars and lines go; silent by default.
        worker_limit_s: longest time to wait for another worker, where trainings have the strategy multi_worker.

    Raises:
        EdgeCompressError: the narrowest kind, see `errors`. Missed goals and failed devices are in the report, not raised.
    """
    progress, cluster = progress or Progress(), _chief_of(recipe)
    with RunFolder(out or Path("runs") / recipe.name, fresh=fresh) as store:
        return run_in(
            store, recipe, cluster, progress, allow_code=allow_code, ssh_config=ssh_config, worker_limit_s=worker_limit_s
        )  # fmt: skip


def _chief_of(recipe: Recipe) -> Cluster | None:
    """The workers whose chief this process is; what needs no run folder to be refused is refused."""
    cluster = cluster_for(recipe)
    if cluster is not None and not cluster.is_chief:
        raise RecipeError(f"the run folder is the chief's. Received: {cluster.name(cluster.index)}; it works by `edgecompress run`.")
    check_tracker(recipe)
    return cluster


def run_in(
    store: RunFolder, recipe: Recipe, cluster: Cluster | None, progress: Progress, *, allow_code: bool, ssh_config: Path | None = None,
    worker_limit_s: float = WORKER_LIMIT_S,
) -> Run:  # fmt: skip
    """`run_recipe` in a folder that the caller holds."""
    with noise_to(store.log), tracked(recipe, store.path, progress) as under_way:
        with progress.task("loading TensorFlow"):
            from edgecompress.pipeline import run_line  # here, so that TensorFlow's first words go to the log
            from edgecompress.report import write_report
        with led_workers(cluster, recipe, progress, worker_limit_s) as share:
            report = run_line(recipe, store, progress, allow_code=allow_code, share=share)
        with progress.task("writing the report"):
            write_report(report, store.path)
        hosts = [host for host in recipe.benchmark.hosts if host != LOCAL] if recipe.benchmark is not None else []
        if hosts:  # last: all else is safe by now
            from edgecompress.host_benchmark import measure_run

            report = measure_run(store.path, report, hosts, ssh_config=ssh_config, progress=progress)
        under_way.report = report
        return Run(store.path, report, allow_code=allow_code)


def run(
    recipe: str | Path, *, overrides: Mapping[str, Any] | None = None, out: str | Path | None = None, fresh: bool = False,
    allow_code: bool = False, ssh_config: str | Path | None = None, quiet: bool = False,
) -> Run:  # fmt: skip
    """Runs a recipe file; in a notebook the result shows its table.

    Args:
        recipe: path of a YAML file, or `builtin:NAME.yaml`.
        overrides: values by dotted path, such as `{"data.batch_size": 64, "stages.cut.macs": 0.4}`.
        out: the run folder; absent: `runs/<name>`.
        fresh: forget the stages of earlier calls.
        allow_code: SavedModels and `source: python`, which run code, are allowed.
        ssh_config: how to reach `benchmark.hosts`, handed to `ssh -F`; absent: your own.
        quiet: no progress bars.

    Raises:
        EdgeCompressError: bad recipe, data or model; see `errors`.
    """
    progress = Progress() if quiet else visible_progress()
    return run_recipe(
        load_recipe(recipe, overrides or {}), out=None if out is None else Path(out), fresh=fresh, allow_code=allow_code,
        ssh_config=None if ssh_config is None else Path(ssh_config), progress=progress,
    )  # fmt: skip


def compress(
    model: Any, data: Samples, *, test_data: Samples | None = None, stages: Sequence[StageConfig] = (),
    export: str | Mapping[str, Any] = "int8", task: Mapping[str, Any] | None = None, benchmark: Mapping[str, Any] | None = None,
    name: str = "compressed", seed: int = 0, out: str | Path | None = None, ssh_config: str | Path | None = None, quiet: bool = False,
) -> Run:  # fmt: skip
    """Compresses a Keras model that is already trained. No YAML; files stay only if `out` is given.

    Args:
        model: Functional or Sequential model of tf_keras or Keras 3; it is not changed.
        data: (x [n, ...], y [n]) as the model takes them, or a finite tf.data.Dataset of such pairs, batched or not. x is a
            mapping of names to arrays for a model of several inputs; y is None where an autoencoder has no labels. Samples must
            fit in memory: a dataset is read to its end, and takes twice its size meanwhile. Larger data: a recipe with image_folder.
        test_data: like `data`; absent: a fifth of `data`.
        stages: in order, such as `[ec.PruneWeights(sparsity=0.6)]`.
        export: a format, or the `export:` block of a recipe.
        task: the `task:` block of a recipe; absent: classification, of logits or probabilities as the last layer shows.
        benchmark: the `benchmark:` block of a recipe; absent: its defaults.
        name: of the run.
        seed: of splits and trainings.
        out: keep the run folder there; a second call continues it.
        ssh_config: as for `run`.
        quiet: no progress bars.

    Returns:
        The run; without `out`, `run.tflite_path` is valid as long as the run object lives.

    Raises:
        EdgeCompressError: the model does not fit the data or the task, or a stage cannot work on it; see `errors`. What is refused
            before anything is trained leaves `out` as it was.
    """
    from edgecompress.given_inputs import given_inputs
    from edgecompress.models import adopt_model

    progress = Progress() if quiet else visible_progress()
    adopted = adopt_model(model).model  # what cannot come in is said before anything is written
    with ExitStack() as on_failure:
        folder = Path(out) if out is not None else Path(tempfile.mkdtemp(prefix="edgecompress-"))
        if out is None:
            on_failure.callback(shutil.rmtree, folder, ignore_errors=True)
        with RunFolder(folder) as store, given_inputs(store, model, adopted, data, test_data, progress) as sections:
            recipe = make_recipe({
                "name": name, "seed": seed, **sections, "task": _task(adopted) if task is None else dict(task), "stages": list(stages),
                "export": {"format": export} if isinstance(export, str) else dict(export), "benchmark": dict(benchmark or {}),
            })  # fmt: skip
            own_code = bool(recipe.task.own_loss or recipe.task.own_metrics)  # the caller's
            reach = None if ssh_config is None else Path(ssh_config)
            finished = run_in(store, recipe, _chief_of(recipe), progress, allow_code=own_code, ssh_config=reach)
        on_failure.pop_all()
    if out is None:
        weakref.finalize(finished, shutil.rmtree, folder, ignore_errors=True)
    return finished


def _task(model: keras.Model) -> dict[str, Any]:
    """Classification, of logits or probabilities as the last layer shows."""
    from edgecompress.techniques.baseline import last_activation

    return {"from_logits": last_activation(model) != "softmax"}
