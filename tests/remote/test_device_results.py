"""What hosts say goes into the report of a run: from the command, from a recipe, and the goals are judged by it."""

import json
import shutil
import sys
import zipfile
from pathlib import Path

import pytest

from edgecompress.cli import main
from edgecompress.device_results import merge
from edgecompress.report import Report
from edgecompress.report.schema import BenchmarkEntry
from edgecompress.store import RunFolder


@pytest.fixture
def run(finished_run, tmp_path):
    return Path(shutil.copytree(finished_run, tmp_path / "run"))


def entry(host, p50_ms=None, threads=1, **values):
    return BenchmarkEntry(model="final", host=host, threads=threads, p50_ms=p50_ms, error=None if p50_ms else "away", **values)


def test_new_figures_of_a_host_replace_the_old_and_leave_the_others(run):
    report = merge(Report.load(run), [entry("pi", 3.0), entry("coral", 5.0)])
    again = merge(report, [entry("pi", 2.0)])
    assert [(one.host, one.p50_ms) for one in again.benchmark if one.host != "local"] == [("pi", 2.0), ("coral", 5.0)]
    assert len([one for one in again.benchmark if one.host == "local"]) == 3


def test_narrower_benchmark_keeps_what_it_did_not_measure_again(run):
    """Replacing a host as a whole turned a goal that was met into one that was not measured."""
    report = Report.load(run)
    report.recipe["goal"] = {"p50_ms": {"limit": 2.5, "host": "pi", "threads": 2}}
    wide = [entry("pi", 3.0, sustained={"minutes": 1}, accuracy={"right": 9}), entry("pi", 2.0, threads=2)]
    again = merge(merge(report, wide), [entry("pi", 2.9, accuracy={"right": 8})])
    own = [one for one in again.benchmark if one.host == "pi"]
    assert [(one.threads, one.p50_ms) for one in own] == [(1, 2.9), (2, 2.0)]
    assert (own[0].sustained, own[0].accuracy) == ({"minutes": 1}, {"right": 8})
    assert [goal.met for goal in again.goals] == [True]
    failed = merge(again, [entry("pi", threads=1), entry("pi", 1.9, threads=2)])
    assert [one.sustained for one in failed.benchmark if one.host == "pi"] == [None, None]  # a failure has no figures


def test_other_kernels_measured_later_decide_neither_goals_nor_the_first_figure(run):
    report = Report.load(run)
    report.recipe["goal"] = {"p50_ms": {"limit": 2.5, "host": "pi"}}
    again = merge(merge(report, [entry("pi", 2.0, requested_kernels="xnnpack")]), [entry("pi", 9.0, requested_kernels="builtin")])
    assert [one.p50_ms for one in again.benchmark if one.host == "pi"] == [2.0, 9.0]
    assert [(goal.value, goal.met) for goal in again.goals] == [(2.0, True)]


def test_closer_look_that_failed_takes_no_good_one_away(run):
    good = {"sustained": {"minutes": 1}, "accuracy": {"right": 9}, "operators": {"timed": [{"index": 0}]}}
    bad = {"sustained": {"error": "x"}, "accuracy": {"error": "x"}, "operators": {"timed": [], "error": "the disk is full"}}

    def parts(report):
        (own,) = (one for one in report.benchmark if one.host == "pi")
        return {key: getattr(own, key) for key in good}

    first = merge(Report.load(run), [entry("pi", 3.0, **bad)])
    assert parts(first) == bad
    assert parts(merge(first, [entry("pi", 2.9, **good)])) == good
    assert parts(merge(merge(first, [entry("pi", 2.9, **good)]), [entry("pi", 2.8, **bad)])) == good


def test_figures_of_another_board_of_one_kind_are_not_kept_beside_new_ones(run):
    """Over SSH a name may lead to another board one day; an id that is not known may be any."""
    for old, new, kept in (("a", "b", False), ("a", "a", True), (None, "a", True), ("a", None, True)):
        report = merge(Report.load(run), [entry("pi", 3.0, machine_id=old), entry("pi", 2.0, threads=2, machine_id=old)])
        own = [one for one in merge(report, [entry("pi", 2.9, machine_id=new)]).benchmark if one.host == "pi"]
        assert [one.threads for one in own] == ([1, 2] if kept else [1])


def test_figures_of_another_runtime_or_governor_are_not_kept_beside_new_ones(run):
    for old, new in (({"runtime": "a"}, {"runtime": "b"}), ({"cpu": {"governor": "powersave"}}, {"cpu": {"governor": "performance"}})):
        report = merge(Report.load(run), [entry("pi", 3.0, sustained={"minutes": 1}, **old), entry("pi", 2.0, threads=2, **old)])
        own = [one for one in merge(report, [entry("pi", 2.9, **new)]).benchmark if one.host == "pi"]
        assert [(one.threads, one.sustained) for one in own] == [(1, None)]


def test_host_that_is_away_keeps_what_it_measured_before(run):
    report = merge(merge(Report.load(run), [entry("pi", 3.0)]), [entry("pi"), entry("coral")])
    assert [(one.host, one.error) for one in report.benchmark if one.host != "local"] == [("pi", None), ("coral", "away")]


