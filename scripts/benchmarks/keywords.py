"""MLPerf Tiny's keyword spotting for the benchmarks of quantization: network, official samples, splits, figures.

100 of the 1,000 official samples calibrate, the other 900 are held out; 4 such splits.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgecompress.backend import keras
from edgecompress.data.array_inputs import ArrayInputs
from edgecompress.data.split import Split
from edgecompress.device.quantization import quantize
from edgecompress.device.runtime import TfliteModel
from edgecompress.evaluation.parity import snr_db
from edgecompress.models import load_model
from edgecompress.recipe.schema import Preprocess

NUM_SPLITS, NUM_CALIBRATION = 4, 100
WARM_UP, ROUNDS = 300, 4000  # invokes of each file


@dataclass(frozen=True, eq=False)
class Keywords:
    """Features float32 [1000, 49, 10, 1], labels [1000], what the float network gives [1000, 12], and the network."""

    inputs: np.ndarray
    labels: np.ndarray
    expected: np.ndarray
    model: keras.Model


def read_keywords(data: Path) -> Keywords:
    """The official network and samples below a folder of data."""
    with np.load(data / "mlperf_tiny/kws/kws01_int8_features.npz") as stored:
        inputs = ((stored["x"].astype(np.float32) - stored["zero_point"]) * stored["scale"]).astype(np.float32)
        labels = stored["y"].astype(int)
    model = load_model(data / "mlperf_tiny/kws/kws_ref_model", allow_code=True)
    return Keywords(inputs, labels, model.predict(inputs, verbose=0), model)


def splits() -> list[tuple[np.ndarray, np.ndarray]]:
    """(rows that calibrate, rows held out), each."""
    orders = [np.random.default_rng(seed).permutation(1000) for seed in range(NUM_SPLITS)]
    return [(np.sort(order[:NUM_CALIBRATION]), np.sort(order[NUM_CALIBRATION:])) for order in orders]


def as_split(keywords: Keywords, rows: np.ndarray) -> Split:
    """Samples as a stage gets them."""
    source = ArrayInputs(keywords.inputs[rows], "features")
    return Split(source, keywords.labels[rows], np.arange(len(rows)), preprocess=Preprocess(), target="label")


def figures(content: bytes, keywords: Keywords, rows: np.ndarray) -> dict[str, float]:
    """How near a file comes to the float network: SNR of the probabilities, agreement, points of top-1 lost."""
    received, expected, labels = TfliteModel(content).predict(keywords.inputs[rows]), keywords.expected[rows], keywords.labels[rows]
    classes, wanted = received.argmax(1), expected.argmax(1)
    return {
        "snr_db": float(snr_db(expected, expected - received)),
        "agreement": float((classes == wanted).mean()),
        "top1": float((classes == labels).mean()),
        "points_lost": 100 * float((wanted == labels).mean() - (classes == labels).mean()),
    }


def sum_up(rows: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Mean and worst of each figure over the splits."""
    worst = {"points_lost": max, "bytes": max}
    return {
        name: {"mean": float(np.mean([row[name] for row in rows])), "worst": float(worst.get(name, min)(row[name] for row in rows))}
        for name in rows[0]
    }


def p50_us(files: Mapping[str, bytes], keywords: Keywords) -> dict[str, float]:
    """Median time of an invoke in microseconds, one thread, the files in turns in one process."""
    models = {name: TfliteModel(content) for name, content in files.items()}
    for model in models.values():
        model.set_inputs([quantize(keywords.inputs[:1], model.inputs[0])])
    times: dict[str, list[int]] = {name: [] for name in models}
    for turn in range(WARM_UP + ROUNDS):
        for name, model in models.items():
            started = time.perf_counter_ns()
            model.run()
            if turn >= WARM_UP:
                times[name].append(time.perf_counter_ns() - started)
    return {name: float(np.median(values)) / 1000 for name, values in times.items()}


def rows_of(results: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """The figures of each way as cells of a table: mean (worst)."""
    forms = {"snr_db": ".2f", "agreement": ".4f", "points_lost": "+.2f", "bytes": ",.0f"}
    return [
        [way, *(f"{found[key]['mean']:{form}} ({found[key]['worst']:{form}})" for key, form in forms.items())]
        for way, found in results.items()
    ]


COLUMNS = ("way", "SNR dB", "agreement", "points lost", "bytes after shrink")
