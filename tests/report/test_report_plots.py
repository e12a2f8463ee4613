"""The drawings: what they show, equal bytes for equal input, no traces in the process."""

import re

import matplotlib
from hypothesis import given
from hypothesis import strategies as st

from edgecompress.report.curves import stage_curves
from edgecompress.report.plots import plots
from edgecompress.report.row_plots import MOST_LAYERS, span
from edgecompress.report.schema import Report


def texts(svg):
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def test_drawings_are_equal_for_equal_reports(report):
    assert {name: plot.svg for name, plot in plots(report).items()} == {name: plot.svg for name, plot in plots(report).items()}


def test_drawings_leave_no_trace(report):
    before = dict(matplotlib.rcParams)
    plots(report)
    assert dict(matplotlib.rcParams) == before


def test_users_matplotlib_style_does_not_change_drawings(report):
    usual = plots(report)["tradeoff"].svg
    with matplotlib.rc_context({"font.size": 30, "axes.grid": True, "svg.fonttype": "path"}):
        assert plots(report)["tradeoff"].svg == usual


def test_text_is_text(report):
    found = texts(plots(report)["stage_bytes"].svg)
    assert found[:5] == ["00 baseline", "01 cut", "02 cluster_weights", "03 train", "04 quantize_aware"]
    assert found[5:7] == ["plain int8 file", "final int8 file"]
    assert "3.48 MB" in found
    assert found[-1] == "886 kB"


def test_drawings_describe_themselves(report):
    for plot in plots(report).values():
        assert plot.svg.startswith('<svg class="plot" viewBox="0 0 ')
        assert 'role="img" aria-label="' in plot.svg


def test_metric_without_values_is_not_drawn(values):
    for stage in values["stages"]:
        stage["metrics"] = {}
    values["verdict"] = None
    assert "stage_metric" not in plots(Report.model_validate(values))


def test_parts_of_the_loss_are_drawn_where_teachers_helped(values):
    assert "training_addends" not in plots(Report.model_validate(values))
    for part, weight in (("loss_labels", 0.1), ("loss_kd", 0.9)):
        for epoch in values["stages"][-1]["training"]:
            epoch[part] = weight * epoch["loss"]
    found = texts(plots(Report.model_validate(values))["training_addends"].svg)
    assert {"labels", "kd", "epoch"} <= set(found)


def test_epochs_count_on_over_stages(report):
    curves = stage_curves(report, "loss")
    assert [(curve.name, curve.first, len(curve.training)) for curve in curves] == [
        ("00 baseline", 1, 8), ("01 cut", 9, 4), ("02 cluster_weights", 13, 1), ("04 quantize_aware", 14, 2),
    ]  # fmt: skip


def test_unknown_epochs_leave_gaps(values):
    values["stages"][0]["training"][2]["loss"] = None
    svg = plots(Report.model_validate(values))["training_loss"].svg
    assert "nan" not in svg.lower()


def test_many_small_layers_are_one_row(values):
    values["layer_bytes"] = [{"name": f"layer_{index}", "baseline_bytes": 4 * index, "final_bytes": index} for index in range(1, 31)]
    found = texts(plots(Report.model_validate(values))["layer_bytes"].svg)
    assert f"{30 - MOST_LAYERS} others" in found
    assert "layer_30" in found
    assert "layer_1" not in found
    assert "420 B → 105 B" in found  # the sums of 1 to 14, times 4 and times 1


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_axis_of_accuracy_spans_a_point_at_least(values):
    low, high = span("accuracy", values)
    assert low <= min(values) <= max(values) <= high
    assert high - low >= 0.01 - 1e-12  # rounding of two sums


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=9))
def test_axis_of_a_loss_holds_all_values(values):
    low, high = span("mean_squared_error", values)
    assert low < high
    assert low <= min(values) <= max(values) <= high


def test_latencies_of_several_kernels_have_names_of_their_own(values):
    values["benchmark"] = [
        entry | {"requested_kernels": kernels, "kernels": kernels} for entry in values["benchmark"] for kernels in ("xnnpack", "builtin")
    ]
    svg = plots(Report.model_validate(values))["latency"].svg
    assert all(svg.count(f"final, {kernels} x{threads}") == 1 for kernels in ("xnnpack", "builtin") for threads in (1, 2))
