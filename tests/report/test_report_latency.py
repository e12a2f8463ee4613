"""Which latencies may be set against each other."""

import pytest

from edgecompress.report.latency import first_entry, speedup, unlike_circumstances
from edgecompress.report.schema import Report
from edgecompress.report.summary import side_by_side


def entries_with(values, **more):
    """The benchmark with `more` in every entry of the final model; all were asked to run on XNNPACK."""
    for entry in values["benchmark"]:
        entry["requested_kernels"] = "xnnpack"
        if entry["model"] == "final":
            entry.update(more)
    return Report.model_validate(values)


def test_speedup_is_the_ratio_of_medians_at_equal_threads(report):
    found = speedup(report)
    assert found.factor == pytest.approx(1.3042 / 0.4093)
    assert found.distinguishable
    assert (found.baseline.threads, found.final.threads) == (1, 1)
    assert found.distrust_reasons == []


@pytest.mark.parametrize("change", [{"host": "pi4"}, {"runtime_version": "2.14.0"}, {"requested_kernels": "builtin"}, {"threads": 8}])
def test_no_speedup_across_unlike_circumstances(values, change):
    assert speedup(entries_with(values, **change)) is None


def test_kernels_that_the_runtime_chose_are_a_result(values):
    """XNNPACK takes no int16x8 operator: that is what the format costs, so the baseline stays beside it."""
    report = entries_with(values, kernels="builtin", p50_ms=2.6084)
    assert speedup(report).factor == pytest.approx(0.5)
    table = side_by_side(report)
    assert table.names[-1] == "Kernels"
    assert [row[-1].text for row in table.rows] == ["xnnpack", "xnnpack", "builtin"]
    assert "Kernels" not in side_by_side(entries_with(values, kernels="xnnpack")).names


def test_report_of_an_earlier_version_has_only_what_ran(values):
    report = entries_with(values, kernels="builtin")
    entries = [entry.model_copy(update={"requested_kernels": None}) for entry in report.benchmark]
    assert speedup(report.model_copy(update={"benchmark": entries})) is None


def test_overlapping_intervals_are_no_difference(values):
    assert not speedup(entries_with(values, p50_interval_ms=[0.4, 1.29])).distinguishable


def test_distrust_is_passed_on(values):
    assert speedup(entries_with(values, trusted=False, distrust_reasons=["throttled"])).distrust_reasons == ["throttled"]


def test_distrust_without_a_reason_is_still_distrust(values):
    assert speedup(entries_with(values, trusted=False)).distrust_reasons == ["the measurement is marked as not trusted"]


def test_model_that_crashed_has_no_latency(values):
    report = entries_with(values, p50_ms=None, error="stopped by signal 11")
    assert first_entry(report, "final") is None
    assert first_entry(report, "baseline").threads == 1
    assert speedup(report) is None


def test_unlike_circumstances_are_named(report):
    one, other = report.benchmark[0], report.benchmark[0].model_copy(update={"host": "pi4", "cpu": {"model": "Cortex-A72", "cores": 4}})
    assert unlike_circumstances([one, one]) == []
    assert unlike_circumstances([one, other]) == [
        "host differs: local, pi4", "CPU differs: Intel(R) Xeon(R) Processor @ 2.90GHz, Cortex-A72", "cores differs: 2, 4",
    ]  # fmt: skip


def test_untrusted_latency_is_a_reason_of_its_own(report):
    entry = report.benchmark[0].model_copy(update={"trusted": False, "distrust_reasons": ["the load was 3.1"]})
    assert unlike_circumstances([report.benchmark[0], entry]) == ["not trusted: the load was 3.1"]
