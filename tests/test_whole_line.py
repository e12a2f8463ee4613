"""The whole line on real digits, as a user runs it: recipe in, measured int8 file and report out."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import edgecompress as ec

RECIPE = Path(__file__).parent / "small_recipe.yaml"
COMMAND = [sys.executable, "-m", "edgecompress", "run", str(RECIPE), "--quiet"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return ec.run(RECIPE, out=tmp_path_factory.mktemp("runs") / "small", quiet=True)


def test_run_folder_holds_what_the_contract_names(run):
    names = {path.name for path in run.folder.iterdir()}
    assert names >= {
        "recipe.lock.yaml", "run.log", "stages", "model.tflite", "baseline.tflite", "plain.tflite", "manifest.json",
        "golden.npz", "report.json", "report.md", "report.html",
    }  # fmt: skip
    assert not [name for name in names if name.endswith(".tmp")]


def test_report_has_the_figures_of_the_test_split(run):
    report = json.loads((run.folder / "report.json").read_text())
    assert report["metrics"]["final"]["tflite"]["accuracy"] > 0.9
    assert report["artifact"]["ratio"] > 2
    assert report["data"]["num_test"] == 359  # a fifth of 1,797, rounded to the nearest
    assert [stage["technique"] for stage in report["stages"]] == ["baseline", "prune_weights", "cluster_weights", "train", "quantize_aware"]
    assert {entry["model"] for entry in report["benchmark"]} == {"final", "plain", "baseline"}


def test_zeros_and_shared_values_are_in_the_file(run):
    keeps = run.report.stages[-1].keeps
    assert {(keep.kind, keep.held) for keep in keeps} == {("mask", True), ("centroids", True)}
    for keep in keeps:
        assert keep.on_tflite is not None, keep.layer
        assert keep.on_tflite >= 0.49 if keep.kind == "mask" else keep.on_tflite <= 16


def test_final_file_says_what_the_keras_model_says(run, digits):
    from edgecompress.device.runtime import TfliteModel

    inputs = digits.test.arrays()[0]
    ours = np.asarray(run.model(inputs)).argmax(1)
    model = TfliteModel(run.tflite_path)
    theirs = np.concatenate([model.predict(inputs[i : i + 1]) for i in range(len(inputs))]).argmax(1)
    assert (ours == theirs).mean() > 0.99  # fake-quantization rounds like the kernels, but for ties


def test_second_call_takes_every_stage_from_the_folder_and_gives_the_same_bytes(run):
    before = run.tflite_path.read_bytes()
    again = ec.run(RECIPE, out=run.folder, quiet=True)
    assert all(stage.cached for stage in again.report.stages)
    assert again.tflite_path.read_bytes() == before


def test_changed_stage_repeats_itself_and_what_follows_only(run, tmp_path):
    import shutil

    shutil.copytree(run.folder, tmp_path / "run")
    other = ec.run(RECIPE, out=tmp_path / "run", overrides={"stages.2.epochs": 2, "benchmark": None}, quiet=True)
    assert [stage.cached for stage in other.report.stages] == [True, True, True, False, False]
    assert other.report.benchmark == []


def test_lock_file_runs_again_to_the_same_recipe(run):
    assert ec.load_recipe(run.folder / "recipe.lock.yaml") == ec.load_recipe(RECIPE)


def test_noise_of_tensorflow_is_in_the_log_not_on_the_terminal(tmp_path):
    settings = ["stages=[prune_weights: {sparsity: 0.5, train: {epochs: 1}}]", "model.train.epochs=1", "benchmark=null"]
    command = [*COMMAND, "--out", str(tmp_path / "run"), *(word for setting in settings for word in ("--set", setting))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "oneDNN" not in done.stderr
    assert "WARNING" not in done.stderr
    assert (tmp_path / "run" / "run.log").stat().st_size > 0


def test_run_killed_at_ten_random_moments_gives_the_bytes_of_an_undisturbed_one(run, tmp_path):
    chance, killed, finished = random.Random(0), 0, 0
    while killed < 10 or not finished:
        folder = tmp_path / f"run{finished}"  # one that got to the end is not killed any more: the next takes its place
        process = subprocess.Popen([*COMMAND, "--out", str(folder), "--set", "benchmark=null"], stderr=subprocess.PIPE)
        try:
            process.wait(timeout=chance.uniform(3.0, 12.0) if killed < 10 else 300)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            killed += 1
        else:
            assert process.returncode == 0, process.stderr.read().decode()
            assert (folder / "model.tflite").read_bytes() == run.tflite_path.read_bytes()
            finished += 1


def test_folder_in_use_gives_exit_code_5(tmp_path):
    from edgecompress.store import RunFolder

    with RunFolder(tmp_path / "run"):
        done = subprocess.run([*COMMAND, "--out", str(tmp_path / "run")], capture_output=True, text=True, timeout=60)
    assert done.returncode == 5
    assert "another process is using this run folder" in done.stderr


def test_no_child_process_outlives_a_killed_run(tmp_path):
    settings = ["stages=[]", "model.train.epochs=1", "benchmark.runs=100000"]
    command = [*COMMAND, "--out", str(tmp_path / "run"), *(word for setting in settings for word in ("--set", setting))]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    children: set[int] = set()
    deadline = time.monotonic() + 240
    while not children and time.monotonic() < deadline and process.poll() is None:
        if (tmp_path / "run" / "manifest.json").exists() or (tmp_path / "run" / "golden.npz").exists():
            children = set(_children_of(process.pid))
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert children, "the benchmark started no child"
    time.sleep(1.0)
    assert not [pid for pid in children if _runs(pid)]


def _runs(pid):
    """Whether a process still runs; a zombie, which only waits to be counted, does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _children_of(pid):
    """Process numbers of the children, from the system."""
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(number) for number in listed.read_text().split()] if listed.exists() else []


