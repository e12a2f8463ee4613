"""Two real processes on loopback share the trainings of one run; either may die."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest

import edgecompress as ec

LIMIT_S = 240  # for anything that these processes do
EXACT = 1e-6  # floats are added in another order
NOISE = 0.05  # of an accuracy on 144 samples, whose standard error is 0.02 here
RECIPE = """\
name: shared
seed: 0
data: {source: digits, preprocess: {scale: 1/16}, batch_size: 100}
model: {source: builder, name: mlp, train: {epochs: 8, schedule: cosine, strategy: STRATEGY}}
stages:
  - prune_weights: {sparsity: 0.5}
  - train: {epochs: 2, class_weights: balanced, strategy: STRATEGY}
export: {format: float32}
benchmark: null
"""
NOISY_RECIPE = """\
name: noisy
seed: 0
data: {source: digits, preprocess: {scale: 1/16}, batch_size: 20}
model: {source: builder, name: cnn, width: 4, train: {epochs: 12, learning_rate: 5e-3, strategy: STRATEGY}}
stages: []
export: {format: float32}
benchmark: null
"""


@pytest.fixture
def addresses():
    """Two addresses that were free a moment ago."""
    with socket.socket() as one, socket.socket() as two:
        for free in (one, two):
            free.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{free.getsockname()[1]}" for free in (one, two)]


@pytest.fixture
def start(tmp_path, addresses):
    """`start(index, *options)`: worker `index` of two, named by TF_CONFIG; whatever still runs in the end is killed."""
    started = []

    def begin(index, *options, recipe=RECIPE, limit_s=LIMIT_S):
        (tmp_path / "shared.yaml").write_text(recipe.replace("STRATEGY", "multi_worker"))
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        command = [sys.executable, "-m", "edgecompress", "run", str(tmp_path / "shared.yaml"), "--out", str(tmp_path / f"out{index}")]
        process = subprocess.Popen(
            [*command, "--quiet", "--worker-timeout", str(limit_s), *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, "TF_CONFIG": json.dumps(config)}, cwd=tmp_path,
        )  # fmt: skip
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def ended(process):
    """Exit code, and what it said."""
    said, _ = process.communicate(timeout=LIMIT_S)
    return process.returncode, said


def wait_for(path, process):
    """Until a file is there."""
    end = time.monotonic() + LIMIT_S
    while not path.exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end
        time.sleep(0.02)


def trainings(report):
    """The epochs of all stages."""
    return [row for stage in report["stages"] for row in stage["training"]]


def test_two_processes_follow_the_course_of_one_and_survive_each_others_death(start, tmp_path):
    (tmp_path / "alone.yaml").write_text(RECIPE.replace("STRATEGY", "null"))
    partial = tmp_path / "out0" / "stages" / ".00-baseline.partial" / "training.npz"

    chief, other = start(0), start(1)
    wait_for(partial, chief)
    os.kill(chief.pid, signal.SIGKILL)
    code, said = ended(other)
    assert (code, "lost" in said) == (4, True), said

    written = partial.stat().st_mtime_ns
    chief, other = start(0), start(1)
    end = time.monotonic() + LIMIT_S
    while chief.poll() is None and partial.exists() and partial.stat().st_mtime_ns == written:  # goes on where the first ended
        assert time.monotonic() < end
        time.sleep(0.02)
    os.kill(other.pid, signal.SIGKILL)
    code, said = ended(chief)
    assert (code, "lost" in said) == (4, True), said
    assert not (tmp_path / "out0" / "report.json").exists()

    chief, other = start(0), start(1)
    for process in (chief, other):
        code, said = ended(process)
        assert code == 0, said
    assert not (tmp_path / "out1").exists()
    assert (tmp_path / "out0" / "stages" / "00-baseline" / "tensorboard" / "train").is_dir()

    alone = ec.run(tmp_path / "alone.yaml", out=tmp_path / "alone", quiet=True)
    together = json.loads((tmp_path / "out0" / "report.json").read_text())
    rows = trainings(alone.report.model_dump(mode="json")), trainings(together)
    assert [row["epoch"] for row in rows[1]] == [*range(1, 9), 1, 2]
    for row, other_row in zip(*rows, strict=True):
        assert row == pytest.approx(other_row, abs=EXACT)
    assert all(keep["held"] for keep in together["stages"][-1]["keeps"])


@pytest.mark.full
def test_batch_normalization_and_dropout_stay_within_noise(start, tmp_path):
    (tmp_path / "alone.yaml").write_text(NOISY_RECIPE.replace("STRATEGY", "null"))
    for process in (start(0, recipe=NOISY_RECIPE), start(1, recipe=NOISY_RECIPE)):
        code, said = ended(process)
        assert code == 0, said
    alone = ec.run(tmp_path / "alone.yaml", out=tmp_path / "alone", quiet=True)
    together = json.loads((tmp_path / "out0" / "report.json").read_text())
    rows = trainings(alone.report.model_dump(mode="json")), trainings(together)
    best = [max(row["validation_accuracy"] for row in of_one) for of_one in rows]
    assert best[0] > 0.85
    assert best[0] == pytest.approx(best[1], abs=NOISE)


def test_worker_that_does_not_come_is_named_in_time(start, tmp_path, addresses):
    code, said = ended(start(0, limit_s=2))
    assert code == 4
    assert f"worker 1 ({addresses[1]}): must come within 2 s. Received: nothing" in " ".join(said.split())
    assert not (tmp_path / "out0").exists()


def test_chief_that_does_not_come_is_named_in_time(start, addresses):
    code, said = ended(start(1, limit_s=2))
    assert code == 4
    assert f"the chief ({addresses[0]}): must come within 2 s" in " ".join(said.split())


def test_other_data_are_refused_on_both_sides(start):
    chief, other = start(0), start(1, "--set", "data.batch_size=50")
    for process, code in ((chief, 4), (other, 2)):
        found, said = ended(process)
        assert found == code, said
        assert "data, seed and batch size must be the chief's" in " ".join(said.split())


def test_recipe_of_another_augmentation_is_refused_on_both_sides_before_any_training(start, tmp_path):
    chief, other = start(0), start(1, "--set", "data.augment.flip=horizontal")
    for process in (chief, other):
        found, said = ended(process)
        assert found == 2, said
        assert re.search(r"worker 1 \(127\.0\.0\.1:\d+\): data\.augment\.flip must be as the chief's, none\. Received: horizontal\.", said)
    assert not list(tmp_path.rglob("training.npz"))
