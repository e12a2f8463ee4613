"""The drawings of a report, each from the numbers in it. A drawing that would be empty is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from matplotlib.axes import Axes

from edgecompress.report.canvas import BASELINE, COLOURS, FINAL, INK, MARKERS, PLAIN, ROW_PIXELS, Plot, draw, label, plot_style, text_pixels
from edgecompress.report.course import deciding_metric, stage_label, validation_metrics
from edgecompress.report.latency import MODELS
from edgecompress.report.schema import BenchmarkEntry, Report
from edgecompress.report.summary import file_bytes, model_title, scalar_metrics, test_metrics
from edgecompress.report.words import bytes_text, is_fraction_correct, metric_label, metric_text, ms_text, short_count_text

WIDTH = 320.0
WIDE = 390.0
NAMES = {"baseline": "Baseline", "plain": "Plain converter", "final": "Final"}
MOST_LAYERS = 16  # shown one by one; the others are one bar together


def plots(report: Report) -> dict[str, Plot]:
    """All drawings that the report has numbers for, by name."""
    with plot_style():
        return {name: plot for name, plot in _plots(report) if plot is not None}


def _plots(report: Report) -> Iterator[tuple[str, Plot | None]]:
    from edgecompress.report.curves import training_loss, training_metric

    yield "tradeoff", _tradeoff(report)
    yield "latency", _latency(report)
    yield "stage_parameters", _stage_parameters(report)
    yield "stage_bytes", _stage_bytes(report)
    yield "stage_metric", _stage_metric(report)
    yield "training_loss", training_loss(report)
    yield "training_metric", training_metric(report)
    yield "layer_bytes", _layer_bytes(report)


def _rows(axes: Axes, labels: Sequence[str]) -> None:
    """One named row per label, the first at the top, no other furniture."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)


def _row_plot(
    name: str,
    title: str,
    labels: Sequence[str],
    paint: Callable[[Axes], None],
    *,
    width: float = WIDTH,
    right: float = 62,
    bottom: float = 6,
) -> Plot:
    """A drawing with one row per label and room for them on the left and for values on the right."""
    shown = [label(text) for text in labels]

    def paint_rows(axes: Axes) -> None:
        _rows(axes, shown)
        paint(axes)

    size = (width, 8 + bottom + ROW_PIXELS * len(shown))
    return draw(name, title, size, (text_pixels(shown) + 8, right, 4, bottom), paint_rows)


def _bars(axes: Axes, values: Sequence[float], colours: Sequence[str], texts: Sequence[str]) -> None:
    """Horizontal bars from zero, each with its value at the end; no axis is needed then."""
    axes.barh(range(len(values)), values, height=0.56, color=colours)
    axes.set_xlim(0, max([*values, 1]))
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)
    for row, (value, text) in enumerate(zip(values, texts, strict=True)):
        axes.annotate(text, (value, row), xytext=(5, 0), textcoords="offset points", va="center_baseline", annotation_clip=False)


def _stage_parameters(report: Report) -> Plot:
    """Parameters after each stage; the zeros among them are pale."""

    def paint(axes: Axes) -> None:
        nonzero = [stage.nonzero_parameters for stage in report.stages]
        axes.barh(range(len(nonzero)), [stage.parameters for stage in report.stages], height=0.56, color=FINAL, alpha=0.28, linewidth=0)
        _bars(axes, nonzero, [FINAL] * len(nonzero), [""] * len(nonzero))
        axes.set_xlim(0, max(stage.parameters for stage in report.stages) or 1)
        for row, stage in enumerate(report.stages):
            axes.annotate(
                short_count_text(stage.nonzero_parameters), (stage.parameters, row), xytext=(5, 0), textcoords="offset points",
                va="center_baseline", annotation_clip=False,
            )  # fmt: skip

    return _row_plot(
        "stage_parameters",
        "Non-zero parameters after each stage (pale: zeros)",
        [stage_label(stage) for stage in report.stages],
        paint,
    )


