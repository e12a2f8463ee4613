"""What `edgecompress debug` found, as a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from html import escape
from typing import Any

from matplotlib.axes import Axes

from edgecompress import __version__
from edgecompress.report.canvas import FINAL, WIDE, Plot, plot_style
from edgecompress.report.debug import debug_block
from edgecompress.report.html import render_page
from edgecompress.report.row_plots import BAR_HEIGHT, row_plot, without_axis, write

KEY = "harm"
MOST_BARS = 24


def render_debug(values: Mapping[str, Any]) -> str:
    """A page of its own.

    Args:
        values: `Debugged.to_dict()`.
    """
    block = replace(debug_block(values), plots=(KEY,))
    with plot_style():
        drawing = _harm_plot(values)
    return render_page("edgecompress debug", values["name"], [f"version {__version__}"], [], [block], {KEY: drawing})


def debug_figure(values: Mapping[str, Any]) -> str:
    """The drawing as an HTML fragment, for notebooks."""
    with plot_style():
        plot = _harm_plot(values)
    return f'<figure style="max-width: 480px">{escape(plot.title)}{plot.svg}</figure>'


def _harm_plot(values: Mapping[str, Any]) -> Plot:
    """Share of each layer in the noise at the output."""
    layers = values["layers"][:MOST_BARS]

    def paint(axes: Axes) -> None:
        for row, layer in enumerate(layers):
            axes.barh([row], [layer["share"]], height=BAR_HEIGHT, color=FINAL)
            write(axes, row, f"{layer['share']:.1%}", at=layer["share"])
        without_axis(axes, max(layer["share"] for layer in layers))

    title = "Share of the noise at the output that each layer makes by itself"
    return row_plot(KEY, title, [layer["name"] for layer in layers], paint, width=WIDE)
