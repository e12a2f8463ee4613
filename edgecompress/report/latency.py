"""Which latencies of a report may be set against each other, and what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgecompress.report.schema import BenchmarkEntry, Report

MODELS = ("baseline", "plain", "final")


@dataclass(frozen=True)
class Speedup:
    """Latency of the baseline divided by that of the final model, both from one interleaved measurement.

    Attributes:
        factor: p50 of the baseline / p50 of the final model; above 1 the final model is faster.
        distinguishable: False when the intervals of the two p50 overlap.
    """

    baseline: BenchmarkEntry
    final: BenchmarkEntry
    factor: float
    distinguishable: bool

    @property
    def distrust_reasons(self) -> list[str]:
        """Why the two numbers should not be relied on; empty when both are trusted."""
        reasons = [*self.baseline.distrust_reasons, *self.final.distrust_reasons]
        if not reasons and not (self.baseline.trusted and self.final.trusted):
            reasons = ["the measurement is marked as not trusted"]
        return list(dict.fromkeys(reasons))


def first_entry(report: Report, model: str) -> BenchmarkEntry | None:
    """The entry of `model` that headlines use: the first one of the final model that was measured decides host and threads."""
    final = next((entry for entry in report.benchmark if entry.model == "final" and entry.p50_ms is not None), None)
    if final is None:
        return next((entry for entry in report.benchmark if entry.model == model and entry.p50_ms is not None), None)
    alike = (entry for entry in report.benchmark if entry.model == model and entry.p50_ms is not None)
    return next((entry for entry in alike if circumstances(entry) == circumstances(final)), None)


def speedup(report: Report) -> Speedup | None:
    """Baseline against final; None when either was not measured, or not in the same circumstances."""
    baseline, final = first_entry(report, "baseline"), first_entry(report, "final")
    if baseline is None or final is None or baseline.p50_ms is None or not final.p50_ms:
        return None
    return Speedup(baseline, final, baseline.p50_ms / final.p50_ms, not _overlap(baseline.p50_interval_ms, final.p50_interval_ms))


def circumstances(entry: BenchmarkEntry) -> dict[str, object]:
    """What must be equal before two latencies may be ranked. Which kernels a file then ran on is part of what is measured."""
    return {
        "host": entry.host,
        "runtime": entry.runtime,
        "runtime version": entry.runtime_version,
        "kernels": entry.requested_kernels or entry.kernels,
        "delegate": entry.delegate,
        "threads": entry.threads,
        "CPU": entry.cpu.get("model"),
        "cores": entry.cpu.get("cores"),
        "frequency governor": entry.cpu.get("governor"),
    }


def unlike_circumstances(entries: Sequence[BenchmarkEntry]) -> list[str]:
    """Why the latencies of `entries` must not be ranked, one sentence each; empty when they may be."""
    compared = [circumstances(entry) for entry in entries]
    reasons = []
    for name in compared[0] if compared else ():
        values = list(dict.fromkeys(str(one[name]) for one in compared))
        if len(values) > 1:
            reasons.append(f"{name} differs: {', '.join(values)}")
    distrusted = [reason for entry in entries if not entry.trusted for reason in entry.distrust_reasons or ["no reason was given"]]
    return reasons + [f"not trusted: {reason}" for reason in dict.fromkeys(distrusted)]


def _overlap(first: tuple[float, float] | None, second: tuple[float, float] | None) -> bool:
    """Whether two intervals touch; unknown intervals do not."""
    return first is not None and second is not None and first[0] <= second[1] and second[0] <= first[1]
