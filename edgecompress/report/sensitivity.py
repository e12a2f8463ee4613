"""Sensitivity curves as a table and a section; `sensitivity_plot` draws them."""

from __future__ import annotations

from collections.abc import Sequence

from edgecompress.report.document import Block, Table, make_table
from edgecompress.report.schema import CurveReport, SensitivityReport, StageReport
from edgecompress.report.words import metric_text, percent_text

NEED = "What is left of the metric when a part alone loses so much, what matters least of it first; nothing is trained."


def sensitivity_key(stage: StageReport) -> str:
    """Name of a stage's section and drawing."""
    return f"sensitivity_{stage.index}"


def curves_table(found: SensitivityReport) -> Table:
    """One row per part, those that lose most first."""
    levels = sorted({level for curve in found.curves for level in curve.levels})
    rows = []
    for curve in sorted(found.curves, key=lambda curve: final_loss(found, curve), reverse=True):
        at = dict(zip(curve.levels, curve.metrics, strict=True))
        rows.append((curve.name, *(metric_text(found.metric, at[level]) if level in at else "" for level in levels)))
    return make_table(("Part", *(f">{percent_text(level)} gone" for level in levels)), rows)


def sensitivity_block(key: str, title: str, found: SensitivityReport) -> Block:
    """A section with both."""
    whole = f"The whole model: {metric_text(found.metric, found.whole)}."
    return Block(key, title, (NEED, whole), plots=(key,), tables=(curves_table(found),))


def final_loss(found: SensitivityReport, curve: CurveReport) -> float:
    """What the last level loses."""
    last: Sequence[float] = curve.metrics[-1:] or [found.whole]
    return (found.whole - last[0]) * (1 if found.rises else -1)
