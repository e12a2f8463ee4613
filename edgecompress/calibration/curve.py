"""How many calibration samples are enough: the error of an int8 file's output against their number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from edgecompress.backend import keras
from edgecompress.data import Split
from edgecompress.evaluation.keras_outputs import keras_outputs
from edgecompress.evaluation.parity import snr_db
from edgecompress.evaluation.tflite_outputs import tflite_outputs
from edgecompress.export import convert
from edgecompress.progress import Progress
from edgecompress.recipe.schema import Export
from edgecompress.samples import Samples, each, num_samples

NUMBERS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
ENOUGH_DB = 0.5  # less than the most, that nobody will see


@dataclass(frozen=True)
class CalibrationCurve:
    """Output error by number of calibration samples.

    Attributes:
        numbers: of samples, rising; without those whose first samples are the same number everywhere, which no range can be set from.
        snr_db: of the file's output against the Keras model's, on samples that calibrate nothing.
        enough: the least number from which on the ratio stays within half a decibel of that of all samples, or above.
    """

    numbers: tuple[int, ...]
    snr_db: tuple[float, ...]
    enough: int

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def calibration_curve(
    model: keras.Model, export: Export, samples: Samples, held_out: Split, *, seed: int, batch_size: int, progress: Progress
) -> CalibrationCurve:
    """Converts the model with more and more of the samples.

    Args:
        model: float.
        export: int8 or int16x8.
        samples: float32 [n, ...], by name for several inputs; taken in an order that the seed decides.
        held_out: a split that is no calibration.
        seed: of the order.
        batch_size: samples per step of the Keras model.
        progress: gets a bar.
    """
    total = num_samples(samples)
    order = np.random.default_rng(seed).permutation(total)
    numbers = [number for number in NUMBERS if number < total and _vary(_first(samples, order, number))] + [total]
    expected = np.concatenate([outputs for outputs, _ in keras_outputs(model, held_out, batch_size=batch_size)])
    ratios: list[float] = []
    with TemporaryDirectory(prefix="edgecompress-") as folder, progress.task("trying numbers of samples", total=len(numbers)) as bar:
        path = Path(folder, "model.tflite")
        for number in numbers:
            some = _first(samples, order, number)
            path.write_bytes(convert(model, export, calibration=some, progress=Progress()).content)
            received = np.concatenate([outputs for outputs, _ in tflite_outputs(path, held_out)])
            ratios.append(snr_db(expected, expected - received))
            bar.advance()
    return CalibrationCurve(tuple(numbers), tuple(ratios), enough(numbers, ratios))


def _first(samples: Samples, order: np.ndarray, number: int) -> Samples:
    some: Samples = each(lambda values: values[order[:number]], samples)
    return some


def _vary(samples: Samples) -> bool:
    """Whether a range can be set from every input."""
    parts = samples.values() if isinstance(samples, Mapping) else [samples]
    return all(part.min() < part.max() for part in parts)


def enough(numbers: Sequence[int], ratios: Sequence[float]) -> int:
    """The least number from which on every ratio is at most half a decibel below the last one."""
    least = numbers[-1]
    for number, ratio in zip(reversed(numbers), reversed(ratios), strict=True):
        if ratio < ratios[-1] - ENOUGH_DB:
            break
        least = number
    return least
