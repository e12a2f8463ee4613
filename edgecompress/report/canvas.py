"""Matplotlib figures as pieces of an HTML page: text stays text, colours follow the page, equal input gives equal bytes.

Figures are drawn in stand-in colours; `finish` replaces them by CSS variables with a fallback, so that one drawing is
readable on light and on dark pages. Sizes are in CSS pixels: one unit of a figure is one pixel of the page.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

PIXELS_PER_INCH = 72  # of the SVG backend
FONT_PIXELS = 11
CHARACTER_PIXELS = 6.2  # mean advance at FONT_PIXELS, for leaving room beside an axis
WIDTH, WIDE = 320.0, 390.0  # of the small and the large drawings, in pixels

# Stand-in colours, unlikely to be drawn by anyone else, and what takes their place on the page.
INK, BASELINE, PLAIN, FINAL = "#000107", "#010207", "#010307", "#010407"
PAGE_COLOURS = {
    INK: "currentColor",
    BASELINE: "var(--plot-baseline, #7a7f87)",
    PLAIN: "var(--plot-plain, #d55e00)",  # vermilion and blue of Okabe and Ito: told apart by every kind of colour vision
    FINAL: "var(--plot-final, #0072b2)",
}
MARKERS = {"baseline": "s", "plain": "^", "final": "o"}
COLOURS = {"baseline": BASELINE, "plain": PLAIN, "final": FINAL}

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none", "svg.hashsalt": "edgecompress", "text.parse_math": False, "font.family": "sans-serif",
    "font.size": FONT_PIXELS, "figure.facecolor": "none", "axes.facecolor": "none", "text.color": INK, "axes.edgecolor": INK,
    "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK, "axes.linewidth": 0.6, "axes.axisbelow": True,
    "axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False, "grid.color": INK, "grid.alpha": 0.13,
    "grid.linewidth": 0.8, "xtick.major.size": 0, "ytick.major.size": 0, "legend.frameon": False, "legend.fontsize": FONT_PIXELS,
    "legend.borderpad": 0, "legend.borderaxespad": 0, "legend.handletextpad": 0.5, "legend.columnspacing": 1.4, "lines.linewidth": 1.8,
}  # fmt: skip


@dataclass(frozen=True)
class Plot:
    """A drawing and its words. `svg` is one <svg> element that loads nothing."""

    title: str
    svg: str


@contextmanager
def plot_style() -> Iterator[None]:
    """Our style, whatever the user's matplotlibrc says; the user's settings are back afterwards."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        # A layer's name in a script that the measuring font lacks: the browser draws it with a font that has it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def draw(
    name: str, title: str, size: tuple[float, float], margins: tuple[float, float, float, float], paint: Callable[[Axes], None]
) -> Plot:
    """Makes a figure with one pair of axes, lets `paint` fill it, and turns it into SVG.

    Args:
        name: prefix of all ids in the drawing, unique on the page.
        title: what is shown; also the text for screen readers.
        size: (width, height) in pixels.
        margins: (left, right, top, bottom) in pixels, outside the axes.
        paint: draws into the axes.
    """
    (width, height), (left, right, top, bottom) = size, margins
    figure = Figure(figsize=(width / PIXELS_PER_INCH, height / PIXELS_PER_INCH))
    box = (left / width, bottom / height, (width - left - right) / width, (height - top - bottom) / height)
    paint(figure.add_axes(box))
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return Plot(title, finish(buffer.getvalue(), name, title))


def finish(svg: str, name: str, title: str) -> str:
    """Matplotlib's SVG document as an element for an HTML page: no namespaces, no metadata, own ids, colours of the page."""
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    start, _, rest = body.partition(">")
    view = re.search(r'viewBox="[^"]*"', start)
    opening = f'<svg class="plot" {view.group(0) if view else ""} role="img" aria-label="{escape(title)}" style="stroke-linejoin: round">'
    # Only inside tags: a layer may be called like one of our colours.
    return opening + re.sub(r"<[^>]*>", lambda tag: _finish_tag(tag.group(0), name), rest).strip()


def _finish_tag(tag: str, name: str) -> str:
    """One tag with ids of its own, colours of the page and the page's font."""
    tag = re.sub(r'\bid="', f'id="{name}-', tag).replace("url(#", f"url(#{name}-").replace('xlink:href="#', f'href="#{name}-')
    tag = re.sub(r"font-family: [^;\"]*;? ?", "", tag)
    tag = re.sub(r' transform="rotate\(-0 [^"]*"', "", tag)
    for stand_in, colour in PAGE_COLOURS.items():
        tag = tag.replace(stand_in, colour)
    return tag


def label(text: str, most: int = 22) -> str:
    """`text` as a short label: unprintable characters and what is longer than `most` characters are cut away."""
    clean = "".join(character if character.isprintable() else " " for character in text)
    return clean if len(clean) <= most else f"{clean[: most - 1]}…"


def text_pixels(labels: list[str]) -> float:
    """Room that the longest of `labels` takes."""
    return max(map(len, labels), default=0) * CHARACTER_PIXELS
