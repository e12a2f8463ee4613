"""All drawings of a report, each from the numbers in it. A drawing that would be empty is left out."""

from __future__ import annotations

from matplotlib.axes import Axes

from edgecompress.report.canvas import COLOURS, FINAL, MARKERS, WIDE, Plot, draw, plot_style
from edgecompress.report.curves import training_addends, training_loss, training_metric
from edgecompress.report.latency import MODELS
from edgecompress.report.row_plots import latency, layer_bytes, span, stage_bytes, stage_metric, stage_parameters
from edgecompress.report.schema import Report
from edgecompress.report.sensitivity import sensitivity_key
from edgecompress.report.sensitivity_plot import curves_plot
from edgecompress.report.summary import file_bytes, metrics_on_test, scalar_metrics
from edgecompress.report.words import bytes_text, is_fraction_correct, metric_title

NAMES = {"baseline": "Baseline", "plain": "Plain converter", "final": "Final"}


def plots(report: Report) -> dict[str, Plot]:
    """All drawings that the report has numbers for, by name."""
    with plot_style():
        found = {
            "tradeoff": tradeoff(report),
            "latency": latency(report),
            "stage_parameters": stage_parameters(report),
            "stage_bytes": stage_bytes(report),
            "stage_metric": stage_metric(report),
            "training_loss": training_loss(report),
            "training_metric": training_metric(report),
            "training_addends": training_addends(report),
            "layer_bytes": layer_bytes(report),
        }
        for stage in report.stages:
            if stage.sensitivity is not None:
                found[sensitivity_key(stage)] = curves_plot(sensitivity_key(stage), stage.sensitivity)
    return {name: plot for name, plot in found.items() if plot is not None}


def tradeoff(report: Report) -> Plot | None:
    """Test metric against size for baseline, plain converter and final file."""
    metric = next((name for model in MODELS for name in scalar_metrics(metrics_on_test(report, model, "tflite"))), "")
    values = {model: metrics_on_test(report, model, "tflite").get(metric) for model in MODELS}
    points = [(model, file_bytes(report, model), value) for model, value in values.items() if value is not None]
    if not points:
        return None
    ends = _final_interval(report)

    def paint(axes: Axes) -> None:
        for model, size, value in points:
            if model == "final" and ends is not None:
                axes.plot([size, size], ends, color=FINAL, linewidth=1.4, solid_capstyle="butt")
            axes.plot([size], [value], MARKERS[model], color=COLOURS[model], markersize=9, clip_on=False, label=NAMES[model])
        axes.set_xlim(0, 1.05 * max(size for _, size, _ in points))
        axes.set_ylim(*span(metric, [value for _, _, value in points] + list(ends or ())))
        axes.xaxis.set_major_formatter(lambda size, _: bytes_text(round(size)).replace(".00", "") if size else "0")
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.1f} %" if is_fraction_correct(metric) else f"{value:.4g}")
        axes.locator_params(nbins=5)
        axes.grid(axis="y")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.03), ncols=3, handletextpad=0.1)

    interval = "" if ends is None else " (line: 95 % interval)"
    title = f"{metric_title(metric)} on the test split against bytes of the file{interval}"
    return draw("tradeoff", title, (WIDE, 260), (52, 14, 28, 24), paint)


def _final_interval(report: Report) -> tuple[float, float] | None:
    """The interval of the drop, seen from the baseline: where the final model's metric may lie."""
    verdict = report.verdict
    if verdict is None or verdict.test.confidence_interval is None or verdict.test.baseline is None:
        return None
    low, high = verdict.test.confidence_interval
    sign = -1 if verdict.direction == "rises" else 1
    return verdict.test.baseline + sign * low, verdict.test.baseline + sign * high
