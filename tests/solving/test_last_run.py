"""The run that a solve ends with is made again only where something of it is missing."""

import pytest

from edgecompress.progress import Progress
from edgecompress.recipe import dump_recipe, load_recipe
from edgecompress.report.schema import BenchmarkEntry, Report
from edgecompress.solving.run import SolveOptions, _run_chosen
from edgecompress.solving.steps import Solution


@pytest.mark.parametrize(("error", "is_run"), [(None, False), ("the host cannot be reached", True)])
def test_host_that_failed_is_measured_again(finished_run, tmp_path, monkeypatch, error, is_run):
    calls = []
    monkeypatch.setattr("edgecompress.runs.run_recipe", lambda *given, **more: calls.append(given))
    recipe = load_recipe(finished_run / "recipe.lock.yaml", {"benchmark.hosts": ["local", "pi4"]})
    (tmp_path / "chosen.yaml").write_text(dump_recipe(recipe))
    report = Report.load(finished_run)
    entries = [*report.benchmark, BenchmarkEntry(model="final", host="pi4", threads=1, error=error)]
    report = report.model_copy(update={"recipe": recipe.model_dump(mode="json"), "benchmark": entries})
    (tmp_path / "chosen").mkdir()
    (tmp_path / "chosen" / "report.json").write_text(report.model_dump_json())
    _run_chosen(Solution("s", "accuracy", True, {}, None, "met", [], None, [], {}, {}), tmp_path, SolveOptions(), Progress())
    assert bool(calls) is is_run
