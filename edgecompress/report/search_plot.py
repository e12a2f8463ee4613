"""Trials of a search as a drawing: two objectives, one point each, whose tooltip says what it is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from matplotlib.axes import Axes

from edgecompress.report.canvas import BASELINE, FINAL, INK, PLAIN, WIDE, Plot, draw
from edgecompress.report.words import bytes_text, is_fraction_correct, metric_title, ms_text, number_text, short_count_text

HEIGHT = 270.0
MARGINS = (52.0, 14.0, 34.0, 34.0)
MOST_POINTS = 3000
TITLES = {"size": "bytes of the file", "latency": "p50, ms", "macs": "multiply-accumulates", "arena": "bytes of the arena"}
# kind -> marker, colour, size, filled; in the order in which they are painted
LOOKS = {
    "stopped": ("v", BASELINE, 4.0, False),
    "misses a limit": ("x", PLAIN, 5.0, True),
    "rejected before training": ("|", PLAIN, 6.0, True),
    "harvested": ("o", BASELINE, 4.0, False),
    "complete": ("o", BASELINE, 4.0, True),
    "front": ("o", FINAL, 6.0, True),
    "chosen": ("*", FINAL, 13.0, True),
}


def search_plots(values: Mapping[str, Any]) -> dict[str, Plot]:
    """The first objective against each other one; of a search with one objective, against the number of the trial.

    Args:
        values: `Findings.to_dict()`.
    """
    names = list(values["objectives"])
    others = names[1:] or ["trial"]
    return {f"front_{other}": _plot(f"front_{other}", values, names[0], other) for other in others}


def look_of(trial: Mapping[str, Any], chosen: int | None) -> str:
    """Which of the kinds a trial is drawn as; "" for one without values."""
    if trial["number"] == chosen:
        return "chosen"
    if trial["on_front"]:
        return "front"
    if trial["kind"] == "complete":
        if any(miss > 0 for miss in trial["misses"].values()):
            return "misses a limit"
        return "harvested" if is_harvested(trial) else "complete"
    return {"stopped": "stopped", "rejected": "rejected before training"}.get(trial["kind"], "")


def is_harvested(trial: Mapping[str, Any]) -> bool:
    """Whether another trial brought it along."""
    return trial["harvested_from"] is not None


def in_words(trial: Mapping[str, Any]) -> str:
    """The tooltip of a trial."""
    values = ", ".join(f"{name} {number_text(value)}" for name, value in trial["values"].items())
    point = ", ".join(f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in trial["point"].items())
    origin = f"harvested from trial {trial['harvested_from']}" if is_harvested(trial) else ""
    return "; ".join(part for part in (f"trial {trial['number']}", origin, values, trial["reason"], point) if part)


def _plot(name: str, values: Mapping[str, Any], up: str, across: str) -> Plot:
    """One drawing; points without a height stand on its floor."""
    trials: Sequence[Mapping[str, Any]] = values["tried"][:MOST_POINTS]
    points = [(trial, look_of(trial, values["chosen"]), _place(trial, across, values["limits"])) for trial in trials]
    heights = [trial["values"][up] for trial, look, x in points if look and x is not None and up in trial["values"]]
    floor = min(heights, default=0.0) - 0.06 * ((max(heights, default=1.0) - min(heights, default=0.0)) or 1.0)

    def paint(axes: Axes) -> None:
        drawn = set()
        for look, (marker, colour, size, filled) in LOOKS.items():
            for trial, own, x in points:
                if own != look or x is None:
                    continue
                label = look if look not in drawn else None
                drawn.add(look)
                face = colour if filled else "none"
                axes.plot(
                    [x], [trial["values"].get(up, floor)], marker, color=colour, markersize=size, markerfacecolor=face, linewidth=0,
                    gid=f"trial-{trial['number']}", label=label,
                )  # fmt: skip
        _frame(axes, values, up, across)

    title = f"{metric_title(up)} on the validation split"
    plot = draw(name, title, (WIDE, HEIGHT), MARGINS, paint)
    return Plot(plot.title, _with_tooltips(plot.svg, name, trials))


def _place(trial: Mapping[str, Any], across: str, limits: Mapping[str, float]) -> float | None:
    """Where a trial stands across; of one that was rejected, what was predicted."""
    if across == "trial":
        return float(trial["number"])
    if across in trial["values"]:
        return float(trial["values"][across])
    goal, factor = {"size": ("size_kb", 1000.0), "macs": ("macs", 1.0)}.get(across, ("", 0.0))
    return factor * limits[goal] * (1 + trial["misses"][goal]) if goal in trial["misses"] else None


def _frame(axes: Axes, values: Mapping[str, Any], up: str, across: str) -> None:
    """Axes, limits, legend."""
    form = {"size": bytes_text, "arena": bytes_text, "macs": short_count_text}.get(across)
    if across in TITLES:
        axes.set_xscale("log")
        axes.minorticks_off()
        low, high = axes.get_xlim()
        axes.set_xticks([low * (high / low) ** fraction for fraction in (0.1, 0.5, 0.9)])
        axes.xaxis.set_major_formatter(lambda value, _: form(round(value)) if form else ms_text(value))
    axes.set_xlabel(TITLES.get(across, across.replace("_", " ")), labelpad=2)
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.1f} %" if is_fraction_correct(up) else f"{value:.3g}")
    axes.locator_params(axis="y", nbins=5)
    goal, factor = {"size": ("size_kb", 1000.0), "macs": ("macs", 1.0), "arena": ("arena_kb", 1000.0), "latency": ("p50_ms", 1.0)}.get(
        across, ("", 0.0)
    )
    if goal in values["limits"]:
        axes.axvline(factor * values["limits"][goal], color=INK, linestyle=":", linewidth=1.0, alpha=0.6)
    axes.grid(axis="y")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.02), ncols=4, handletextpad=0.3, columnspacing=0.9)


def _with_tooltips(svg: str, name: str, trials: Sequence[Mapping[str, Any]]) -> str:
    """Each point's group with a title in it, which browsers show on hovering."""
    words = {str(trial["number"]): in_words(trial) for trial in trials}

    def add(match: re.Match[str]) -> str:
        return f"{match[0]}<title>{escape(words[match[1]])}</title>" if match[1] in words else match[0]

    return re.sub(rf'<g id="{re.escape(name)}-trial-(\d+)">', add, svg)