def test_goals_are_judged_by_the_host_that_they_name(run):
    report = Report.load(run)
    report.recipe["goal"] = {"p50_ms": {"limit": 2.5, "host": "pi"}}
    assert [goal.met for goal in merge(report, []).goals] == [False]  # not measured yet
    assert [goal.met for goal in merge(report, [entry("pi", 2.0)]).goals] == [True]


def test_run_at_work_is_not_disturbed(run, make_host):
    host = make_host()
    with RunFolder(run):
        assert main(["benchmark", str(run), "--host", "board", "--ssh-config", str(host.config), "--runs", "50"]) == 5


def test_latencies_of_a_run_that_was_made_again_meanwhile_are_refused(run, monkeypatch, capsys):
    def measure(files, settings, progress):
        manifest = json.loads((run / "manifest.json").read_text())
        manifest["files"]["final"]["sha256"] = "0" * 64
        (run / "manifest.json").write_text(json.dumps(manifest))
        return [entry("local", 3.0)]

    monkeypatch.setattr("edgecompress.host_benchmark.measure_here", measure)
    before = (run / "report.json").read_bytes()
    assert main(["benchmark", str(run), "--operators", "--runs", "50"]) == 2
    assert f"must be measured on the models of {run}. Received: another file for final." in capsys.readouterr().err
    assert (run / "report.json").read_bytes() == before


def test_hosts_of_a_recipe_are_measured_by_run_and_one_that_is_away_is_exit_code_four(make_host, finished_run, tmp_path):
    host, folder = make_host(), Path(shutil.copytree(finished_run, tmp_path / "again"))  # its stages are not done again
    recipe = str(finished_run.parent / "digits.yaml")
    options = ["--set", "benchmark.hosts=[board, nosuch.invalid]", "--out", str(folder), "--ssh-config", str(host.config), "--quiet"]
    assert main(["run", recipe, *options]) == 4
    entries = Report.load(folder).benchmark
    assert {(one.host, one.error is None) for one in entries} == {("board", True), ("nosuch.invalid", False)}
    assert len(entries) == 4
    assert "board" in (folder / "report.md").read_text()
    assert host.is_clean()


@pytest.mark.parametrize("name", ["-oProxyCommand=id", "a b", "x;id"])
def test_recipe_with_a_host_that_is_none_is_refused(finished_run, name, capsys):
    assert main(["check", str(finished_run.parent / "digits.yaml"), "--set", f"benchmark.hosts=['{name}']"]) == 2
    assert "benchmark.hosts" in capsys.readouterr().err


def wheel(folder, name, module, text):
    """A wheel of one module."""
    path = folder / f"{name}-1.0-py3-none-any.whl"
    about = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        for file, content in module.items():
            archive.writestr(file, content)
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", text)
    return path


INTERPRETER = "Interpreter = object\nclass OpResolverType: AUTO = 0\n"


def test_install_makes_an_environment_that_the_host_then_uses(make_host, tmp_path, capsys):
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    wheel(wheels, "numpy", {"numpy/__init__.py": "__version__ = '1.0'\n"}, "")
    wheel(
        wheels, "ai_edge_litert", {"ai_edge_litert/__init__.py": "__version__ = '1.0'\n", "ai_edge_litert/interpreter.py": INTERPRETER}, ""
    )
    python = f'exec {sys._base_executable} "$@"'
    host = make_host(python=python, PIP_NO_INDEX="1", PIP_FIND_LINKS=str(wheels), PYTHONNOUSERSITE="1")
    home = host.folder / "home"
    assert main(["doctor", "--host", "board", "--install", "--ssh-config", str(host.config)]) == 0
    output = capsys.readouterr()
    assert f"{home}/.local/share/edgecompress/venv: ai-edge-litert, numpy" in output.err
    assert "ai-edge-litert 1.0, NumPy 1.0" in " ".join(output.out.split())
    assert host.is_clean()


def test_environment_that_was_not_finished_is_not_used(make_host, capsys):
    host = make_host()
    programs = host.folder / "home/.local/share/edgecompress/venv/bin"
    programs.mkdir(parents=True)
    (programs / "python").write_text("#!/bin/sh\nexit 3\n")
    (programs / "python").chmod(0o755)
    assert main(["doctor", "--host", "board", "--ssh-config", str(host.config)]) == 4
    (programs.parents[1] / "venv.unfinished").touch()
    assert main(["doctor", "--host", "board", "--ssh-config", str(host.config)]) == 0


def test_install_that_fails_leaves_nothing_and_says_why(make_host, tmp_path, capsys):
    host = make_host(python=f'exec {sys._base_executable} "$@"', PIP_NO_INDEX="1")
    assert main(["doctor", "--host", "board", "--install", "--ssh-config", str(host.config)]) == 4
    assert "Could not find a version that satisfies the requirement ai-edge-litert" in capsys.readouterr().err
    assert not (host.folder / "home/.local/share/edgecompress/venv").exists()
