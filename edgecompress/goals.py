"""Whether a finished run met the limits of its recipe."""

from collections.abc import Mapping, Sequence
from typing import Any

from edgecompress.recipe.schema import Goal
from edgecompress.report.schema import BenchmarkEntry, GoalResult

# Metrics are fractions of whole counts, and their difference is rounded: 0.92 - 0.915 is a little more than 0.005.
# Two different counts of up to 10^8 samples are further apart than this.
ROUNDING = 1e-9


def judge_goals(
    goal: Goal, artifact: Mapping[str, Any], drop: float | None, entries: Sequence[BenchmarkEntry], macs: int | None
) -> list[GoalResult]:
    """One result per limit that the recipe sets; what could not be measured is not met.

    Args:
        goal: the recipe's limits.
        artifact: the `artifact` section of the report.
        drop: loss of the first metric on the test split, positive when the final file is worse.
        entries: the benchmark of the final file and the others.
        macs: of the last Keras model; None where a layer has no formula.
    """
    results, finals = [], _judged(entries)
    if goal.metric_drop is not None:
        results.append(_judge("metric_drop", goal.metric_drop, drop))
    if goal.size_kb is not None:
        results.append(_judge("size_kb", goal.size_kb, artifact["bytes"] / 1000))
    for name, limit in (("p50_ms", goal.p50_ms), ("p95_ms", goal.p95_ms)):
        if limit is not None:
            entry = next((entry for entry in finals if (entry.host, entry.threads) == (limit.host, limit.threads)), None)
            results.append(_judge(name, limit.limit, getattr(entry, name) if entry else None))
    if goal.arena_kb is not None:
        results.append(_judge("arena_kb", goal.arena_kb, None if artifact["arena_bytes"] is None else artifact["arena_bytes"] / 1000))
    if goal.macs is not None:
        results.append(_judge("macs", goal.macs, macs))
    if goal.peak_rss_kb is not None:
        peaks = [entry.peak_rss_kb for entry in finals if entry.peak_rss_kb is not None]
        results.append(_judge("peak_rss_kb", goal.peak_rss_kb, max(peaks, default=None)))
    return results


def _judge(name: str, limit: float, value: float | None) -> GoalResult:
    """A limit is met by a value at most as large, but for rounding."""
    return GoalResult(name=name, limit=limit, value=value, met=value is not None and value <= limit + ROUNDING)


def _judged(entries: Sequence[BenchmarkEntry]) -> list[BenchmarkEntry]:
    """The entries of the final file that limits speak of: with XNNPACK, the runtime's default, where a host measured other kernels too."""
    final = [(entry, (entry.requested_kernels or entry.kernels) == "xnnpack") for entry in entries if entry.model == "final"]
    hosts = {entry.host for entry, is_default in final if is_default}
    return [entry for entry, is_default in final if is_default or entry.host not in hosts]
