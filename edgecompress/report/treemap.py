"""A treemap: nested amounts as areas, each rectangle as near to a square as can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from edgecompress.report.canvas import Plot, label
from edgecompress.report.words import bytes_text, percent_text

WIDTH, HEIGHT = 440.0, 260.0  # of the drawing, in pixels: about what one of two columns has, so that letters are drawn at their size
FONT_SIZE, LINE_PIXELS = 13, 15.0
LEAST_CHARACTERS = 5  # a name cut shorter says nothing
LEAST_SHARE = 0.0005  # an area below it would be no visible spot
# Sky blue, orange, green, yellow, blue, vermilion, purple of Okabe and Ito: told apart by every kind of colour vision.
HUES = ("#56b4e9", "#e69f00", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#999999")
DARK_HUES = ("#0072b2", "#009e73", "#d55e00")  # letters on them are white


@dataclass(frozen=True)
class Area:
    """A rectangle, in pixels."""

    left: float
    top: float
    width: float
    height: float


def treemap(name: str, title: str, amounts: Mapping[str, int]) -> Plot:
    """Amounts of bytes as areas, largest first.

    Args:
        name: prefix of ids, unique on the page.
        title: what is shown; also the text for screen readers.
        amounts: what -> bytes.
    """
    total = sum(amounts.values())
    shown = sorted(
        ((what, number) for what, number in amounts.items() if total and number / total >= LEAST_SHARE), key=lambda pair: -pair[1]
    )
    areas = squarify([number for _, number in shown], Area(0, 0, WIDTH, HEIGHT))
    parts = [
        _rectangle(what, number, total, area, HUES[index % len(HUES)])
        for index, ((what, number), area) in enumerate(zip(shown, areas, strict=True))
    ]
    size = f'viewBox="0 0 {WIDTH:g} {HEIGHT:g}" font-size="{FONT_SIZE}"'
    opening = f'<svg id="{escape(name)}" class="plot" {size} role="img" aria-label="{escape(title)}">'
    return Plot(title, f"{opening}{''.join(parts)}</svg>")


def _rectangle(what: str, number: int, total: int, area: Area, hue: str) -> str:
    """One rectangle with what fits of its words; the rest is in its tooltip."""
    words = f"{label(what, 60)}: {bytes_text(number)}, {percent_text(number / total)}"
    box = f'x="{area.left:.1f}" y="{area.top:.1f}" width="{max(0.0, area.width - 1):.1f}" height="{max(0.0, area.height - 1):.1f}"'
    letters = "#ffffff" if hue in DARK_HUES else "#000000"
    texts = [
        f'<text x="{area.left + 5:.1f}" y="{area.top + LINE_PIXELS * (row + 1):.1f}" fill="{letters}">{escape(line)}</text>'
        for row, line in enumerate(_lines(what, number, area))
    ]
    return f'<g><title>{escape(words)}</title><rect {box} fill="{hue}"/>{"".join(texts)}</g>'


def _lines(what: str, number: int, area: Area) -> list[str]:
    """The name, shortened where it must be, and the amount below it where that fits; no amount stands without a name."""
    advance = 0.72 if any(letter.isupper() for letter in what) else 0.57  # of the letters of a wide font, in font sizes
    most = int((area.width - 10) / (advance * FONT_SIZE))
    rows = int((area.height - 5) / LINE_PIXELS)
    if rows < 1 or most < min(LEAST_CHARACTERS, len(what)):
        return []
    amount = bytes_text(number)
    return [label(what, most), *([amount] if rows > 1 and len(amount) <= most else [])]


def squarify(amounts: Sequence[float], area: Area) -> list[Area]:
    """Divides an area in proportion to amounts, which must fall and be positive.

    Source: Bruls, Huizing, van Wijk, Squarified Treemaps (2000).
    """
    if not amounts:
        return []
    scale = area.width * area.height / sum(amounts)
    areas, start, free = list[Area](), 0, area
    while start < len(amounts):
        side, end = min(free.width, free.height), start + 1
        while end < len(amounts) and _worst(amounts[start : end + 1], scale, side) <= _worst(amounts[start:end], scale, side):
            end += 1
        row, free = _lay_row([amount * scale for amount in amounts[start:end]], free)
        areas += row
        start = end
    return areas


def _worst(amounts: Sequence[float], scale: float, side: float) -> float:
    """The largest ratio of two sides among the rectangles of a row along `side`."""
    depth = sum(amounts) * scale / side if side else 0
    lengths = [amount * scale / depth if depth else 0 for amount in amounts]
    return max(max(length / depth, depth / length) if length and depth else float("inf") for length in lengths)


def _lay_row(sizes: Sequence[float], free: Area) -> tuple[list[Area], Area]:
    """Rectangles along the shorter side of the free area, and what remains of it."""
    across = free.width >= free.height  # the row stands upright at the left
    side = free.height if across else free.width
    depth = sum(sizes) / side if side else 0.0
    row, offset = [], 0.0
    for size in sizes:
        length = size / depth if depth else 0.0
        row.append(Area(free.left, free.top + offset, depth, length) if across else Area(free.left + offset, free.top, length, depth))
        offset += length
    if across:
        return row, Area(free.left + depth, free.top, max(0.0, free.width - depth), free.height)
    return row, Area(free.left, free.top + depth, free.width, max(0.0, free.height - depth))
