"""Several runs side by side, ranked only where that is fair."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType

from edgecompress.report.course import deciding_metric
from edgecompress.report.document import Cell, Table, make_table
from edgecompress.report.latency import first_entry, unlike_circumstances
from edgecompress.report.schema import Report
from edgecompress.report.summary import scalar_metrics, test_metrics
from edgecompress.report.table import terminal_table
from edgecompress.report.words import bytes_text, difference_text, metric_label, metric_text, ms_text, ratio_text, short_count_text


def comparison_table(reports: Sequence[Report]) -> tuple[RenderableType, list[str]]:
    """Runs side by side, one column each; the best value of a row is marked where ranking is fair.

    Args:
        reports: two or more.

    Returns:
        (table, reasons): `reasons` says in sentences what must not be ranked and why; empty when everything may be.
    """
    metric_reasons, latency_reasons = unlike_tasks(reports), unlike_latencies(reports)
    table = _rows(reports, rank_metrics=not metric_reasons, rank_latency=not latency_reasons)
    reasons = [f"Metrics are not ranked: {reason}." for reason in metric_reasons]
    return terminal_table(table), reasons + [f"Latencies are not ranked: {reason}." for reason in latency_reasons]


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
    missing = [name for name, entry in zip(names(reports), entries, strict=True) if entry is None]
    return [f"{name} has none" for name in missing] + unlike_circumstances(found)


def names(reports: Sequence[Report]) -> list[str]:
    """The runs' names, numbered where two are equal."""
    given = [report.name for report in reports]
    return [f"{name} ({given[: index + 1].count(name)})" if given.count(name) > 1 else name for index, name in enumerate(given)]


def _rows(reports: Sequence[Report], *, rank_metrics: bool, rank_latency: bool) -> Table:
    """One row per figure."""
    metrics = [scalar_metrics(test_metrics(report, "final", "tflite")) for report in reports]
    entries = [first_entry(report, "final") for report in reports]
    rows: list[list[str | Cell]] = []
    for name in dict.fromkeys(name for values in metrics for name in values):
        values = [one.get(name) for one in metrics]
        deciding = name == deciding_metric(reports[0]) and reports[0].verdict is not None
        rises = deciding and reports[0].verdict is not None and reports[0].verdict.direction == "rises"
        row = _row(
            f"{metric_label(name).capitalize()}, test",
            values,
            [metric_text(name, value) for value in values],
            rank_metrics and deciding,
            rises,
        )
        rows.append(row)
    drops = [report.verdict.test.drop if report.verdict else None for report in reports]
    metric = deciding_metric(reports[0]) or ""
    rows.append(["Drop from its baseline", *(difference_text(metric, drop) for drop in drops)])
    sizes: list[float | None] = [report.artifact.bytes for report in reports]
    rows.append(_row("File", sizes, [bytes_text(report.artifact.bytes) for report in reports], True, False))
    rows.append(["Smaller than its baseline", *(ratio_text(report.artifact.ratio) for report in reports)])
    rows.append(["Non-zero parameters", *(short_count_text(report.stages[-1].nonzero_parameters) for report in reports)])
    medians, tails = ([getattr(entry, key, None) for entry in entries] for key in ("p50_ms", "p95_ms"))
    rows.append(_row("p50 ms", medians, [ms_text(time) for time in medians], rank_latency, False))
    rows.append(_row("p95 ms", tails, [ms_text(time) for time in tails], rank_latency, False))
    goals = [f"{sum(goal.met for goal in report.goals)} of {len(report.goals)}" if report.goals else "" for report in reports]
    rows.append(["Goals met", *goals])
    return make_table(
        ["", *(f">{name}" for name in names(reports))], [row for row in rows if any(_text(cell) not in ("", "-") for cell in row[1:])]
    )


def _text(cell: str | Cell) -> str:
    return cell.text if isinstance(cell, Cell) else cell


def _row(title: str, values: Sequence[float | None], texts: Sequence[str], rank: bool, rises: bool) -> list[str | Cell]:
    """One figure of all runs; where `rank`, the best is marked with `*`, unless all are equal."""
    known = [value for value in values if value is not None]
    best = (max(known) if rises else min(known)) if rank and len(set(known)) > 1 else None
    return [
        title,
        *(Cell(f"{text} *", "good") if best is not None and value == best else text for value, text in zip(values, texts, strict=True)),
    ]
