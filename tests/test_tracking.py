"""`track: mlflow`: what of runs and trials is logged, and that no tracker costs a run."""

import json
import socket
import time

import pytest
from mlflow import MlflowClient

import edgecompress as ec
from edgecompress.errors import RecipeError
from edgecompress.progress import Progress
from edgecompress.recipe import load_recipe
from edgecompress.report import Report
from edgecompress.search.findings import Findings, Tried
from edgecompress.tracking import EXPERIMENT, check_tracker, track_search, tracked

RECIPE = """\
name: tracked
data: {source: digits, preprocess: {scale: 1/16}}
model: {source: builder, name: mlp, train: {epochs: 2}}
stages: [{prune_weights: {sparsity: 0.5, layers: ["re:dense.*"]}}]
export: {format: float32}
benchmark: null
track: mlflow
"""


class Spoken(Progress):
    """Keeps what is said."""

    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)


@pytest.fixture(autouse=True)
def no_server(monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "tracked.yaml").write_text(RECIPE)
    return load_recipe(tmp_path / "tracked.yaml")


def logged(folder):
    """A client of the database beside the run folders, and its runs, the oldest first."""
    client = MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name(EXPERIMENT)
    return client, client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"])


def test_run_is_logged_with_parameters_metrics_curves_and_files(recipe, tmp_path):
    run = ec.run(tmp_path / "tracked.yaml", out=tmp_path / "runs" / "one", quiet=True)
    client, (found,) = logged(tmp_path / "runs")
    assert (found.info.run_name, found.info.status) == ("tracked", "FINISHED")
    assert found.data.params["stages.0.sparsity"] == "0.5"
    assert found.data.metrics["metrics.final.tflite.accuracy"] == run.report.metrics["final"]["tflite"]["accuracy"]
    assert found.data.metrics["artifact.bytes"] == (run.folder / "model.tflite").stat().st_size
    losses = client.get_metric_history(found.info.run_id, "00_baseline.loss")
    rows = run.report.stages[0].training
    assert [(point.step, point.value) for point in losses] == [(row["epoch"], pytest.approx(row["loss"])) for row in rows]
    names = {file.path for file in client.list_artifacts(found.info.run_id)}
    assert names >= {"report.html", "report.json", "recipe.lock.yaml", "model.tflite"}


def test_failed_run_is_logged_as_failed(recipe, tmp_path):
    with pytest.raises(RecipeError), tracked(recipe, tmp_path / "run", Progress()):
        raise RecipeError("no such layer")
    _, (found,) = logged(tmp_path)
    assert (found.info.status, found.data.tags["edgecompress.error"]) == ("FAILED", "no such layer")


def test_server_that_is_away_costs_a_warning_and_no_time(recipe, tmp_path, monkeypatch, finished_run):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    progress, began = Spoken(), time.monotonic()
    with tracked(recipe, tmp_path / "run", progress) as under_way:
        under_way.report = Report.load(finished_run)
    assert time.monotonic() - began < 30
    (line,) = progress.lines
    assert line.startswith(f"warning: not logged to MLflow: 127.0.0.1:{port}: the tracking server must be reachable")
    assert not (tmp_path / "mlflow.db").exists()


def test_server_that_never_answers_costs_a_warning(recipe, tmp_path, monkeypatch, finished_run):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{deaf.getsockname()[1]}")
        progress = Spoken()
        with tracked(recipe, tmp_path / "run", progress) as under_way:
            under_way.report = Report.load(finished_run)
    assert progress.lines[-1].startswith("warning: not logged to MLflow: ")


