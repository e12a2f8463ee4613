"""What `edgecompress calibration` found, as a page and a drawing."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from matplotlib.axes import Axes

from edgecompress import __version__
from edgecompress.report.calibration import calibration_block
from edgecompress.report.canvas import FINAL, INK, WIDE, Plot, draw, plot_style
from edgecompress.report.html import render_page

KEY = "calibration"


def render_calibration(name: str, values: Mapping[str, Any]) -> str:
    """A page of its own.

    Args:
        name: of the recipe.
        values: `CalibrationCheck.to_dict()`.
    """
    return render_page("edgecompress calibration", name, [f"version {__version__}"], [], [calibration_block(values)], {KEY: _draw(values)})


def calibration_figure(values: Mapping[str, Any]) -> str:
    """The drawing as an HTML fragment, for notebooks."""
    plot = _draw(values)
    return f'<figure style="max-width: 480px">{escape(plot.title)}{plot.svg}</figure>'


def _draw(values: Mapping[str, Any]) -> Plot:
    """Output error against the number of samples, and the number that is enough."""

    def paint(axes: Axes) -> None:
        axes.axvline(values["enough"], color=INK, alpha=0.35, linewidth=1, dashes=(2, 3))
        axes.plot(values["numbers"], values["snr_db"], "o-", color=FINAL, markersize=4)
        axes.set_xscale("log")
        axes.set_xlabel("calibration samples", labelpad=2)
        axes.xaxis.set_major_formatter(lambda number, _: f"{number:g}")
        axes.grid(axis="y")

    title = "Signal-to-noise ratio of the int8 file's output in dB, against Keras, by number of calibration samples"
    with plot_style():
        return draw(KEY, title, (WIDE, 220), (44, 14, 12, 34), paint)
