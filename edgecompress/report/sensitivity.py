"""Sensitivity curves: as a drawing and a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgecompress.report.canvas import BASELINE, FINAL, INK, PLAIN, WIDE, Plot, draw, label
from edgecompress.report.document import Block, Table, make_table
from edgecompress.report.schema import CurveReport, SensitivityReport, StageReport
from edgecompress.report.words import is_fraction_correct, metric_text, metric_title, percent_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINES = [(colour, dashes) for dashes in ("-", "--") for colour in (FINAL, PLAIN, BASELINE, INK)]
NAME_CHARACTERS = 20
NEED = "What is left of the metric when a part alone is cut by so much; the least channels go first, nothing is trained."


def sensitivity_key(stage: StageReport) -> str:
    """Name of a stage's section and drawing."""
    return f"sensitivity_{stage.index}"


def curves_plot(name: str, found: SensitivityReport) -> Plot:
    """All curves from the whole model on; those that lose most have names, the others are thin."""
    ranked = sorted((curve for curve in found.curves if curve.metrics), key=lambda curve: _loss(found, curve), reverse=True)
    rows = -(-min(len(ranked), len(LINES)) // 2)

    def paint(axes: Axes) -> None:
        for curve in ranked[len(LINES) :]:
            axes.plot([0, *curve.levels], [found.whole, *curve.metrics], "-", color=BASELINE, linewidth=0.8, alpha=0.6)
        for curve, (colour, dashes) in zip(ranked, LINES, strict=False):
            levels, metrics, name = [0, *curve.levels], [found.whole, *curve.metrics], label(curve.name, NAME_CHARACTERS)
            axes.plot(levels, metrics, f"o{dashes}", color=colour, markersize=3.5, linewidth=1.4, label=name)
        axes.set_xlabel("fraction of the channels that is gone", labelpad=2)
        axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %" if is_fraction_correct(found.metric) else f"{value:.3g}")
        axes.grid(axis="y")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.03), ncols=2)

    title = f"{metric_title(found.metric)} on the validation split, one part at a time"
    return draw(name, title, (WIDE, 220 + 15 * rows), (52, 14, 14 + 15 * rows, 32), paint)


def curves_table(found: SensitivityReport) -> Table:
    """One row per part, those that lose most first."""
    levels = sorted({level for curve in found.curves for level in curve.levels})
    rows = []
    for curve in sorted(found.curves, key=lambda curve: _loss(found, curve), reverse=True):
        at = dict(zip(curve.levels, curve.metrics, strict=True))
        rows.append((curve.name, *(metric_text(found.metric, at[level]) if level in at else "" for level in levels)))
    return make_table(("Part", *(f">{percent_text(level)} gone" for level in levels)), rows)


def sensitivity_block(key: str, title: str, found: SensitivityReport) -> Block:
    """A section with both."""
    whole = f"The whole model: {metric_text(found.metric, found.whole)}."
    return Block(key, title, (NEED, whole), plots=(key,), tables=(curves_table(found),))


def _loss(found: SensitivityReport, curve: CurveReport) -> float:
    """What the last level loses."""
    last: Sequence[float] = curve.metrics[-1:] or [found.whole]
    return (found.whole - last[0]) * (1 if found.rises else -1)
