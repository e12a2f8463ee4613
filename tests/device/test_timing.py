"""Warm-up rule, blocks and latency statistics, on a simulated clock and against brute-force oracles."""

import gc
import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecompress.device import timing


class SimulatedClock:
    """A clock that only the work moves."""

    def __init__(self, monkeypatch, latencies_ns):
        self.now, self.latencies = 0, iter(latencies_ns)
        self.num_runs = 0
        monkeypatch.setattr(time, "perf_counter_ns", lambda: self.now)

    def run(self):
        self.num_runs += 1
        self.now += next(self.latencies)


def forever(*latencies_ns):
    while True:
        yield from latencies_ns


def test_each_invoke_is_timed_alone(monkeypatch):
    clock = SimulatedClock(monkeypatch, [5, 7, 11])
    assert timing.time_invokes(clock.run, 3) == [5, 7, 11]


def test_garbage_collector_is_off_while_timing_and_back_afterwards():
    seen = []
    timing.time_invokes(lambda: seen.append(gc.isenabled()), 2)
    assert seen == [False, False]
    assert gc.isenabled()
    with pytest.raises(KeyError):
        timing.time_invokes({}.popitem, 1)
    assert gc.isenabled()


def test_warm_up_of_a_steady_model_is_three_windows(monkeypatch):
    clock = SimulatedClock(monkeypatch, forever(1_000_000))
    assert timing.warm_up(clock.run) == (3 * 21, True)  # a window: 20 ms in steps of 3 invokes of 1 ms


def test_warm_up_of_a_slow_model_is_nine_invokes(monkeypatch):
    clock = SimulatedClock(monkeypatch, forever(30_000_000_000))
    assert timing.warm_up(clock.run) == (9, True)


def test_warm_up_waits_until_the_latency_settles(monkeypatch):
    falling = [int(10_000_000 * 0.9**step) for step in range(0, 60, 3) for _ in range(3)]
    clock = SimulatedClock(monkeypatch, [*falling, *[1_000_000] * 1000])
    num_invokes, stable = timing.warm_up(clock.run)
    assert stable
    assert num_invokes > len(falling)


def test_warm_up_that_never_settles_ends_after_its_limit(monkeypatch):
    clock = SimulatedClock(monkeypatch, (1_000_000 * (2 + step // 21 % 2) for step in range(10**9)))
    num_invokes, stable = timing.warm_up(clock.run)
    assert not stable
    assert 3_000_000_000 <= clock.now <= 3_100_000_000
    assert num_invokes == clock.num_runs


def test_block_leads_for_ten_milliseconds_then_times(monkeypatch):
    clock = SimulatedClock(monkeypatch, forever(3_000_000))
    assert timing.time_block(clock.run, 5) == [3_000_000] * 5
    assert clock.num_runs == 4 + 5
    slow = SimulatedClock(monkeypatch, forever(1_000_000_000))
    timing.time_block(slow.run, 5)
    assert slow.num_runs == 1 + 5


@given(st.integers(1, 5000), st.integers(1, 50))
def test_blocks_add_up_and_are_even(num_runs, num_blocks):
    sizes = timing.split_runs(num_runs, num_blocks)
    assert sum(sizes) == num_runs
    assert len(sizes) == num_blocks
    assert max(sizes) - min(sizes) <= 1


@given(st.integers(0, 20_000), st.sampled_from(["50", "90", "95", "99", "99.9"]))
def test_percentile_needs_ten_over_one_minus_p_runs(num_runs, percent):
    from fractions import Fraction

    assert timing.percentile_is_supported(float(percent), num_runs) == (num_runs >= 10 / (1 - Fraction(percent) / 100))


def linear_percentile(values, percent):
    """Linear interpolation between order statistics, written out."""
    ordered = sorted(values)
    position = (len(ordered) - 1) * percent / 100
    low = math.floor(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (position - low) * (ordered[high] - ordered[low])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(1, 10**10), min_size=1, max_size=200), min_size=1, max_size=8))
def test_summary_agrees_with_the_oracle(blocks_ns):
    summary = timing.summarize(blocks_ns)
    flat = [value / 1e6 for block in blocks_ns for value in block]
    assert summary["runs"] == len(flat)
    rounding = {"rel": 1e-9, "abs": 1e-6}  # reported in whole nanoseconds
    assert summary["mean_ms"] == pytest.approx(math.fsum(flat) / len(flat), **rounding)
    assert (summary["min_ms"], summary["max_ms"]) == (pytest.approx(min(flat), **rounding), pytest.approx(max(flat), **rounding))
    for percent in (50, 90, 95, 99):
        if len(flat) >= 1000 / (100 - percent):
            assert summary[f"p{percent}_ms"] == pytest.approx(linear_percentile(flat, percent), **rounding)
        else:
            assert summary[f"p{percent}_ms"] is None


def test_standard_deviation_is_the_sample_one():
    assert timing.summarize([[1_000_000, 3_000_000]])["std_ms"] == pytest.approx(math.sqrt(2), abs=1e-6)
    assert timing.summarize([[1_000_000]])["std_ms"] is None


@settings(max_examples=15, deadline=None)  # 1,000 resamples each
@given(st.lists(st.lists(st.integers(1, 10**9), min_size=1, max_size=9), min_size=5, max_size=12))
def test_interval_lies_within_the_data_and_repeats(blocks_ns):
    low, high = timing.median_interval_ms(blocks_ns)
    flat = [value for block in blocks_ns for value in block]
    assert min(flat) / 1e6 - 1e-6 <= low <= high <= max(flat) / 1e6 + 1e-6
    assert timing.median_interval_ms(blocks_ns) == [low, high]


def test_interval_covers_the_true_median_about_as_often_as_it_says():
    generator = np.random.default_rng(5)
    covered = 0
    for _ in range(40):
        blocks_ns = (1e6 * generator.lognormal(0, 0.1, (20, 10))).astype(int).tolist()
        low, high = timing.median_interval_ms(blocks_ns)
        covered += low <= 1.0 <= high
    assert covered >= 33  # 95 % of 40 is 38; a binomial falls below 33 once in 100 such tests


def test_interval_is_wide_where_blocks_disagree_and_absent_for_few_blocks():
    steady = [[1_000_000 + offset for offset in range(10)] for _ in range(20)]
    moody = [[1_000_000 * (1 + block % 2) + offset for offset in range(10)] for block in range(20)]
    low, high = timing.median_interval_ms(steady)
    assert high - low < 1e-5
    low, high = timing.median_interval_ms(moody)
    assert (round(low), round(high)) == (1, 2)
    assert timing.median_interval_ms(steady[:4]) is None


def test_own_time_per_invoke_is_below_a_microsecond():
    durations_ns = timing.time_invokes(lambda: None, 20_000)
    assert min(np.median(durations_ns[start : start + 1000]) for start in range(0, 20_000, 1000)) < 1000
