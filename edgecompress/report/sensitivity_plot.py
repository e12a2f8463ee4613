"""Sensitivity curves as a drawing. Apart from their table, which must not load matplotlib."""

from __future__ import annotations

from matplotlib.axes import Axes

from edgecompress.report.canvas import BASELINE, FINAL, INK, PLAIN, WIDE, Plot, draw, label
from edgecompress.report.schema import SensitivityReport
from edgecompress.report.sensitivity import final_loss
from edgecompress.report.words import is_fraction_correct, metric_title

LINES = [(colour, dashes) for dashes in ("-", "--") for colour in (FINAL, PLAIN, BASELINE, INK)]
NAME_CHARACTERS = 20


def curves_plot(name: str, found: SensitivityReport) -> Plot:
    """All curves from the whole model on; those that lose most have names, the others are thin."""
    ranked = sorted((curve for curve in found.curves if curve.metrics), key=lambda curve: final_loss(found, curve), reverse=True)
    rows = -(-min(len(ranked), len(LINES)) // 2)

    def paint(axes: Axes) -> None:
        for curve in ranked[len(LINES) :]:
            axes.plot([0, *curve.levels], [found.whole, *curve.metrics], "-", color=BASELINE, linewidth=0.8, alpha=0.6)
        for curve, (colour, dashes) in zip(ranked, LINES, strict=False):
            levels, metrics, name = [0, *curve.levels], [found.whole, *curve.metrics], label(curve.name, NAME_CHARACTERS)
            axes.plot(levels, metrics, f"o{dashes}", color=colour, markersize=3.5, linewidth=1.4, label=name)
        axes.set_xlabel("fraction of the part that is gone: of its channels, or of its parameters", labelpad=2)
        axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %" if is_fraction_correct(found.metric) else f"{value:.3g}")
        axes.grid(axis="y")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.03), ncols=2)

    title = f"{metric_title(found.metric)} on the validation split, one part at a time"
    return draw(name, title, (WIDE, 220 + 15 * rows), (52, 14, 14 + 15 * rows, 32), paint)
