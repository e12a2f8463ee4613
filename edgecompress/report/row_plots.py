"""Drawings with one named row per stage, layer or measurement, each row with its value in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from matplotlib.axes import Axes

from edgecompress.report.canvas import BASELINE, COLOURS, FINAL, INK, MARKERS, PLAIN, WIDE, WIDTH, Plot, draw, label, text_pixels
from edgecompress.report.course import deciding_metric, final_on_validation, stage_label, validation_metrics
from edgecompress.report.schema import BenchmarkEntry, Report
from edgecompress.report.summary import model_title
from edgecompress.report.words import bytes_text, is_fraction_correct, metric_text, metric_title, ms_text, short_count_text, threads_text

ROW_PIXELS = 26
BAR_HEIGHT = 0.56  # of a row
MOST_LAYERS = 16  # shown one by one; the others are one bar together


def stage_parameters(report: Report) -> Plot:
    """Parameters after each stage; the zeros among them are pale."""
    totals = [stage.parameters for stage in report.stages]
    nonzero = [stage.nonzero_parameters for stage in report.stages]

    def paint(axes: Axes) -> None:
        axes.barh(range(len(totals)), totals, height=BAR_HEIGHT, color=FINAL, alpha=0.28, linewidth=0)
        axes.barh(range(len(totals)), nonzero, height=BAR_HEIGHT, color=FINAL)
        without_axis(axes, max(totals))
        for row, (total, number) in enumerate(zip(totals, nonzero, strict=True)):
            write(axes, row, short_count_text(number), at=total)

    title = "Non-zero parameters after each stage (pale: zeros)"
    return row_plot("stage_parameters", title, [stage_label(stage) for stage in report.stages], paint)


def stage_bytes(report: Report) -> Plot:
    """Bytes after each stage as float32, and the two exported files."""
    artifact = report.artifact
    rows = [(stage_label(stage), stage.bytes_float32, BASELINE) for stage in report.stages]
    rows += [(f"plain {artifact.format} file", artifact.plain_bytes, PLAIN), (f"final {artifact.format} file", artifact.bytes, FINAL)]

    def paint(axes: Axes) -> None:
        axes.barh(range(len(rows)), [size for _, size, _ in rows], height=BAR_HEIGHT, color=[colour for _, _, colour in rows])
        without_axis(axes, max(size for _, size, _ in rows))
        for row, (_, size, _) in enumerate(rows):
            write(axes, row, bytes_text(size), at=size)

    return row_plot("stage_bytes", "Bytes: weights as float32 after each stage, then the files", [name for name, _, _ in rows], paint)


def stage_metric(report: Report) -> Plot | None:
    """The deciding metric on validation, one dot per stage."""
    metric = deciding_metric(report) or ""
    points = [(stage_label(stage), validation_metrics(stage).get(metric)) for stage in report.stages]
    points.append((f"final {report.artifact.format} file", final_on_validation(report)))
    known = [(name, value) for name, value in points if value is not None]
    if not known:
        return None
    values = [value for _, value in known]

    def paint(axes: Axes) -> None:
        axes.axvline(values[0], color=INK, alpha=0.35, linewidth=1, dashes=(2, 3))
        axes.plot(values, range(len(values)), color=INK, alpha=0.3, linewidth=1.2)
        axes.plot(values, range(len(values)), "o", color=FINAL, markersize=6)
        without_axis(axes)
        axes.set_xlim(*span(metric, values))
        axes.grid(axis="y")
        for row, value in enumerate(values):
            write(axes, row, metric_text(metric, value))

    return row_plot("stage_metric", f"{metric_title(metric)} on validation after each stage", [name for name, _ in known], paint)


def latency(report: Report) -> Plot | None:
    """p50 with its interval, and p95, of every model, host and number of threads."""
    entries = [entry for entry in report.benchmark if entry.p50_ms is not None]
    if not entries:
        return None
    largest = max(max(entry.p50_ms or 0, entry.p95_ms or 0) for entry in entries)

    def paint(axes: Axes) -> None:
        for row, entry in enumerate(entries):
            _paint_latency(axes, row, entry)
        axes.set_xlim(0, 1.04 * largest or 1)
        axes.locator_params(axis="x", nbins=5)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.grid(axis="x")

    title = "Latency in ms: p50 (mark), its 95 % interval (pale), p95 (tick)"
    return row_plot("latency", title, _latency_labels(report, entries), paint, width=WIDE, right=80, bottom=24)


def _latency_labels(report: Report, entries: Sequence[BenchmarkEntry]) -> list[str]:
    """Names that say no more than what differs."""
    hosts, threads, kernels = ({getattr(entry, name) for entry in entries} for name in ("host", "threads", "requested_kernels"))
    if len(hosts) == len(threads) == len(kernels) == 1:
        return [model_title(report, entry.model) for entry in entries]
    if len(hosts) == len(kernels) == 1:
        return [f"{entry.model}, {threads_text(entry.threads)}" for entry in entries]
    labels = []
    for entry in entries:
        host, ran_on = entry.host if len(hosts) > 1 else "", entry.requested_kernels if len(kernels) > 1 else ""
        labels.append(" ".join(filter(None, (f"{entry.model},", host, ran_on, f"x{entry.threads}"))))
    return labels


def _paint_latency(axes: Axes, row: int, entry: BenchmarkEntry) -> None:
    """A mark at p50 with its interval, a line to the tick at p95."""
    colour, p50_ms = COLOURS.get(entry.model, FINAL), entry.p50_ms or 0.0
    if entry.p95_ms is not None:
        axes.plot([p50_ms, entry.p95_ms], [row, row], color=colour, linewidth=1.4)
        axes.plot([entry.p95_ms], [row], "|", color=colour, markersize=10, markeredgewidth=1.8)
    if entry.p50_interval_ms is not None:
        axes.plot(entry.p50_interval_ms, [row, row], color=colour, linewidth=6, alpha=0.35, solid_capstyle="butt")
    axes.plot([p50_ms], [row], MARKERS.get(entry.model, "o"), color=colour, markersize=7)
    write(axes, row, f"{ms_text(p50_ms)} ms")


def layer_bytes(report: Report) -> Plot | None:
    """Weights of each layer: float32 baseline above, final file below."""
    layers = [(layer.name, layer.baseline_bytes or 0, layer.final_bytes or 0) for layer in report.layer_bytes]
    layers = [layer for layer in layers if max(layer[1:])]
    if not layers:
        return None
    largest_first = sorted(range(len(layers)), key=lambda index: -max(layers[index][1:]))
    shown = [layers[index] for index in sorted(largest_first[:MOST_LAYERS])]  # in the model's order
    if others := [layers[index] for index in largest_first[MOST_LAYERS:]]:
        shown.append((f"{len(others)} others", sum(baseline for _, baseline, _ in others), sum(final for _, _, final in others)))

    def paint(axes: Axes) -> None:
        for row, (_, baseline, final) in enumerate(shown):
            axes.barh([row - 0.17], [baseline], height=BAR_HEIGHT / 2, color=BASELINE)
            axes.barh([row + 0.17], [final], height=BAR_HEIGHT / 2, color=FINAL)
            write(axes, row, f"{bytes_text(baseline)} → {bytes_text(final)}", at=max(baseline, final))
        without_axis(axes, max(max(baseline, final) for _, baseline, final in shown))

    title = "Bytes of each layer's weights: float32 baseline (grey, above) and final file (blue, below)"
    return row_plot("layer_bytes", title, [name for name, _, _ in shown], paint, width=WIDE, right=112)


def span(metric: str, values: Sequence[float]) -> tuple[float, float]:
    """Limits around `values`, never so narrow that noise looks like a cliff: at least one point, or a hundredth of the value."""
    low, high = min(values), max(values)
    least = 0.01 if is_fraction_correct(metric) else 0.01 * max(abs(low), abs(high), 1e-9)
    margin = max(0.1 * (high - low), (least - (high - low)) / 2)
    return low - margin, high + margin


def row_plot(
    name: str,
    title: str,
    labels: Sequence[str],
    paint: Callable[[Axes], None],
    *,
    width: float = WIDTH,
    right: float = 62,
    bottom: float = 6,
) -> Plot:
    """A drawing with one row per label, the first at the top, room for the labels on the left and for values on the right."""
    shown = [label(text) for text in labels]

    def paint_rows(axes: Axes) -> None:
        axes.set_yticks(range(len(shown)), shown)
        paint(axes)
        axes.set_ylim(len(shown) - 0.4, -0.6)

    size = (width, 8 + bottom + ROW_PIXELS * len(shown))
    return draw(name, title, size, (text_pixels(shown) + 8, right, 4, bottom), paint_rows)


def without_axis(axes: Axes, largest: float | None = None) -> None:
    """No numbers below: every row says its own. `largest`: the longest bar, which fills the width."""
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)
    if largest is not None:
        axes.set_xlim(0, largest or 1)


def write(axes: Axes, row: int, text: str, *, at: float | None = None) -> None:
    """A row's value in words: beside the end of its bar, or, without one, at the right edge."""
    point = (1.0, row) if at is None else (at, row)
    coordinates = ("axes fraction", "data") if at is None else ("data", "data")
    style: dict[str, Any] = {"xytext": (6, 0), "textcoords": "offset points", "va": "center_baseline", "annotation_clip": False}
    axes.annotate(text, point, xycoords=coordinates, **style)