def test_compress_takes_a_model_and_arrays(small_model, digits):
    x, y = digits.train.arrays()
    before = [weight.copy() for weight in small_model.get_weights()]
    finished = ec.compress(small_model, (x[:600], y[:600]), stages=[ec.PruneWeights(sparsity=0.5)], benchmark={"runs": 50}, quiet=True)
    assert finished.tflite_path.stat().st_size == finished.report.artifact.bytes
    assert finished.report.stages[1].technique == "prune_weights"
    assert all((one == two).all() for one, two in zip(before, small_model.get_weights(), strict=True))


def test_compress_reads_tf_data_and_continues_in_its_folder(small_model, digits, tmp_path):
    samples = digits.train.dataset(64).take(8)
    settings = {
        "stages": [ec.PruneWeights(sparsity=0.5)],
        "export": "float32",
        "benchmark": {"runs": 50},
        "out": tmp_path / "run",
        "quiet": True,
    }
    assert ec.compress(small_model, samples, **settings).report.data.num_train > 300
    again = ec.compress(small_model, samples, **settings)
    assert [stage.cached for stage in again.report.stages] == [True, True]
    assert ec.load_recipe(tmp_path / "run" / "recipe.lock.yaml").model.path == str(tmp_path / "run" / "inputs" / "model.h5")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stages.0.layers": ["nope"]}, r"^stages\.0: prune_weights: layers must match at least one layer"),
        ({"stages.0.train.freeze": ["nope"]}, r"^stages\.0: prune_weights: freeze must match at least one layer"),
        ({"model.train.freeze": ["nope"]}, r"^model\.train: freeze must match at least one layer"),
        ({"stages": [], "export": {"format": "dynamic", "only": ["dennse1"]}}, "export.only must match at least one layer"),
        ({"task.from_logits": False}, "must end in probabilities"),
        ({"data.source": "mnist", "data.path": "nowhere"}, "nowhere: the folder must hold the official idx files"),
    ],
)
def test_what_a_later_stage_refuses_is_said_before_training_and_leaves_nothing(tmp_path, settings, message, monkeypatch):
    monkeypatch.setattr("edgecompress.data.keras_download.download", lambda family, class_names: None)
    with pytest.raises(ec.EdgeCompressError, match=message):
        ec.run(RECIPE, overrides=settings, out=tmp_path / "runs" / "run", quiet=True)
    assert not (tmp_path / "runs").exists()