def test_trials_are_runs_nested_in_the_search_and_logged_once(recipe, tmp_path):
    def trial(number):
        values, point = {"accuracy": 0.9, "size": 1000.0 + number}, {"stages.cut.macs": 0.5}
        return Tried(number, "complete", "", point, values, {}, number == 0, 1.0, 1, "host-1")

    folder = tmp_path / "search"
    folder.mkdir()
    for number_of_trials in (2, 3):  # the second call goes on
        tried = [trial(number) for number in range(number_of_trials)]
        track_search(recipe, Findings("tracked", {"accuracy": True, "size": False}, {}, 3, tried, 0), folder, Progress())
    _, runs = logged(tmp_path)
    (parent,) = [run for run in runs if run.info.run_name == "tracked search"]
    nested = {run.info.run_name: run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id}
    assert sorted(nested) == ["trial 0", "trial 1", "trial 2"]
    assert len(runs) == 4
    assert nested["trial 2"].data.metrics == {"accuracy": 0.9, "size": 1002.0}
    assert nested["trial 0"].data.params == {"stages.cut.macs": "0.5"}
    assert nested["trial 0"].data.tags["edgecompress.on_front"] == "true"
    assert json.loads((folder / "mlflow.json").read_text())["trials"] == [0, 1, 2]


def test_figures_and_file_of_a_trial_are_logged(recipe, tmp_path):
    folder = tmp_path / "search"
    folder.mkdir()
    (folder / "model.tflite").write_bytes(b"TFL3")
    times = {"1": {"p50_ms": 0.5, "p95_ms": 0.7, "peak_rss_kb": None}}
    trial = Tried(
        0, "complete", "", {}, {"accuracy": 0.9}, {"size_kb": -0.2}, True, 1.0, 1, "host-1", str(folder / "model.tflite"),
        latency=times, predicted={"1": 0.4}, measured={"1": 0.6}, bytes=4, drop=0.01,
    )  # fmt: skip
    track_search(recipe, Findings("tracked", {"accuracy": True}, {}, 1, [trial], 0), folder, Progress())
    client, runs = logged(tmp_path)
    (found,) = [run for run in runs if run.info.run_name == "trial 0"]
    assert found.data.metrics == {
        "accuracy": 0.9, "bytes": 4, "drop": 0.01, "misses.size_kb": -0.2, "latency.threads_1.p50_ms": 0.5,
        "latency.threads_1.p95_ms": 0.7, "predicted.threads_1.p50_ms": 0.4, "measured.threads_1.p50_ms": 0.6,
    }  # fmt: skip
    assert [file.path for file in client.list_artifacts(found.info.run_id)] == ["model.tflite"]


def test_points_that_trials_brought_along_are_logged_once_though_new_trials_move_them(recipe, tmp_path):
    def tried(number, clusters, parent=None):
        return Tried(
            number, "complete", "", {"clusters": clusters}, {"size": float(clusters)}, {}, False, 1.0, 1, "host-1", harvested_from=parent
        )

    folder = tmp_path / "search"
    folder.mkdir()
    first = [tried(0, 4), tried(1, 8, 0)]
    second = [tried(0, 4), tried(1, 6), tried(2, 8, 0)]  # a new trial takes the number of the point that was brought along
    for trials in (first, second):
        track_search(recipe, Findings("tracked", {"size": False}, {}, 3, trials, 0), folder, Progress())
    _, runs = logged(tmp_path)
    assert sorted(run.data.params["clusters"] for run in runs if "clusters" in run.data.params) == ["4", "6", "8"]


def test_the_run_that_a_search_ends_with_is_logged_where_the_search_is(recipe, tmp_path, finished_run):
    folder = tmp_path / "search"
    folder.mkdir()
    (folder / "search.html").write_text("")
    with tracked(recipe, folder / "chosen", Progress()) as under_way:
        under_way.report = Report.load(finished_run)
    _, runs = logged(tmp_path)
    assert [run.info.run_name for run in runs] == [recipe.name]


def test_missing_package_is_said_before_anything_is_done(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr("edgecompress.tracking.find_spec", lambda name: None)
    with pytest.raises(RecipeError, match=r"pip install 'edgecompress\[mlflow\]'"):
        ec.run(tmp_path / "tracked.yaml", out=tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_without_track_nothing_is_logged(recipe, tmp_path, finished_run):
    silent = recipe.model_copy(update={"track": None})
    check_tracker(silent)
    with tracked(silent, tmp_path / "run", Progress()) as under_way:
        under_way.report = Report.load(finished_run)
    assert not (tmp_path / "mlflow.db").exists()
