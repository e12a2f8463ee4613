"""Limits against measured values."""

import pytest

from edgecompress.goals import judge_goals
from edgecompress.recipe.schema import Goal
from edgecompress.report.schema import BenchmarkEntry

ENTRIES = [
    BenchmarkEntry(model="final", host="local", threads=1, p50_ms=1.0, p95_ms=None, peak_rss_kb=9000.0),
    BenchmarkEntry(model="final", host="local", threads=2, p50_ms=0.6, p95_ms=0.9, peak_rss_kb=9500.0),
    BenchmarkEntry(model="baseline", host="local", threads=1, p50_ms=5.0, p95_ms=6.0, peak_rss_kb=20000.0),
]
ARTIFACT = {"bytes": 60_000, "arena_bytes": 20_480}


def judged(drop=0.004, **limits):
    goal = Goal.model_validate(limits)
    return {result.name: (result.value, result.met) for result in judge_goals(goal, ARTIFACT, drop, ENTRIES, macs=5000)}


def test_no_limits_no_results():
    assert judged() == {}


def test_a_value_on_the_limit_is_met():
    assert judged(metric_drop=0.004, size_kb=60.0) == {"metric_drop": (0.004, True), "size_kb": (60.0, True)}
    assert judged(metric_drop=0.003, size_kb=59.9) == {"metric_drop": (0.004, False), "size_kb": (60.0, False)}


def test_memory_of_tensors_that_share_it_is_a_limit():
    assert judged(arena_kb=20.48) == {"arena_kb": (20.48, True)}
    assert judged(arena_kb=20.0) == {"arena_kb": (20.48, False)}


def test_rounding_of_fractions_does_not_miss_a_limit():
    baseline = 9_200 / 10_000
    drops = {correct: baseline - correct / 10_000 for correct in (9_150, 9_149)}
    assert drops[9_150] > 0.005  # as Python computes it: 0.005000000000000004
    assert judged(drop=drops[9_150], metric_drop=0.005)["metric_drop"][1]
    assert not judged(drop=drops[9_149], metric_drop=0.005)["metric_drop"][1]


def test_a_gain_meets_any_drop():
    assert judged(drop=-0.01, metric_drop=0.0) == {"metric_drop": (-0.01, True)}


def test_latency_is_taken_for_the_named_threads_of_the_final_file():
    assert judged(p50_ms={"limit": 0.7, "threads": 2}) == {"p50_ms": (0.6, True)}
    assert judged(p50_ms=0.7) == {"p50_ms": (1.0, False)}


def test_what_was_not_measured_is_not_met():
    assert judged(p95_ms=100.0) == {"p95_ms": (None, False)}
    assert judged(drop=None, metric_drop=0.5) == {"metric_drop": (None, False)}


def test_peak_memory_is_the_largest_of_the_final_file():
    assert judged(peak_rss_kb=9400.0) == {"peak_rss_kb": (9500.0, False)}


@pytest.mark.parametrize("order", [("xnnpack", "builtin"), ("builtin", "xnnpack")])
def test_latency_and_memory_are_those_of_the_runtimes_default_kernels(order):
    times = {"xnnpack": 1.0, "builtin": 3.0}
    entries = [
        BenchmarkEntry(model="final", host="local", threads=1, p50_ms=times[name], peak_rss_kb=1000 * times[name], requested_kernels=name)
        for name in order
    ]
    goal = Goal(p50_ms={"limit": 2.0}, peak_rss_kb=2000)
    assert [result.value for result in judge_goals(goal, ARTIFACT, None, entries, None)] == [1.0, 1000]
    alone = [entry for entry in entries if entry.requested_kernels == "builtin"]
    assert [result.value for result in judge_goals(goal, ARTIFACT, None, alone, None)] == [3.0, 3000]