def _stage_bytes(report: Report) -> Plot:
    """Bytes after each stage as float32, and the two exported files."""
    artifact = report.artifact
    rows = [(stage_label(stage), stage.bytes_float32, BASELINE) for stage in report.stages]
    rows += [(f"plain {artifact.format} file", artifact.plain_bytes, PLAIN), (f"final {artifact.format} file", artifact.bytes, FINAL)]
    labels, values, colours = zip(*rows, strict=True)
    paint = partial(_bars, values=values, colours=colours, texts=[bytes_text(value) for value in values])
    return _row_plot("stage_bytes", "Bytes: weights as float32 after each stage, then the files", labels, paint)


def _stage_metric(report: Report) -> Plot | None:
    """The deciding metric on validation, one dot per stage."""
    metric = deciding_metric(report)
    if metric is None:
        return None
    points = [(stage_label(stage), validation_metrics(stage).get(metric)) for stage in report.stages]
    final = report.verdict.validation.get("final") if report.verdict else None
    points += [(f"final {report.artifact.format} file", final)] if final is not None else []
    known = [(name, value) for name, value in points if value is not None]
    if not known:
        return None
    values = [value for _, value in known]

    def paint(axes: Axes) -> None:
        axes.plot(values, range(len(values)), color=INK, alpha=0.3, linewidth=1.2)
        axes.scatter(values, range(len(values)), s=34, color=[FINAL] * len(values), zorder=3)
        axes.set_xlim(*_span(metric, values))
        axes.xaxis.set_visible(False)
        axes.spines["bottom"].set_visible(False)
        axes.axvline(values[0], color=INK, alpha=0.35, linewidth=1, dashes=(2, 3))
        axes.grid(axis="y")
        for row, value in enumerate(values):
            axes.annotate(
                metric_text(metric, value),
                (1, row),
                xycoords=("axes fraction", "data"),
                xytext=(5, 0),
                textcoords="offset points",
                va="center_baseline",
            )

    title = f"{metric_label(metric).capitalize()} on validation after each stage"
    return _row_plot("stage_metric", title, [name for name, _ in known], paint)


def _span(metric: str, values: Sequence[float]) -> tuple[float, float]:
    """Limits around `values`, never so narrow that noise looks like a cliff: at least one point, or a hundredth of the value."""
    low, high = min(values), max(values)
    least = 0.01 if is_fraction_correct(metric) else 0.01 * max(abs(high), 1e-12)
    margin = max(0.1 * (high - low), (least - (high - low)) / 2)
    return low - margin, high + margin


def _tradeoff(report: Report) -> Plot | None:
    """Test metric against size for baseline, plain converter and final file."""
    points = []
    for model in MODELS:
        metrics, size = scalar_metrics(test_metrics(report, model, "tflite")), file_bytes(report, model)
        if size and metrics and (value := next(iter(metrics.values()))) is not None:
            points.append((model, size, value))
    if not points:
        return None
    metric = next(iter(scalar_metrics(test_metrics(report, points[0][0], "tflite"))))
    ends = _final_interval(report)

    def paint(axes: Axes) -> None:
        for model, size, value in points:
            if model == "final" and ends is not None:
                axes.plot([size, size], ends, color=FINAL, linewidth=1.4, solid_capstyle="butt")
            axes.plot(
                [size],
                [value],
                MARKERS[model],
                color=COLOURS[model],
                markersize=9,
                label=NAMES[model],
                clip_on=False,
                linestyle="none",
            )
        axes.set_xlim(0, 1.05 * max(size for _, size, _ in points))
        axes.set_ylim(*_span(metric, [value for _, _, value in points] + list(ends or ())))
        axes.xaxis.set_major_formatter(lambda size, _: bytes_text(round(size)) if size else "0")
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.1f} %" if is_fraction_correct(metric) else f"{value:.4g}")
        axes.locator_params(axis="x", nbins=5)
        axes.locator_params(axis="y", nbins=5)
        axes.grid(axis="y")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.03), ncols=3, handletextpad=0.1)

    title = f"{metric_label(metric).capitalize()} on the test split against bytes of the file"
    return draw("tradeoff", title, (WIDE, 260), (52, 14, 28, 24), paint)


