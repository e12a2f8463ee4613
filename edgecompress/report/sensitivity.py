"""Sensitivity curves as a table and a section; `sensitivity_plot` draws them."""

from __future__ import annotations

from collections.abc import Sequence

from edgecompress.report.document import Block, Table, make_table
from edgecompress.report.schema import CurveReport, SensitivityReport, StageReport
from edgecompress.report.words import metric_text, metric_title, percent_text

FLOAT_BITS = 32  # of which a level of bits is a part
UNTRAINED = "What is left of the metric when {}; nothing is trained."
NEEDS = {
    "channels": UNTRAINED.format("a group of channels alone loses so many of them, those that matter least first"),
    "parameters": UNTRAINED.format("a layer alone is put into factors with so many parameters less"),
    "bits": UNTRAINED.format("the weights of a layer alone are rounded to so many bits"),
}
NEED = UNTRAINED.format("a part alone loses so much, what matters least of it first")  # of reports that do not say what is gone


def sensitivity_key(stage: StageReport) -> str:
    """Name of a stage's section and drawing."""
    return f"sensitivity_{stage.index}"


def level_text(found: SensitivityReport, level: float) -> str:
    """A level as a column's title: what is left of bits, what is gone of all else."""
    return f"{bits_left(level)} bits" if found.of == "bits" else f"{percent_text(level)} gone"


def bits_left(level: float) -> int:
    """How many bits a level of bits leaves."""
    return round(FLOAT_BITS * (1 - level))


def curves_table(found: SensitivityReport) -> Table:
    """One row per part, those that lose most first."""
    levels = sorted({level for curve in found.curves for level in curve.levels})
    rows = []
    for curve in sorted(found.curves, key=lambda curve: final_loss(found, curve), reverse=True):
        at = dict(zip(curve.levels, curve.metrics, strict=True))
        rows.append((curve.name, *(metric_text(found.metric, at[level]) if level in at else "" for level in levels)))
    return make_table(("Part", *(f">{level_text(found, level)}" for level in levels)), rows)


def sensitivity_block(key: str, title: str, found: SensitivityReport) -> Block:
    """A section with both."""
    whole = f"{metric_title(found.metric)} of the whole model on the validation split: {metric_text(found.metric, found.whole)}."
    return Block(key, title, (NEEDS.get(found.of or "", NEED), whole), plots=(key,), tables=(curves_table(found),))


def final_loss(found: SensitivityReport, curve: CurveReport) -> float:
    """What the last level loses."""
    last: Sequence[float] = curve.metrics[-1:] or [found.whole]
    return (found.whole - last[0]) * (1 if found.rises else -1)
