"""What each stage of a run is worth, as a table and one HTML page with a waterfall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from matplotlib.axes import Axes

from edgecompress import __version__
from edgecompress.report.canvas import BASELINE, FINAL, INK, PLAIN, WIDE, Plot, draw, label, plot_style
from edgecompress.report.document import Block, Table, make_table
from edgecompress.report.html import render_page
from edgecompress.report.words import (
    NOT_KNOWN,
    bytes_text,
    difference_text,
    difference_unit,
    metric_text,
    metric_title,
    ms_text,
    short_count_text,
)

ROW_PIXELS = 24.0
LEFT_OUT = "without"
NEED = "Figures are of the .tflite on the validation split. A change is what leaving the stage out does."


def render_ablation(values: Mapping[str, Any]) -> str:
    """A page of its own.

    Args:
        values: `Ablation.to_dict()`.
    """
    drawings = _draw(values)
    blocks = [
        Block("waterfall", "From no stage to all", ("Stage by stage, in the order of the recipe.",), plots=tuple(drawings)),
        Block("without", "Each stage left out", (NEED,), tables=(ablation_rows(values, LEFT_OUT),)),
    ]
    if any(found["line"]["kind"] == "order" for found in values["measured"]):
        blocks.append(Block("orders", "Other orders", tables=(ablation_rows(values, "order"),)))
    return render_page("edgecompress ablate", values["name"], [f"version {__version__}"], [], blocks, drawings)


def ablation_fragment(values: Mapping[str, Any]) -> str:
    """The drawings and the table as an HTML fragment, for notebooks."""
    table = ablation_rows(values, LEFT_OUT)
    rows = [table.names, *([cell.text for cell in row] for row in table.rows)]
    body = "".join(f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in row)}</tr>" for row in rows)
    figures = "".join(f"<figure>{escape(plot.title)}{plot.svg}</figure>" for plot in _draw(values).values())
    return f'<div style="max-width: 480px">{figures}</div><table>{body}</table>'


def ablation_rows(values: Mapping[str, Any], kind: str) -> Table:
    """The whole line, and each line of a kind against it."""
    metric, rises = values["metric"], values["rises"]
    whole = values["measured"][0]
    change = f"change{difference_unit(metric)}"
    columns = (
        "Stages",
        ">Bytes",
        ">MACs",
        f">{metric_title(metric)}",
        f">{change[:1].upper()}{change[1:]}",
        ">95 % interval",
        ">p50, ms",
        "Why not",
    )
    rows = [_cells(found, metric, rises=rises) for found in [whole, *_of(values, kind)]]
    return make_table(columns, rows)


def _draw(values: Mapping[str, Any]) -> dict[str, Plot]:
    with plot_style():
        return {f"waterfall_{key}": _waterfall(values, key) for key in ("bytes", "metric")}


def _cells(found: Mapping[str, Any], metric: str, *, rises: bool) -> list[str]:
    """One line. Its drop, which says how much worse it is, is shown as the metric's change: of the other sign where more is better."""
    kind, name = found["line"]["kind"], found["line"]["name"]
    title = f"without {name}" if kind == LEFT_OUT else name
    sign = -1 if rises else 1
    ends = [] if found["interval"] is None else sorted(sign * end for end in found["interval"])
    between = " to ".join(difference_text(metric, end) for end in ends)
    is_whole = kind == "all"
    change = NOT_KNOWN if is_whole or found["drop"] is None else difference_text(metric, sign * found["drop"])
    return [
        title, bytes_text(found["bytes"]), short_count_text(found["macs"]), metric_text(metric, found["metric"]), change,
        NOT_KNOWN if is_whole else between, ms_text(found["p50_ms"]), found["reason"],
    ]  # fmt: skip


def _of(values: Mapping[str, Any], kind: str) -> list[Mapping[str, Any]]:
    return [found for found in values["measured"] if found["line"]["kind"] == kind]


def _steps(values: Mapping[str, Any], key: str) -> list[tuple[str, float]]:
    """(name, value) from no stage to all, without lines that could not run."""
    last = values["measured"][0]
    names = [found["line"]["name"] for found in _of(values, "prefix")]
    final = f"+ {next(iter(_of(values, LEFT_OUT)[::-1]))['line']['name']}"
    lines = [*zip(names, _of(values, "prefix"), strict=True), (final, last)]
    return [(name, float(found[key])) for name, found in lines if found[key] is not None]


def _waterfall(values: Mapping[str, Any], key: str) -> Plot:
    """Each stage as a bar from the value before it to the value after it."""
    steps, metric, rises = _steps(values, key), values["metric"], key == "metric" and values["rises"]

    def form(value: float) -> str:
        return bytes_text(round(value)) if key == "bytes" else metric_text(metric, value)

    def paint(axes: Axes) -> None:
        positions: Sequence[int] = range(len(steps))
        before = [0.0 if key == "bytes" else steps[0][1], *(value for _, value in steps[:-1])]
        for position, start, (_, value) in zip(positions, before, steps, strict=True):
            better = value >= start if rises else value <= start
            colour = BASELINE if position == 0 else FINAL if better else PLAIN
            axes.barh(position, value - start, left=start, height=0.62, color=colour)
            axes.annotate(form(value), (max(value, start), position), xytext=(4, 0), textcoords="offset points", va="center", color=INK)
        axes.set_yticks(list(positions), [label(name, 22) for name, _ in steps])
        axes.invert_yaxis()
        low, high = min([*before, *(v for _, v in steps)]), max([*before, *(v for _, v in steps)])
        span = (high - low) or abs(high) or 1.0
        axes.set_xlim(low - (0 if key == "bytes" else 0.08 * span), high + 0.3 * span)
        axes.xaxis.set_major_formatter(lambda value, _: form(value))
        axes.locator_params(axis="x", nbins=4)

    title = "Bytes of the file" if key == "bytes" else metric_title(metric)
    return draw(f"waterfall_{key}", title, (WIDE, 50 + ROW_PIXELS * len(steps)), (150, 14, 8, 30), paint)
