"""Clocks and the statistics of latencies. Times are integer nanoseconds until they are reported, then milliseconds."""

from __future__ import annotations

import gc
import time
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_PERCENTS = {"p50_ms": 50, "p90_ms": 90, "p95_ms": 95, "p99_ms": 99, "p999_ms": 99.9}

_WINDOW_NS = 20_000_000
_WINDOW_MINIMUM = 3  # invokes
_NUM_WINDOWS = 3
_STABLE_SPREAD = 0.03
_WARM_UP_LIMIT_NS = 3_000_000_000

_LEAD_NS = 10_000_000

_NUM_RESAMPLES = 1000

SLACK = 4.0  # a machine that throttles, or that others use, may become so much slower from one block to the next


def time_invokes(run: Callable[[], None], num_invokes: int) -> list[int]:
    """Nanoseconds of each of `num_invokes` calls; the garbage collector is off meanwhile.

    Each holds one reading of the clock and one call of `run`: well under a microsecond, measured by `scripts/benchmarks/stability.py`.
    """
    clock = time.perf_counter_ns
    durations_ns = [0] * num_invokes
    collects = gc.isenabled()
    gc.disable()
    try:
        for position in range(num_invokes):
            start = clock()
            run()
            durations_ns[position] = clock() - start
    finally:
        if collects:
            gc.enable()
    return durations_ns


def warm_up(run: Callable[[], None], *, limit_ns: int = _WARM_UP_LIMIT_NS) -> tuple[int, bool]:
    """Runs until the latency is stable.

    Rule: invokes are grouped in windows of 20 ms, at least 3 invokes. The latency is stable when the medians of the last 3 windows
    differ by at most 3 % of the smallest. Without that, warm-up ends after 3 seconds, but not before 3 windows.

    Returns:
        The number of invokes, and whether the latency became stable.
    """
    medians: list[float] = []
    num_invokes, spent_ns = 0, 0
    while True:
        window: list[int] = []
        window_ns = 0
        while window_ns < _WINDOW_NS:
            few = time_invokes(run, _WINDOW_MINIMUM)
            window += few
            window_ns += sum(few)
        num_invokes += len(window)
        spent_ns += window_ns
        medians = [*medians, float(np.median(window))][-_NUM_WINDOWS:]
        if len(medians) == _NUM_WINDOWS:
            if max(medians) - min(medians) <= _STABLE_SPREAD * min(medians):
                return num_invokes, True
            if spent_ns >= limit_ns:
                return num_invokes, False


def time_block(run: Callable[[], None], num_invokes: int) -> list[int]:
    """A block of timed invokes after an untimed lead of 10 ms, at least one invoke.

    The lead brings back caches and clock frequency after another model ran, and spreads the blocks over more time.
    """
    until = time.perf_counter_ns() + _LEAD_NS
    run()
    while time.perf_counter_ns() < until:
        run()
    return time_invokes(run, num_invokes)


def split_runs(num_runs: int, num_blocks: int) -> list[int]:
    """Block sizes that add up to `num_runs` and differ by at most one."""
    return [(num_runs + block) // num_blocks for block in range(num_blocks)]


def percentile_is_supported(percent: float, num_runs: int) -> bool:
    """Whether a percentile p stands on enough invokes: num_runs >= 10 / (1 - p), p = percent / 100."""
    return num_runs * (1000 - round(10 * percent)) >= 10_000  # in whole tenths of a percent


def summarize(blocks_ns: Sequence[Sequence[int]]) -> dict[str, Any]:
    """The timing keys of the report from the blocks of timed invokes.

    Args:
        blocks_ns: Per block the nanoseconds of each invoke; at least one block with at least one invoke.

    Returns:
        runs, mean_ms, std_ms (of the sample), min_ms, p50_ms, p90_ms, p95_ms, p99_ms, p999_ms, max_ms, p50_interval_ms.
        A percentile without enough runs is None; percentiles interpolate linearly between order statistics.
    """
    milliseconds = np.concatenate([np.asarray(block, dtype=np.float64) for block in blocks_ns]) / 1e6
    num_runs = milliseconds.size
    summary: dict[str, Any] = {
        "runs": num_runs,
        "mean_ms": _rounded(milliseconds.mean()),
        "std_ms": _rounded(milliseconds.std(ddof=1)) if num_runs > 1 else None,
        "min_ms": _rounded(milliseconds.min()),
    }
    for key, percent in _PERCENTS.items():
        supported = percentile_is_supported(percent, num_runs)
        summary[key] = _rounded(np.percentile(milliseconds, percent)) if supported else None
    summary["max_ms"] = _rounded(milliseconds.max())
    summary["p50_interval_ms"] = median_interval_ms(blocks_ns)
    return summary


def median_interval_ms(blocks_ns: Sequence[Sequence[int]]) -> list[float] | None:
    """A 95 % bootstrap interval of the median that resamples whole blocks.

    Neighbouring invokes share the machine's state, so an interval from single invokes would be too narrow.

    Returns:
        [low, high] in ms, or None for fewer than 5 blocks, which say too little. The same blocks always give the same interval.

    Source: block bootstrap of Kuensch, "The jackknife and the bootstrap for general stationary observations", 1989, with disjoint blocks.
    """
    if len(blocks_ns) < 5:
        return None
    blocks = [np.asarray(block, dtype=np.float64) / 1e6 for block in blocks_ns]
    generator = np.random.default_rng(0)
    medians = [
        np.median(np.concatenate([blocks[position] for position in generator.integers(len(blocks), size=len(blocks))]))
        for _ in range(_NUM_RESAMPLES)
    ]
    low, high = np.percentile(medians, [2.5, 97.5])
    return [_rounded(low), _rounded(high)]


def _rounded(milliseconds: float) -> float:
    """To whole nanoseconds, the clock's own step."""
    return round(float(milliseconds), 6)
