"""What `export: {format: auto}` tried, as a section of the report."""

from __future__ import annotations

from edgecompress.report.artifact_schema import LadderRung
from edgecompress.report.document import Block, Cell, make_table
from edgecompress.report.schema import Report
from edgecompress.report.words import (
    NOT_KNOWN,
    count_text,
    difference_text,
    difference_unit,
    metric_text,
    metric_title,
    ms_text,
    seconds_text,
)

MEANING = "From the cheapest way to 8 bits to the costliest, until the loss on validation was small enough. Rungs share their stages."


def ladder_block(report: Report) -> Block:
    """One row per rung that was tried."""
    metric = report.verdict.metric if report.verdict is not None else ""
    rows = [_row(rung, metric) for rung in report.ladder]
    columns = ("Rung", "", ">Bytes", f">{metric_title(metric)}", f">Drop{difference_unit(metric)}", ">p50", ">Time", "Stages", "Export")
    return Block("ladder", "Ways to 8 bits", (MEANING,), tables=(make_table(columns, rows, title="Rungs, judged on validation"),))


def _row(rung: LadderRung, metric: str) -> tuple[str | Cell, ...]:
    if rung.num_bytes is None or rung.metric is None or rung.drop is None:
        state, figures = Cell(f"left out: {rung.error}", "quiet"), ("", "", "", "")
    else:
        state = Cell("chosen", "good") if rung.chosen and rung.met else Cell("least loss", "bad") if rung.chosen else Cell("")
        p50 = NOT_KNOWN if rung.p50_ms is None else f"{ms_text(rung.p50_ms)} ms"
        figures = (count_text(rung.num_bytes), metric_text(metric, rung.metric), difference_text(metric, rung.drop), p50)
    export = ", ".join(f"{key}: {_value(value)}" for key, value in rung.export.items())
    return (rung.name, state, *figures, seconds_text(rung.seconds), ", ".join(rung.stages), export)


def _value(value: object) -> str:
    return "{" + ", ".join(f"{name}: {kind}" for name, kind in value.items()) + "}" if isinstance(value, dict) else str(value)
