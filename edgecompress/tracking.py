"""`track: mlflow`: parameters, metrics and files of a run, and of the trials of a search, for MLflow.

Everything is logged when it is there, in the end: a tracking server that is away or slow costs a warning, never the run.
"""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from edgecompress.errors import RecipeError
from edgecompress.progress import Progress
from edgecompress.recipe.schema import Recipe
from edgecompress.store import write_atomic

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from edgecompress.report.schema import Report, StageReport
    from edgecompress.search.findings import Findings, Tried

STORE, ARTIFACTS, LOGGED = "mlflow.db", "mlflow-artifacts", "mlflow.json"
EXPERIMENT = "edgecompress"
RUN_FILES = ("report.html", "report.md", "report.json", "recipe.lock.yaml", "manifest.json", "model.tflite")
SEARCH_FILES = ("search.html", "search.json", "chosen.yaml")
ENDS_WITH_A_RUN = ("search.html", "solve.html")
CONNECT_S = 5.0
MOST_PARAMS, MOST_METRICS, MOST_CHARACTERS = 100, 1000, 500  # that MLflow takes at once, of one value
# MLflow's own settings, where the user has none: its retries would take four minutes, and it would report its use to its makers.
SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20", "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}  # fmt: skip


def check_tracker(recipe: Recipe) -> None:
    """Raises RecipeError, before anything is trained, where the recipe wants a tracker that is not installed."""
    if recipe.track is not None and find_spec("mlflow") is None:
        raise RecipeError("track: mlflow must be installed: pip install 'edgecompress[mlflow]'. Received: no such package.")


class TrackedRun:
    """A run that is under way; `report` is set when it is finished."""

    def __init__(self) -> None:
        self.report: Report | None = None


@contextmanager
def tracked(recipe: Recipe, folder: Path, progress: Progress) -> Iterator[TrackedRun]:
    """Logs a run at its end, also one that fails.

    Args:
        recipe: where it does not say `track`, nothing is logged.
        folder: of the run.
        progress: told where it was logged, or why not.
    """
    run, began = TrackedRun(), time.time()
    try:
        yield run
    except BaseException as error:
        if recipe.track is not None:
            words = " ".join(str(error).split())[:MOST_CHARACTERS] or type(error).__name__
            status = "FAILED" if isinstance(error, Exception) else "KILLED"
            with _no_harm(progress):
                book = _Book(_home(folder))
                book.enter(recipe.name, _flat(recipe), {}, began=began, tags={"edgecompress.error": words}, status=status)
        raise
    if recipe.track is not None and run.report is not None:
        params, metrics, courses = _flat(recipe), run_metrics(run.report), _courses(run.report.stages)
        with _no_harm(progress), progress.task("logging to MLflow"):
            book = _Book(_home(folder))
            book.enter(recipe.name, params, metrics, began=began, files=[folder / name for name in RUN_FILES], courses=courses)
            progress.say(f"logged to {book.uri}")


def track_search(recipe: Recipe, findings: Findings, folder: Path, progress: Progress) -> None:
    """Logs a search, and each trial as a run nested in it; those that an earlier call logged are not logged again."""
    if recipe.track is None:
        return
    with _no_harm(progress), progress.task("logging to MLflow"):
        book, place = _Book(folder.parent), folder / LOGGED
        logged = json.loads(place.read_text()) if place.exists() else {}
        if logged.get("uri") != book.uri:
            run = book.enter(f"{recipe.name} search", _flat(recipe), {}, began=time.time())
            logged = {"uri": book.uri, "run": run, "trials": []}
        for trial in findings.tried:
            if (identity := _identity(trial)) not in logged["trials"]:
                began, tags = time.time() - trial.seconds, _tags(trial, logged["run"])
                files = [Path(trial.file)] if trial.file else []
                book.enter(f"trial {trial.number}", trial.point, trial_metrics(trial), began=began, tags=tags, files=files)
                logged["trials"].append(identity)
                write_atomic(place, json.dumps(logged))
        write_atomic(place, json.dumps(logged))
        book.attach(logged["run"], [folder / name for name in SEARCH_FILES])
        progress.say(f"logged to {book.uri}")


def _identity(trial: Tried) -> int | str:
    """What stays the same when the search goes on: the number, but of a point that a trial brought along, which moves behind new ones."""
    return trial.number if trial.harvested_from is None else json.dumps(trial.point, sort_keys=True)


def _home(folder: Path) -> Path:
    """Where the database lies: beside the run folders, also for the run that a search or `solve` ends with, inside their folder."""
    return folder.parent.parent if any((folder.parent / name).exists() for name in ENDS_WITH_A_RUN) else folder.parent


def _tags(trial: Tried, parent: str) -> dict[str, str]:
    return {
        "mlflow.parentRunId": parent, "edgecompress.kind": trial.kind, "edgecompress.reason": trial.reason[:MOST_CHARACTERS],
        "edgecompress.on_front": str(trial.on_front).lower(), "edgecompress.worker": trial.worker,
    }  # fmt: skip


def run_metrics(report: Report) -> dict[str, float]:
    """The figures of a run, by dotted names as in report.json."""
    values: dict[str, Any] = {"metrics": report.metrics}
    artifact = report.artifact.model_dump(mode="json")
    values["artifact"] = {name: artifact.get(name) for name in ("bytes", "gzip_bytes", "ratio", "arena_bytes")}
    if report.verdict is not None:
        test = report.verdict.model_dump(mode="json")["test"]
        values["verdict"] = {name: test.get(name) for name in ("drop", "agreement", "p_value")}
    for entry in report.benchmark:
        for name in ("p50_ms", "p95_ms"):
            values[f"benchmark.{entry.model}.{entry.host}.threads_{entry.threads}.{entry.kernels}.{name}"] = getattr(entry, name)
    values["seconds"] = report.seconds
    return _numbers(values)


