"""Several runs side by side, ranked only where that is fair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import RenderableType

from edgecompress.report.course import deciding_metric
from edgecompress.report.document import Cell, Table, make_table
from edgecompress.report.latency import first_entry, unlike_circumstances
from edgecompress.report.schema import Report
from edgecompress.report.summary import metrics_on_test, scalar_metrics
from edgecompress.report.table import terminal_table
from edgecompress.report.words import (
    bytes_text,
    difference_text,
    difference_unit,
    metric_text,
    metric_title,
    ms_text,
    ratio_text,
    short_count_text,
)


def comparison_table(reports: Sequence[Report], *, anyway: bool = False) -> RenderableType:
    """Runs below each other, one row each; the best value of a column is marked with `*` where ranking is fair, or `anyway`."""
    fair = {"rank_metrics": not unlike_tasks(reports), "rank_latency": not unlike_latencies(reports)}
    return terminal_table(_runs(reports, **{name: value or anyway for name, value in fair.items()}))


def not_ranked(reports: Sequence[Report]) -> list[str]:
    """What must not be ranked and why, in sentences; empty when everything may be."""
    reasons = [f"Metrics are not ranked: {reason}." for reason in unlike_tasks(reports)]
    return reasons + [f"Latencies are not ranked: {reason}." for reason in unlike_latencies(reports)]


def comparison(reports: Sequence[Report]) -> dict[str, Any]:
    """The figures of `comparison_table` as plain data.

    Returns:
        runs: per run name, metrics (of the final file on the test split), drop, bytes, ratio, nonzero_parameters, p50_ms, p95_ms, goals.
        not_ranked: as `not_ranked`.
    """
    return {"runs": [_figures(name, report) for name, report in zip(run_names(reports), reports, strict=True)],
            "not_ranked": not_ranked(reports)}  # fmt: skip


def _figures(name: str, report: Report) -> dict[str, Any]:
    """One run."""
    entry = first_entry(report, "final")
    return {
        "name": name, "metrics": scalar_metrics(metrics_on_test(report, "final", "tflite")),
        "drop": report.verdict.test.drop if report.verdict else None, "bytes": report.artifact.bytes, "ratio": report.artifact.ratio,
        "nonzero_parameters": report.stages[-1].nonzero_parameters, "p50_ms": entry.p50_ms if entry else None,
        "p95_ms": entry.p95_ms if entry else None, "goals": {goal.name: goal.met for goal in report.goals},
    }  # fmt: skip


def unlike_tasks(reports: Sequence[Report]) -> list[str]:
    """Why the metrics of `reports` must not be ranked."""
    reasons = []
    if len({report.data.fingerprint for report in reports}) > 1:
        reasons.append("the runs did not use the same data, splits and preprocessing")
    metrics = list(dict.fromkeys(str(deciding_metric(report)) for report in reports))
    if len(metrics) > 1:
        reasons.append(f"the deciding metric differs: {', '.join(metrics)}")
    return reasons


def unlike_latencies(reports: Sequence[Report]) -> list[str]:
    """Why the latencies of the final models of `reports` must not be ranked."""
    entries = [first_entry(report, "final") for report in reports]
    found = [entry for entry in entries if entry is not None]
    if not found:
        return []  # nothing to rank
    missing = [name for name, entry in zip(run_names(reports), entries, strict=True) if entry is None]
    return [f"{name} has none" for name in missing] + unlike_circumstances(found)


def run_names(reports: Sequence[Report]) -> list[str]:
    """The runs' names, numbered where two are equal."""
    given = [report.name for report in reports]
    return [f"{name} ({given[: index + 1].count(name)})" if given.count(name) > 1 else name for index, name in enumerate(given)]


def _runs(reports: Sequence[Report], *, rank_metrics: bool, rank_latency: bool) -> Table:
    """One row per run, one column per figure."""
    metric, verdict = deciding_metric(reports[0]) or "", reports[0].verdict
    rises = verdict is not None and verdict.direction == "rises"
    entries = [first_entry(report, "final") for report in reports]
    medians, tails = ([getattr(entry, key, None) for entry in entries] for key in ("p50_ms", "p95_ms"))
    values = [scalar_metrics(metrics_on_test(report, "final", "tflite")) for report in reports]
    sizes = [report.artifact.bytes for report in reports]
    columns: dict[str, list[str | Cell]] = {"Run": list(run_names(reports))}
    for name in dict.fromkeys(name for one in values for name in one):
        found = [one.get(name) for one in values]
        best = _best(found, rises) if name == metric and verdict is not None and rank_metrics else None
        columns[f">{metric_title(name)}"] = _marked(found, [metric_text(name, value) for value in found], best)
    drops = [report.verdict.test.drop if report.verdict else None for report in reports]
    columns[f">Drop{difference_unit(metric)}"] = [difference_text(metric, drop) for drop in drops]
    columns[">File"] = _marked(sizes, [bytes_text(size) for size in sizes], _best(sizes, False))
    columns[">Smaller"] = [ratio_text(report.artifact.ratio) for report in reports]
    columns[">Non-zero"] = [short_count_text(report.stages[-1].nonzero_parameters) for report in reports]
    for title, times in ((">p50 ms", medians), (">p95 ms", tails)):
        columns[title] = _marked(times, [ms_text(time) for time in times], _best(times, False) if rank_latency else None)
    columns[">Goals"] = [f"{sum(goal.met for goal in report.goals)} of {len(report.goals)}" if report.goals else "" for report in reports]
    return make_table(list(columns), list(zip(*columns.values(), strict=True)))


def _best(values: Sequence[float | None], rises: bool) -> float | None:
    """The best of the known values; None when all are equal: then nothing is to be marked."""
    known = {value for value in values if value is not None}
    return (max(known) if rises else min(known)) if len(known) > 1 else None


def _marked(values: Sequence[float | None], texts: Sequence[str], best: float | None) -> list[str | Cell]:
    """`texts` with a `*` where the value is `best`."""
    return [Cell(f"{text} *", "good") if best is not None and value == best else text for value, text in zip(values, texts, strict=True)]
