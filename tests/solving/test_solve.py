"""Whole solves on real digits: limits that are kept, limits that bind, a killed one that goes on."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import yaml

import edgecompress as ec
from edgecompress.cli import main
from edgecompress.recipe import make_recipe
from edgecompress.solving.run import figures
from edgecompress.solving.steps import Step, solution_of

LIMITS = ["--goal", "metric_drop=0.03", "--goal", "size_kb=5"]


def quiet_probe(patch):
    patch.setattr("edgecompress.export.verify.run_job", lambda job, timeout_s: None)  # its child process takes most of a step's time


@pytest.fixture(scope="module")
def solved(tiny, tmp_path_factory):
    """The folder of a finished solve. Do not change it."""
    folder = tmp_path_factory.mktemp("solved") / "out"
    with pytest.MonkeyPatch.context() as patch:
        quiet_probe(patch)
        assert main(["solve", str(tiny), *LIMITS, "--out", str(folder), "--quiet"]) == 0
    return folder


@pytest.fixture(scope="module")
def found(solved):
    return json.loads((solved / "solve.json").read_text())


def test_limits_are_kept_by_the_cheapest_step_that_keeps_them(found):
    assert found["status"] == "met"
    assert found["binding"] == []
    last = found["steps"][-1]
    assert last["number"] == found["chosen"]
    assert last["bytes"] <= 5000
    assert last["drop"] <= 0.03
    assert [step["name"] for step in found["steps"][:2]] == ["float32", "int8"]
    assert all(any(miss > 0 for miss in step["misses"].values()) for step in found["steps"][:-1])
    assert not any(step["trained"] for step in found["steps"])


def test_bits_of_every_layer_were_measured_once(solved):
    curves = [json.loads(path.read_text()) for path in (solved / "cache" / "sensitivities").glob("*.json")]
    (bits,) = [curve for curve in curves if any("@0.875" in place for place in curve["measured"])]
    assert {place.split("@")[0] for place in bits["measured"]} == {"", "dense1", "dense2", "logits"}


def test_chosen_recipe_is_plain_and_gives_the_bytes_of_its_step(solved, found, tmp_path, probe_in_this_process):
    step = found["steps"][found["chosen"]]
    lent = ec.Report.load(solved / "chosen")
    assert all(stage.cached for stage in lent.stages)
    anew = ec.run(solved / "chosen.yaml", out=tmp_path / "anew", quiet=True)
    assert anew.tflite_path.read_bytes() == (solved / step["file"]).read_bytes()
    assert anew.report.artifact.sha256 == lent.artifact.sha256
    assert yaml.safe_load((solved / "chosen.yaml").read_text())["goal"]["size_kb"] == 5


def test_pages_show_every_step_and_every_limit(solved, found):
    page, text = (solved / "solve.html").read_text(), (solved / "solve.md").read_text()
    for shown in (page, text):
        assert all(step["name"] in shown for step in found["steps"])
        assert "all limits kept" in shown
        assert "keeps all limits on the validation split" in shown
    assert page.count("<svg") >= 1
    assert "://" not in page  # nothing is loaded


def test_second_call_returns_at_once(solved, tiny, found, monkeypatch, capsys):
    for name in ("edgecompress.solving.run._climb", "edgecompress.runs.run_recipe"):
        monkeypatch.setattr(name, lambda *given, **more: pytest.fail("done again"))
    assert main(["solve", str(tiny), *LIMITS, "--out", str(solved), "--quiet", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == found


def test_solution_survives_its_file(found):
    assert json.loads(json.dumps(solution_of(found).to_dict())) == found


def test_folder_of_another_model_is_refused(solved, tiny, capsys):
    before = (solved / "chosen.yaml").read_bytes()
    assert main(["solve", str(tiny), *LIMITS, "--set", "model.width=16", "--out", str(solved), "--quiet"]) == 2
    expected = "the folder must be of a solve of the same model and data; choose another with --out. Received: one that differs in "
    assert f"{expected}recipe.model.width." in " ".join(capsys.readouterr().err.split())
    assert (solved / "chosen.yaml").read_bytes() == before


def test_other_limits_take_the_steps_that_are_known(solved, found, tiny, tmp_path, monkeypatch, probe_in_this_process):
    from edgecompress.search.trial import Laboratory

    out = tmp_path / "out"
    shutil.copytree(solved, out)
    monkeypatch.setattr(Laboratory, "run_line", lambda *given, **more: pytest.fail("done again"))
    assert main(["solve", str(tiny), *LIMITS[:3], "size_kb=8", "--out", str(out), "--quiet", "--no-run"]) == 0
    other = json.loads((out / "solve.json").read_text())
    assert [step["name"] for step in other["steps"]] == ["float32", "int8"]
    assert [step["bytes"] for step in other["steps"]] == [step["bytes"] for step in found["steps"][:2]]
    assert other["steps"][1]["misses"]["size_kb"] == pytest.approx(other["steps"][1]["bytes"] / 8000 - 1)
    assert yaml.safe_load((out / "chosen.yaml").read_text())["goal"]["size_kb"] == 8


def test_killed_solve_goes_on_and_chooses_the_same(solved, found, tiny, tmp_path, probe_in_this_process):
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "edgecompress", "solve", str(tiny), *LIMITS, "--out", str(out), "--quiet"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        journal, started = out / "journal.json", time.monotonic()
        while not (journal.exists() and len(json.loads(journal.read_text())["steps"]) >= 4):  # two of the floor, float32, int8
            assert process.poll() is None
            assert time.monotonic() - started < 300
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
    assert not (out / "chosen.yaml").exists()
    before = json.loads(journal.read_text())["steps"]
    assert main(["solve", str(tiny), *LIMITS, "--out", str(out), "--quiet", "--no-run"]) == 0
    assert json.loads(journal.read_text())["steps"][: len(before)] == before
    assert (out / "chosen.yaml").read_bytes() == (solved / "chosen.yaml").read_bytes()


def test_limit_that_binds_is_named_with_the_nearest_step_and_a_larger_budget_goes_on(tiny, tmp_path, capsys, probe_in_this_process):
    out, limits = tmp_path / "out", ["--goal", "metric_drop=-0.09", "--goal", "macs=1700", "--set", "model.train.epochs=4"]
    command = ["solve", str(tiny), *limits, "--out", str(out), "--quiet", "--no-run"]
    assert main([*command, "--trials", "0"]) == 3
    error = " ".join(capsys.readouterr().err.split())
    first = json.loads((out / "solve.json").read_text())
    assert first["status"] == "budget spent"
    assert "The budget is spent: no step keeps all limits." in error
    assert f"Step {first['chosen']} (" in error
    assert "is nearest; it misses " in error
    assert "With all other limits kept, this binds: metric_drop " in error
    within = [step for step in first["steps"] if not step["reason"] and step["misses"]["macs"] <= 0]
    assert first["instead"]["metric_drop"] == pytest.approx(min(step["drop"] for step in within))
    assert main([*command, "--trials", "1"]) == 3
    second = json.loads((out / "solve.json").read_text())
    assert second["steps"][: len(first["steps"])] == first["steps"]
    assert sum(step["trained"] for step in second["steps"]) == 1
    trained = next(step for step in second["steps"] if step["trained"])
    assert trained["drop"] < first["instead"]["metric_drop"]  # a recovery that teaches nothing would be none


def test_budget_that_ends_before_the_first_step_leaves_one(tiny, tmp_path, capsys, probe_in_this_process):
    out = tmp_path / "out"
    command = ["solve", str(tiny), *LIMITS, "--set", "model.train.epochs=1", "--out", str(out), "--quiet", "--no-run", "--minutes", "0"]
    assert main(command) == 3
    assert "The budget is spent: no step keeps all limits. Step 0 (float32) is nearest" in " ".join(capsys.readouterr().err.split())
    first = json.loads((out / "solve.json").read_text())
    assert (first["status"], [step["name"] for step in first["steps"]]) == ("budget spent", ["float32"])
    assert (out / "chosen.yaml").exists()


def test_small_metrics_are_not_shown_as_nothing():
    recipe = make_recipe({
        "name": "r", "data": {"source": "npz", "path": "d.npz"}, "model": {"source": "file", "path": "m.h5"},
        "task": {"loss": "mean_squared_error", "metrics": ["mean_squared_error"]}, "goal": {"metric_drop": 1e-6},
    })  # fmt: skip
    step = Step(0, "int8", "k", False, 1.0, bytes=4000, metric=3.14159e-5, drop=2e-6, misses={"metric_drop": 1.0})
    assert figures(recipe, step) == "mean_squared_error 3.142e-05, 4,000 bytes; misses metric_drop by 100.0 %"


def test_model_file_with_its_data(solved, digits, tmp_path, capsys, probe_in_this_process):
    x, y = digits.train.arrays()[:2]
    np.savez(tmp_path / "digits.npz", x=x, y=y)
    model = solved / "chosen" / "stages" / "00-baseline" / "model.h5"
    command = ["solve", str(model), "--goal", "metric_drop=0.05", "--goal", "size_kb=7", "--out", str(tmp_path / "out"), "--quiet"]
    assert main(command) == 2
    assert "a model must come with its data: name them with --data FOLDER" in " ".join(capsys.readouterr().err.split())
    command += ["--data", str(tmp_path / "digits.npz"), "--set", "benchmark=null", "--set", "data.preprocess.scale=1"]
    assert main(command) == 2
    assert "the model must end in probabilities. Received: logits; set it to true" in " ".join(capsys.readouterr().err.split())
    assert main([*command, "--set", "task.from_logits=true"]) == 0
    assert [step["name"] for step in json.loads((tmp_path / "out" / "solve.json").read_text())["steps"]] == ["float32", "int8"]


def test_limits_on_time_are_measured(tiny, tmp_path, probe_in_this_process):
    limits = {"metric_drop": 0.1, "p50_ms": 1000.0}
    done = ec.solve(tiny, limits, overrides={"model.train.epochs": 1}, out=tmp_path / "out", run_chosen=False, quiet=True)
    (step,) = done.solution.steps
    assert step.met
    assert 0 < step.measured["p50_ms"] < 1000
    assert done.run is None
    assert "<svg" in done._repr_html_()


@pytest.mark.parametrize(
    ("goals", "pattern"),
    [
        (["size_kb=1"], r"goal.size_kb: the limit contradicts the model; it must be at least 1\.\d+, what is left in 4 bits"),
        (["p50_ms=1e-7"], r"goal.p50_ms: the limit contradicts the model; it must be at least"),
        (["macs=10"], r"goal.macs: the limit contradicts the model; it must be at least"),
    ],
)
def test_limits_that_nothing_can_keep_end_before_any_training(tiny, tmp_path, capsys, probe_in_this_process, goals, pattern):
    words = [word for goal in ["metric_drop=0.1", *goals] for word in ("--goal", goal)]
    assert main(["solve", str(tiny), *words, "--out", str(tmp_path / "out"), "--quiet"]) == 2
    assert re.search(pattern, " ".join(capsys.readouterr().err.split()))
    records = [json.loads(path.read_text()) for path in (tmp_path / "out" / "cache").rglob("record.json")]
    assert not [record for record in records if record.get("report", {}).get("training")]
