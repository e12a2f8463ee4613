"""What a table holds and how well it predicts, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgecompress.errors import DataError
from edgecompress.latency.fit import fit
from edgecompress.latency.table import LatencyTable

if TYPE_CHECKING:
    from rich.console import RenderableType


def summarize(table: LatencyTable) -> dict[str, Any]:
    """Plain data.

    Returns:
        host, machine, formats, and per number of threads: rows (how many have a time), refused (how many have none), spread (median of the
        rows'), networks[]{types, rows, median_error, low, high} and operators[]{family, rows, left_out_error}. The two lists are empty
        where the table has too few rows to predict.
    """
    return {
        "host": table.host, "machine": table.machine.model_dump(), "formats": table.formats,
        "threads": {str(count): _of_threads(table, count) for count in table.threads},
    }  # fmt: skip


def _of_threads(table: LatencyTable, threads: int) -> dict[str, Any]:
    rows = [row for row in table.rows if row.threads == threads]
    spreads = sorted(row.spread for row in rows if row.spread is not None)
    found: dict[str, Any] = {
        "rows": len(spreads), "refused": len(rows) - len(spreads), "spread": spreads[len(spreads) // 2] if spreads else None,
        "networks": [], "operators": [],
    }  # fmt: skip
    try:
        fitted = fit(table, threads)
    except DataError:
        return found
    found["networks"] = [
        {"types": types, "rows": number, "median_error": error.median, "low": error.low, "high": error.high}
        for types, (number, error) in sorted(fitted.errors().items())
    ]
    found["operators"] = [
        {"family": " ".join(part for part in family if part), "rows": number, "left_out_error": curve.left_out_error}
        for family, number, curve in fitted.families()
    ]
    return found


def summary_table(summary: dict[str, Any]) -> RenderableType:
    """For the terminal: what the error on whole networks is, then the operators."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from edgecompress.report.words import threads_text

    parts: list[RenderableType] = []
    for threads, found in summary["threads"].items():
        spread = "" if found["spread"] is None else f", median spread {found['spread']:.1%}"
        refused = f", {found['refused']} refused by the runtime" if found["refused"] else ""
        parts.append(Text(f"{summary['host']}, {threads_text(int(threads))}: {found['rows']} files timed{refused}{spread}", style="bold"))
        if not found["networks"]:
            parts.append(Text("Too few to predict from: go on with the same command."))
            continue
        for one in found["networks"]:
            words = f"median error {one['median_error']:.1%}; all took {one['low']:.2f} to {one['high']:.2f} times the prediction"
            parts.append(Text(f"{one['rows']} networks of {one['types']}, not learned from: {words}"))
        table = Table("operators", "files", "median error of one that is left out")
        for one in found["operators"]:
            table.add_row(one["family"], str(one["rows"]), f"{one['left_out_error']:.1%}")
        parts.append(table)
    return Group(*parts)
