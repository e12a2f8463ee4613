"""The tables for terminals and notebooks."""

import io

import pytest
from rich.console import Console

from edgecompress.report import comparison, comparison_table, not_ranked, summary_table
from edgecompress.report.schema import Report


def printed(renderable, width=100):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(renderable)
    return console.file.getvalue()


def row(text, start):
    """The words of the line that starts with `start`."""
    return next(line for line in text.splitlines() if line.strip().startswith(start)).split()


def test_summary_shows_the_three_models_stages_verdict_and_goals(report):
    text = printed(summary_table(report))
    assert row(text, "Final (int8)") == ["Final", "(int8)", "92.19", "%", "886", "kB", "3.94x", "0.4093", "0.4748", "3.19x", "92.21", "%"]
    assert row(text, "Plain converter")[-1] == "-"
    assert row(text, "01 cut") == ["01", "cut", "(prune_weights)", "871,210", "59.9", "%", "3.48", "MB", "92.68", "%", "+0.16"]
    assert row(text, "export int8") == ["export", "int8", "886", "kB", "92.45", "%", "-0.02"]
    assert "within noise (McNemar p = 0.21)" in text
    assert "03 train left the model as it was: all layers are frozen" in text
    assert row(text, "p95") == ["p95", "0.4000", "ms", "0.4748", "ms", "missed"]
    assert "Warning: The data set's test part" in text


def test_summary_says_which_device_the_file_is_for(values):
    values["recipe"]["target"] = {"device": "pi4"}
    assert printed(summary_table(Report.model_validate(values))).startswith("fashion_mnist_pruned_int8, meant for pi4\n")


def test_large_goals_are_written_out(values):
    values["goals"] = [{"name": "macs", "limit": 5e6, "value": 5558270.0, "met": False}]
    assert row(printed(summary_table(Report.model_validate(values))), "MACs") == ["MACs", "5,000,000", "5,558,270", "missed"]


def test_summary_fits_a_narrow_terminal(report):
    text = printed(summary_table(report), width=80)
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    assert "quantize_aware" in text


def test_names_are_not_read_as_markup(values):
    values["name"] = "[red]x[/red]"
    values["stages"][1]["id"] = "[bold]cut"
    text = printed(summary_table(Report.model_validate(values)))
    assert "[red]x[/red]" in text
    assert "[bold]cut" in text


def test_names_cannot_command_the_terminal(values):
    values["name"] = "\x1b[2J\x07name"
    values["stages"][1]["id"] = "\x1b]0;title\x07"
    text = printed(summary_table(Report.model_validate(values)))
    assert "\x1b" not in text
    assert "\x07" not in text


def test_summary_says_what_is_broken(values):
    values["stages"][-1]["keeps"][0]["held"] = False
    for entry in values["benchmark"]:
        entry |= {"trusted": False, "distrust_reasons": ["the load was 3.1"]}
    values["benchmark"].append(values["benchmark"][0] | {"model": "plain", "threads": 4, "p50_ms": None, "error": "stopped by signal 11"})
    text = printed(summary_table(Report.model_validate(values)))
    assert "Keep broken: conv2d, sparsity 0.6000" in text
    assert "Latency is not to be trusted: the load was 3.1" in text
    assert "plain on local, 4 threads, was not measured: stopped by signal 11" in text


def test_notebooks_get_a_small_table(values):
    values["verdict"]["metric"] = "<i>"
    html = Report.model_validate(values)._repr_html_()
    assert html.count("<tr>") == 4
    assert "886 kB" in html
    assert "<i>" not in html


def variant(values, name, **artifact):
    return Report.model_validate(values | {"name": name, "artifact": values["artifact"] | artifact})


def test_comparison_marks_the_best_where_ranking_is_fair(values):
    reports = [variant(values, "a"), variant(values, "b", bytes=5000)]
    assert not_ranked(reports) == []
    text = printed(comparison_table(reports))
    assert row(text, "a")[:6] == ["a", "92.19", "%", "+0.12", "886", "kB"]
    assert row(text, "b")[:7] == ["b", "92.19", "%", "+0.12", "5.00", "kB", "*"]
    assert text.count("*") == 1  # equal values are no one's merit


def test_comparison_refuses_to_rank_unlike_latencies(values):
    first = variant(values, "a")
    for entry in values["benchmark"]:
        entry |= {"host": "pi4", "p50_ms": entry["p50_ms"] / 2}
    reports = [first, variant(values, "b")]
    assert not_ranked(reports) == ["Latencies are not ranked: host differs: local, pi4."]
    assert "*" not in printed(comparison_table(reports))


def test_comparison_refuses_to_rank_where_a_run_was_not_measured(values):
    first = variant(values, "a")
    values["benchmark"] = []
    assert not_ranked([first, variant(values, "b")]) == ["Latencies are not ranked: b has none."]


@pytest.mark.parametrize("change", ["data", "metric"])
def test_comparison_refuses_to_rank_unlike_tasks(values, change):
    first = variant(values, "a")
    values["metrics"]["final"]["tflite"]["accuracy"] = 0.99
    if change == "data":
        values["data"]["fingerprint"] = "00" * 32
    else:
        values["verdict"]["metric"] = "top_5_accuracy"
    reports = [first, variant(values, "b")]
    (reason,) = not_ranked(reports)
    assert reason.startswith("Metrics are not ranked: the ")
    assert "*" not in printed(comparison_table(reports))


def test_lower_losses_win(values):
    values["verdict"] |= {"metric": "mean_squared_error", "direction": "falls"}
    values["metrics"]["final"]["tflite"] = {"mean_squared_error": 0.02}
    first = variant(values, "a")
    values["metrics"]["final"]["tflite"] = {"mean_squared_error": 0.01}
    assert "0.01 *" in printed(comparison_table([first, variant(values, "b")]))


def test_runs_of_one_name_are_numbered(values):
    text = printed(comparison_table([variant(values, "a"), variant(values, "a")]))
    assert "a (1)" in text
    assert "a (2)" in text


def test_runs_without_a_benchmark_can_be_compared(values):
    values["benchmark"] = []
    reports = [variant(values, "a"), variant(values, "b")]
    assert not_ranked(reports) == []
    assert [run["p50_ms"] for run in comparison(reports)["runs"]] == [None, None]


def test_comparison_as_data_has_the_figures_and_the_reasons(values):
    first = variant(values, "a")
    values["benchmark"][2]["threads"] = 4
    found = comparison([first, variant(values, "b", bytes=5000)])
    assert found["not_ranked"] == ["Latencies are not ranked: threads differs: 1, 4."]
    assert found["runs"][1] == {
        "name": "b", "metrics": {"accuracy": 0.9219}, "drop": 0.0012, "bytes": 5000, "ratio": pytest.approx(3.937, abs=1e-3),
        "nonzero_parameters": 349100, "p50_ms": 0.4093, "p95_ms": pytest.approx(0.4748, abs=1e-4),
        "goals": {"metric_drop": True, "size_kb": True, "p95_ms": False},
    }  # fmt: skip