def test_changed_technique_leaves_no_stage_of_the_old_one_behind(tmp_path):
    small = {"model.train.epochs": 1, "benchmark": None, "export": {"format": "float32"}}
    one = ec.run(RECIPE, overrides=small | {"stages": [{"train": {"epochs": 1}}]}, out=tmp_path / "run", quiet=True)
    assert [path.name for path in sorted((one.folder / "stages").iterdir())] == ["00-baseline", "01-train"]
    two = ec.run(RECIPE, overrides=small | {"stages": [{"prune_weights": {"sparsity": 0.5}}]}, out=tmp_path / "run", quiet=True)
    assert [path.name for path in sorted((two.folder / "stages").iterdir())] == ["00-baseline", "01-prune_weights"]
    assert float((two.model.get_layer("dense1").kernel.numpy() == 0).mean()) == 0.5


def test_damaged_stage_is_done_again(run, tmp_path):
    import shutil

    shutil.copytree(run.folder, tmp_path / "run")
    (tmp_path / "run" / "stages" / "01-prune_weights" / "keeps.npz").write_bytes(b"")
    again = ec.run(RECIPE, out=tmp_path / "run", overrides={"benchmark": None}, quiet=True)
    assert [stage.cached for stage in again.report.stages] == [True, False, True, True, True]
    assert again.tflite_path.read_bytes() == run.tflite_path.read_bytes()


def test_a_run_for_a_microcontroller_writes_its_source_and_judges_its_memory(finished_run, tmp_path):
    shutil.copytree(finished_run, tmp_path / "run")
    settings = {"export.also": "c_array", "export.io": "int8", "benchmark": None, "goal.arena_kb": 100, "goal.size_kb": 1000}
    run = ec.run(finished_run.parent / "digits.yaml", overrides=settings, out=tmp_path / "run", quiet=True)
    content, source = run.tflite_path.read_bytes(), (run.folder / "model.cc").read_text()
    numbers = re.search(r"\{([^{}]*0x[^{}]*)\}", source).group(1)
    assert bytes(int(number, 16) for number in re.findall(r"0x[0-9a-f]{2}", numbers)) == content
    assert "digits_num_operators" in (run.folder / "model.h").read_text()
    goals = {goal.name: goal for goal in run.report.goals}
    assert goals["arena_kb"].met
    assert goals["arena_kb"].value == run.report.artifact.arena_bytes / 1000


def test_channels_go_and_what_is_left_is_timed(tmp_path):
    import edgecompress as ec
    from edgecompress.recipe import make_recipe
    from edgecompress.runs import run_recipe

    recipe = make_recipe({
        "name": "cut", "data": {"source": "digits", "preprocess": {"scale": 1 / 16}},
        "model": {"source": "builder", "name": "ds_cnn", "width": 24, "train": {"epochs": 1}},
        "stages": [ec.PruneChannels(macs=0.5, criterion="l1", train=ec.Train(epochs=1))],
        "export": {"format": "float32"}, "benchmark": {"runs": 50},
    })  # fmt: skip
    report = run_recipe(recipe, out=tmp_path / "run").report
    assert report.stages[1].macs <= 0.5 * report.stages[0].macs
    assert report.artifact.bytes < 0.7 * report.artifact.baseline_bytes
    assert {layer.action for layer in report.stages[1].layers} == {"changed", "skipped"}
