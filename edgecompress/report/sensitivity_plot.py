"""Sensitivity curves as a drawing. Apart from their table, which must not load matplotlib."""

from __future__ import annotations

from matplotlib.axes import Axes

from edgecompress.report.canvas import BASELINE, FINAL, INK, PLAIN, WIDE, Plot, draw, label
from edgecompress.report.schema import CurveReport, SensitivityReport
from edgecompress.report.sensitivity import bits_left, final_loss
from edgecompress.report.words import is_fraction_correct, metric_title

LINES = [(colour, dashes) for dashes in ("-", "--") for colour in (FINAL, PLAIN, BASELINE, INK)]
NAME_CHARACTERS = 20
AXES = {
    "channels": "fraction of the group's channels that is gone",
    "parameters": "fraction of the layer's parameters that is gone",
    "bits": "bits of the layer's weights",
}
AXIS = "fraction of the part that is gone: of its channels, or of its parameters"


def curves_plot(name: str, found: SensitivityReport) -> Plot:
    """All curves from the whole model on; those that lose most have names, the others are thin."""
    ranked = sorted((curve for curve in found.curves if curve.metrics), key=lambda curve: final_loss(found, curve), reverse=True)
    rows = -(-min(len(ranked), len(LINES)) // 2)

    steps = [0.0, *sorted({level for curve in ranked for level in curve.levels})]

    def places(curve: CurveReport) -> list[float]:
        """Where its values stand across: of bits one step apart, as the levels of the last of them nearly coincide."""
        return [float(steps.index(level)) if found.of == "bits" else level for level in (0.0, *curve.levels)]

    def paint(axes: Axes) -> None:
        for curve in ranked[len(LINES) :]:
            axes.plot(places(curve), [found.whole, *curve.metrics], "-", color=BASELINE, linewidth=0.8, alpha=0.6)
        for curve, (colour, dashes) in zip(ranked, LINES, strict=False):
            metrics, name = [found.whole, *curve.metrics], label(curve.name, NAME_CHARACTERS)
            axes.plot(places(curve), metrics, f"o{dashes}", color=colour, markersize=3.5, linewidth=1.4, label=name)
        axes.set_xlabel(AXES.get(found.of or "", AXIS), labelpad=2)
        if found.of == "bits":
            axes.set_xticks(range(len(steps)), ["float32", *(str(bits_left(level)) for level in steps[1:])])
        else:
            axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %" if is_fraction_correct(found.metric) else f"{value:.3g}")
        axes.grid(axis="y")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.03), ncols=2)

    title = f"{metric_title(found.metric)} on the validation split, one part at a time"
    return draw(name, title, (WIDE, 220 + 15 * rows), (52, 14, 14 + 15 * rows, 32), paint)