def _final_interval(report: Report) -> tuple[float, float] | None:
    """The interval of the drop, seen from the baseline: where the final model's metric may lie."""
    verdict = report.verdict
    if verdict is None or verdict.test.confidence_interval is None or verdict.test.baseline is None:
        return None
    low, high = verdict.test.confidence_interval
    sign = -1 if verdict.direction == "rises" else 1
    return verdict.test.baseline + sign * low, verdict.test.baseline + sign * high


def _latency(report: Report) -> Plot | None:
    """p50 with its interval, and p95, of every model, host and number of threads."""
    entries = [entry for entry in report.benchmark if entry.p50_ms is not None]
    if not entries:
        return None
    several = len({(entry.host, entry.threads) for entry in entries}) > 1

    title = "Latency in ms: p50 (mark), its 95 % interval (pale), p95 (tick)"

    def name(entry: BenchmarkEntry) -> str:
        place = (
            f"{entry.threads} thread{'s' if entry.threads > 1 else ''}"
            if len({one.host for one in entries}) == 1
            else f"{entry.host} x{entry.threads}"
        )
        return f"{entry.model}, {place}" if several else model_title(report, entry.model)

    def paint(axes: Axes) -> None:
        for row, entry in enumerate(entries):
            colour, p50 = COLOURS.get(entry.model, FINAL), entry.p50_ms or 0.0
            p95 = p50 if entry.p95_ms is None else entry.p95_ms
            axes.plot([p50, p95], [row, row], color=colour, linewidth=1.4)
            axes.plot(entry.p50_interval_ms or (p50, p50), [row, row], color=colour, linewidth=6, alpha=0.35, solid_capstyle="butt")
            axes.plot([p50], [row], MARKERS.get(entry.model, "o"), color=colour, markersize=7)
            if entry.p95_ms is not None:
                axes.plot([p95], [row], "|", color=colour, markersize=10, markeredgewidth=1.8)
            axes.annotate(
                f"{ms_text(p50)} ms",
                (1, row),
                xycoords=("axes fraction", "data"),
                xytext=(8, 0),
                textcoords="offset points",
                va="center_baseline",
            )
        axes.set_xlim(0, 1.04 * max(max(entry.p50_ms or 0, entry.p95_ms or 0) for entry in entries))
        axes.locator_params(axis="x", nbins=5)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.grid(axis="x")

    return _row_plot("latency", title, [name(entry) for entry in entries], paint,
                     width=WIDE, right=80, bottom=24)  # fmt: skip


def _layer_bytes(report: Report) -> Plot | None:
    """Weights of each layer: float32 baseline above, final file below."""
    layers = [layer for layer in report.layer_bytes if layer.baseline_bytes or layer.final_bytes]
    if not layers:
        return None
    by_size = sorted(layers, key=lambda layer: -max(layer.baseline_bytes or 0, layer.final_bytes or 0))
    largest = {id(layer) for layer in by_size[:MOST_LAYERS]}
    shown = [(layer.name, layer.baseline_bytes or 0, layer.final_bytes or 0) for layer in layers if id(layer) in largest]
    others = by_size[MOST_LAYERS:]
    if others:
        sums = sum(layer.baseline_bytes or 0 for layer in others), sum(layer.final_bytes or 0 for layer in others)
        shown.append((f"{len(others)} others", *sums))

    def paint(axes: Axes) -> None:
        rows = range(len(shown))
        axes.barh([row - 0.17 for row in rows], [baseline for _, baseline, _ in shown], height=0.28, color=BASELINE)
        axes.barh([row + 0.17 for row in rows], [final for _, _, final in shown], height=0.28, color=FINAL)
        axes.set_xlim(0, max(max(baseline, final) for _, baseline, final in shown))
        axes.xaxis.set_visible(False)
        axes.spines["bottom"].set_visible(False)
        for row, (_, baseline, final) in enumerate(shown):
            text = f"{bytes_text(baseline)} → {bytes_text(final)}"
            axes.annotate(
                text, (max(baseline, final), row), xytext=(5, 0), textcoords="offset points", va="center_baseline", annotation_clip=False
            )

    title = "Bytes of each layer's weights: float32 baseline (grey) and final file (blue)"
    return _row_plot("layer_bytes", title, [name for name, _, _ in shown], paint, width=WIDE, right=112)