def trial_metrics(trial: Tried) -> dict[str, float]:
    """The figures of a trial: its objectives by their names, all else by dotted names."""
    times = {"predicted": trial.predicted, "measured": trial.measured}
    values: dict[str, Any] = {
        **trial.values, "bytes": trial.bytes, "drop": trial.drop, "misses": trial.misses,
        "latency": {f"threads_{threads}": found for threads, found in trial.latency.items()},
        **{kind: {f"threads_{threads}": {"p50_ms": ms} for threads, ms in found.items()} for kind, found in times.items()},
    }  # fmt: skip
    return _numbers(values)


def _courses(stages: Sequence[StageReport]) -> dict[str, list[tuple[int, float]]]:
    """Curve -> (epoch, value), of each training, and the validation metric after each stage."""
    found: dict[str, list[tuple[int, float]]] = {}
    for stage in stages:
        for row in stage.training:
            for name, value in row.items():
                if name != "epoch" and value is not None:
                    found.setdefault(f"{stage.index:02d}_{stage.technique}.{name}", []).append((int(row["epoch"] or 0), float(value)))
        for name, value in stage.metrics.get("validation", {}).items():
            if isinstance(value, int | float):
                found.setdefault(f"stages.validation.{name}", []).append((stage.index, float(value)))
    return found


class _Book:
    """MLflow's store: a server or a database.

    Args:
        folder: where the database is, if MLFLOW_TRACKING_URI names no other store.
    """

    def __init__(self, folder: Path) -> None:
        for name, value in SETTINGS.items():
            os.environ.setdefault(name, value)
        given = os.environ.get("MLFLOW_TRACKING_URI")
        self.uri = given or f"sqlite:///{(folder / STORE).absolute()}"
        _reach(self.uri)
        from mlflow import MlflowClient

        self._client: MlflowClient = MlflowClient(tracking_uri=self.uri)
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        experiment = self._client.get_experiment_by_name(name)
        artifacts = None if given else (folder / ARTIFACTS).absolute().as_uri()
        self._experiment = experiment.experiment_id if experiment else self._client.create_experiment(name, artifact_location=artifacts)

    def enter(
        self, name: str, params: Mapping[str, Any], metrics: Mapping[str, float], *, began: float, tags: Mapping[str, str] | None = None,
        files: Sequence[Path] = (), courses: Mapping[str, Sequence[tuple[int, float]]] | None = None, status: str = "FINISHED",
    ) -> str:  # fmt: skip
        """Makes one run and ends it; returns its id."""
        from mlflow.entities import Metric, Param

        now = round(1000 * time.time())
        run = self._client.create_run(self._experiment, start_time=round(1000 * began), tags=dict(tags or {}), run_name=name).info.run_id
        points = [Metric(_key(key), value, now, 0) for key, value in metrics.items()]
        points += [Metric(_key(key), value, now, step) for key, course in (courses or {}).items() for step, value in course]
        settings = [Param(_key(key), str(value)[:MOST_CHARACTERS]) for key, value in params.items()]
        for start in range(0, len(settings), MOST_PARAMS):
            self._client.log_batch(run, params=settings[start : start + MOST_PARAMS])
        for start in range(0, len(points), MOST_METRICS):
            self._client.log_batch(run, metrics=points[start : start + MOST_METRICS])
        self.attach(run, files)
        self._client.set_terminated(run, status=status, end_time=now)
        return str(run)

    def attach(self, run: str, files: Sequence[Path]) -> None:
        """Stores the files that are there."""
        for file in files:
            if file.exists():
                self._client.log_artifact(run, str(file))


@contextmanager
def _no_harm(progress: Progress) -> Iterator[None]:
    """Makes a warning of whatever goes wrong with a tracker."""
    try:
        yield
    except Exception as error:  # a tracker's store may fail in any way; what it was told of is finished and safe
        words = " ".join(str(error).split())[:300] or type(error).__name__
        progress.say(f"warning: not logged to MLflow: {words}")


def _reach(uri: str) -> None:
    """Raises OSError where nobody listens: MLflow itself would try for minutes."""
    parts = urlsplit(uri)
    if parts.scheme in ("http", "https") and parts.hostname:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            socket.create_connection((parts.hostname, port), timeout=CONNECT_S).close()
        except OSError as error:
            raise OSError(f"{parts.hostname}:{port}: the tracking server must be reachable. Received: {error}.") from error


def _flat(recipe: Recipe) -> dict[str, Any]:
    """A recipe as dotted paths."""
    return {name: value for name, value in _leaves(recipe.model_dump(mode="json")) if value is not None}


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """The numbers among values, by dotted paths."""
    return {name: float(value) for name, value in _leaves(values) if isinstance(value, int | float) and not isinstance(value, bool)}


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted paths and the values that hold no others."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    if not children:
        yield path, value
    for key, child in children:
        yield from _leaves(child, f"{path}.{key}" if path else str(key))


def _key(name: str) -> str:
    """A name that MLflow takes."""
    return re.sub(r"[^A-Za-z0-9_\-. :/]", "_", name)[:250]
