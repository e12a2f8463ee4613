"""Each stage of a finished run left out in turn."""

import json
import re

import pytest

import edgecompress as ec
from edgecompress.cli import main
from edgecompress.report.ablation_page import _draw, ablation_rows
from edgecompress.search.ablation import lines_of

RECIPE = """\
name: whole
threads: 1
data: {source: digits, preprocess: {scale: 1/16}, batch_size: 64}
model: {source: builder, name: mlp, width: 32, train: {epochs: 8, learning_rate: 1e-2}}
stages:
  - prune_neurons: {id: cut, macs: 0.5, round_to: 1, criterion: l1, train: {epochs: 3, learning_rate: 1e-2}}
  - prune_weights: {id: zeros, sparsity: 0.5}
export: {format: float32, shrink: false}
benchmark: null
"""


@pytest.fixture(scope="module")
def ablated(tmp_path_factory):
    """The folder of a run, and what `ablate --json` printed."""
    folder = tmp_path_factory.mktemp("ablated")
    (folder / "whole.yaml").write_text(RECIPE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgecompress.export.verify.run_job", lambda job, timeout_s: None)
        assert main(["run", str(folder / "whole.yaml"), "--out", str(folder / "run"), "--quiet"]) == 0
        assert main(["ablate", str(folder / "run"), "--orders", "--quiet"]) == 0
    return folder / "run"


@pytest.fixture(scope="module")
def found(ablated):
    return json.loads((ablated / "ablation.json").read_text())


def line(found, kind, name):
    return next(one for one in found["measured"] if (one["line"]["kind"], one["line"]["name"]) == (kind, name))


def test_lines_are_the_whole_one_prefixes_single_absences_and_orders():
    lines = lines_of(ec.load_recipe("r.yaml", text=RECIPE), orders=True)
    assert [(one.kind, one.name, one.stages) for one in lines] == [
        ("all", "all stages", (0, 1)), ("prefix", "no stage", ()), ("prefix", "+ cut", (0,)),
        ("without", "cut", (1,)), ("without", "zeros", (0,)), ("order", "zeros, cut", (1, 0)),
    ]  # fmt: skip


def test_whole_line_is_the_run_and_loses_nothing_against_itself(ablated, found):
    whole = found["measured"][0]
    assert whole["bytes"] == (ablated / "model.tflite").stat().st_size
    assert whole["drop"] == 0
    assert whole["interval"][0] <= 0 <= whole["interval"][1]


def test_what_a_stage_is_worth_is_the_difference_of_the_metrics(found):
    whole, without_cut = found["measured"][0], line(found, "without", "cut")
    assert without_cut["bytes"] > 1.5 * whole["bytes"]
    assert without_cut["drop"] == pytest.approx(whole["metric"] - without_cut["metric"])
    assert without_cut["interval"][0] <= without_cut["drop"] <= without_cut["interval"][1]
    assert line(found, "without", "zeros")["bytes"] == line(found, "prefix", "+ cut")["bytes"]


def test_stages_of_the_run_are_not_trained_again(ablated):
    cached = [json.loads(path.read_text()) for path in (ablated / "ablation" / "cache").rglob("record.json")]
    techniques = [record["report"]["technique"] for record in cached if "report" in record]
    assert techniques.count("baseline") == 1
    assert techniques.count("prune_neurons") == 2  # first, and second in the other order
    assert len(cached) == len({record["key"] for record in cached})


def test_page_has_the_waterfall(ablated):
    page = (ablated / "ablation.html").read_text()
    assert page.count("<svg") >= 2
    assert "without cut" in page


@pytest.mark.parametrize("folder", ["absent", "empty"])
def test_what_is_no_run_is_refused(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    assert main(["ablate", str(tmp_path / folder), "--quiet"]) == 2


@pytest.mark.parametrize(
    ("metric", "rises", "left_out", "change", "interval", "colour"),
    [
        ("accuracy", True, 0.8, "-10.00", "-12.00 to -8.00", "plot-final"),
        ("mean_squared_error", False, 1.0, "+0.1", "+0.08 to +0.12", "plot-plain"),
    ],
)
def test_change_of_a_metric_has_its_own_sign_and_the_colour_of_what_is_better(metric, rises, left_out, change, interval, colour):
    """Leaving the stage out is worse by 0.1. In the waterfall it raises the metric, be that for better or worse."""
    worse = {"drop": 0.1, "interval": [0.08, 0.12]}
    rest = {"bytes": 100, "macs": 10, "p50_ms": None, "reason": ""}

    def measured(kind, name, value, drop):
        return {"line": {"kind": kind, "name": name, "stages": []}, "metric": value, **drop, **rest}

    nothing = {"drop": 0.0, "interval": None}
    lines = [("all", "all stages", 0.9, nothing), ("prefix", "no stage", 0.8, worse), ("without", "cut", left_out, worse)]
    values = {"name": "r", "metric": metric, "rises": rises, "measured": [measured(*line) for line in lines]}
    assert [cell.text for cell in ablation_rows(values, "without").rows[1]][4:6] == [change, interval]
    drawing = _draw(values)["waterfall_metric"].svg
    assert colour in drawing
    assert len({"plot-final", "plot-plain"} & set(re.findall(r"plot-\w+", drawing))) == 1
