"""Training curves: all epochs of all stages in one line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from math import ceil, nan

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from edgecompress.report.canvas import BASELINE, CHARACTER_PIXELS, FINAL, FONT_PIXELS, INK, PLAIN, WIDE, Plot, draw, label
from edgecompress.report.course import deciding_metric, stage_label
from edgecompress.report.schema import Report
from edgecompress.report.words import is_fraction_correct, metric_title

SIZE = (WIDE, 220.0)
MARGINS = (52.0, 14.0, 46.0, 30.0)
MOST_MARKED_EPOCHS = 40  # beyond it the marks would touch
ADDEND = "loss_"  # how the epochs of a training with teachers name each part of its loss
ADDEND_LINES = [(colour, dashes) for dashes, colour in product(("-", "--", ":", "-."), (FINAL, PLAIN, BASELINE, INK))]
ADDEND_COLUMNS = 2  # of the legend


@dataclass(frozen=True)
class StageCurve:
    """One stage's epochs: `first` is the number of its first epoch, counted over all stages from 1; NaN where unknown."""

    name: str
    first: int
    training: list[float]
    validation: list[float]


def stage_curves(report: Report, quantity: str) -> list[StageCurve]:
    """`quantity` (loss or a metric) of every epoch of every stage that trained; empty when it was never recorded."""
    curves, first = [], 1
    for stage in report.stages:
        if stage.training:
            training, validation = ([_number(epoch.get(key)) for epoch in stage.training] for key in (quantity, f"validation_{quantity}"))
            curves.append(StageCurve(stage_label(stage), first, training, validation))
            first += len(stage.training)
    recorded = any(value == value for curve in curves for value in [*curve.training, *curve.validation])  # NaN differs from itself
    return curves if recorded else []


def training_loss(report: Report) -> Plot | None:
    """Loss over all epochs."""
    curves = stage_curves(report, "loss")
    return _draw("training_loss", "Loss while training", curves, lambda value, _: f"{value:.3g}") if curves else None


def training_metric(report: Report) -> Plot | None:
    """The deciding metric over all epochs."""
    metric = deciding_metric(report)
    curves = stage_curves(report, metric) if metric else []
    if not metric or not curves:
        return None
    form = (lambda value, _: f"{100 * value:.1f} %") if is_fraction_correct(metric) else (lambda value, _: f"{value:.3g}")
    return _draw("training_metric", f"{metric_title(metric)} while training", curves, form)


def training_addends(report: Report) -> Plot | None:
    """Each part of the loss of the trainings with teachers, factor included, over all epochs."""
    names = dict.fromkeys(key for stage in report.stages for epoch in stage.training for key in epoch if key.startswith(ADDEND))
    if not names:
        return None
    left, right, top, bottom = MARGINS
    rows = ceil(len(names) / ADDEND_COLUMNS)
    marker = "o" if sum(len(stage.training) for stage in report.stages) <= MOST_MARKED_EPOCHS else ""
    size, margins = (SIZE[0], SIZE[1] + 1.4 * FONT_PIXELS * rows), (left, right, top + 1.4 * FONT_PIXELS * (rows - 1), bottom)

    def paint(axes: Axes) -> None:
        for key, (colour, dashes) in zip(names, ADDEND_LINES, strict=False):
            curves = stage_curves(report, key)
            values = [value for curve in curves for value in [*curve.training, nan]]  # the gap parts the stages
            epochs = [epoch for curve in curves for epoch in range(curve.first, curve.first + len(curve.training) + 1)]
            axes.plot(
                epochs,
                values,
                f"{marker}{dashes}",
                color=colour,
                markersize=3.5,
                linewidth=1.4,
                label=key.removeprefix(ADDEND).replace("_", " "),
            )
        axes.set_yscale("log")
        _frame(axes, stage_curves(report, "loss"))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.3g}")
        axes.minorticks_off()
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.12), ncols=ADDEND_COLUMNS)

    return draw("training_addends", "Parts of the loss while training", size, margins, paint)


def _draw(name: str, title: str, curves: Sequence[StageCurve], form: Callable[[float, object], str]) -> Plot:
    """Training and validation as two lines, one band per stage."""
    last = curves[-1].first + len(curves[-1].training) - 1
    marker = "o" if last <= MOST_MARKED_EPOCHS else ""

    def paint(axes: Axes) -> None:
        for number, curve in enumerate(curves):
            epochs = list(range(curve.first, curve.first + len(curve.training)))
            names = ("training", "validation") if number == 0 else (None, None)  # once in the legend
            axes.plot(epochs, curve.training, f"{marker}--", color=BASELINE, markersize=3.5, linewidth=1.4, label=names[0])
            axes.plot(epochs, curve.validation, f"{marker}-", color=FINAL, markersize=4.5, label=names[1])
        _frame(axes, curves)
        axes.yaxis.set_major_formatter(form)
        axes.locator_params(axis="y", nbins=5)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.12), ncols=2)

    return draw(name, title, SIZE, MARGINS, paint)


def _frame(axes: Axes, curves: Sequence[StageCurve]) -> None:
    """One band per stage, and an axis that counts the epochs of all."""
    last = curves[-1].first + len(curves[-1].training) - 1
    for number, curve in enumerate(curves):
        _band(axes, curve, number, last)
    axes.set_xlim(0.5, last + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True))
    axes.set_xlabel("epoch", labelpad=2)
    axes.grid(axis="y")


def _band(axes: Axes, curve: StageCurve, number: int, last: int) -> None:
    """Shades every second stage and names it as far as its width allows."""
    if number % 2:
        axes.axvspan(curve.first - 0.5, curve.first + len(curve.training) - 0.5, color=INK, alpha=0.06, linewidth=0)
    pixels = (SIZE[0] - MARGINS[0] - MARGINS[1]) * len(curve.training) / last
    most = int(pixels / CHARACTER_PIXELS) - 1
    short = label(curve.name, most) if most > 5 else curve.name[:2] if most >= 2 else ""
    axes.annotate(short, (curve.first - 0.5, 1), xycoords=("data", "axes fraction"), xytext=(3, 4), textcoords="offset points", alpha=0.75)


def _number(value: float | None) -> float:
    return nan if value is None else value
