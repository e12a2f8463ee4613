"""A layer and what could stand in its place as files of their own: timed against each other here, or by a latency table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from edgecompress.errors import ConversionError
from edgecompress.export import convert
from edgecompress.file_race import race_files
from edgecompress.models.layer_samples import layer_inputs
from edgecompress.models.replacing import Part, alone, chain
from edgecompress.progress import Progress
from edgecompress.recipe.schema import Export
from edgecompress.stage import Context

if TYPE_CHECKING:
    import numpy as np

    from edgecompress.backend import keras
    from edgecompress.latency.forecast import Forecast
    from edgecompress.latency.predict import Prediction
    from edgecompress.report.schema import BenchmarkEntry

NUM_SAMPLES = 8  # inputs of the layer that give the ranges of its int8 file
NOT_TIMED = "it could not be timed: "


@dataclass(frozen=True)
class LayerLatency:
    """Median times of one invoke, in ms.

    Attributes:
        before_ms, after_ms: of the two files.
        is_faster: measured: the intervals of both medians do not even touch; predicted: by more than the error of the table.
        predicted: from a table.
    """

    before_ms: float
    after_ms: float
    is_faster: bool
    predicted: bool = False

    def describe(self) -> str:
        """In words."""
        return f"{'predicted ' if self.predicted else ''}p50 {self.before_ms:.4f} -> {self.after_ms:.4f} ms"


def time_part(model: keras.Model, name: str, part: Part, format: Literal["float32", "int8"], context: Context) -> LayerLatency | str:
    """Times a layer as it is against a part that could stand in its place; by the table that the recipe's target names, if it does.

    Args:
        model: holds the layer, and gives what it is fed with.
        name: of the layer.
        part: its layers are used up.
        format: of the files.
        context: calibration samples and progress.

    Returns:
        The latencies, or why there are none.
    """
    layer = model.get_layer(name)
    samples = next(layer_inputs(model, name, context.data.calibration, NUM_SAMPLES))
    as_it_is = chain((type(layer).from_config(layer.get_config()), layer.get_weights()))
    before, after = alone(as_it_is, samples.shape[1:]), alone(part, samples.shape[1:])
    forecast = None if context.rehearsal is None else context.rehearsal.forecast
    return compare_latency(before, after, format, samples, context.progress, forecast)


def compare_latency(
    before: keras.Model, after: keras.Model, format: Literal["float32", "int8"], samples: np.ndarray, progress: Progress,
    forecast: Forecast | None = None,
) -> LayerLatency | str:  # fmt: skip
    """Converts two models and times them in turns, on one thread; or predicts, which always gives the same.

    Args:
        before, after: take the same input.
        format: of the files.
        samples: [n, ...] inputs, for the ranges of int8.
        progress: gets a bar.
        forecast: predicts, where there is one.

    Returns:
        The latencies, or why there are none.
    """
    export, models = Export(format=format), {"before": before, "after": after}
    try:
        files = {name: convert(model, export, calibration=samples, progress=Progress()).content for name, model in models.items()}
    except ConversionError as error:
        return f"{NOT_TIMED}{error}"
    if forecast is not None:
        return _predicted(*map(forecast.predict, files.values()))
    entries = race_files(files, progress).values()
    if failed := [entry.error for entry in entries if entry.error]:
        return f"{NOT_TIMED}{failed[0]}"
    return _compared(*entries)


def _predicted(before: Prediction, after: Prediction) -> LayerLatency | str:
    """Both predictions, if the table has all of their operators."""
    if missing := [*before.uncovered_operators, *after.uncovered_operators]:
        return f"{NOT_TIMED}the latency table has no {', '.join(dict.fromkeys(missing))} of these types"
    is_faster = after.p50_ms * (1 + after.relative_error) < before.p50_ms
    return LayerLatency(before.p50_ms, after.p50_ms, is_faster, predicted=True)


def _compared(before: BenchmarkEntry, after: BenchmarkEntry) -> LayerLatency | str:
    """Medians and intervals of two entries that were timed in turns."""
    if before.p50_ms is None or after.p50_ms is None or before.p50_interval_ms is None or after.p50_interval_ms is None:
        return f"{NOT_TIMED}the benchmark gave no median"
    return LayerLatency(before.p50_ms, after.p50_ms, after.p50_interval_ms[1] < before.p50_interval_ms[0])
