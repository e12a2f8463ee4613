"""Post-training int8 of MLPerf Tiny's keyword spotting, beside TensorFlow's converter on the same samples.

    EDGECOMPRESS_DATA=DATA python scripts/benchmarks/quantization.py [--json FILE] [--no-times]

100 of the 1,000 official samples calibrate, 900 are held out, 4 splits; mean (worst). edgecompress: stages `equalize` and
`correct_bias`, then `export: {ranges: ...}`. `equalize.strength` and `export.ranges` are chosen on the calibration samples alone: fitted
on one half of them, the SNR measured on the other, both ways round. SNR is 10 log10(mean(float^2) / mean((float - int8)^2)) of the
probabilities. Times are of the first split, the files in turns in one process.

Must reach, else exit code 1: mean SNR 3 dB above the converter's, mean agreement .992, at most 0.5 points lost in the mean, the p50 not
above the converter's by more than 3 %, both stages in less than 10 s.
"""

import argparse
import json
import os
import time
from importlib.metadata import version
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from keywords import COLUMNS, Keywords, as_split, figures, p50_us, read_keywords, rows_of, splits, sum_up
from rich.console import Console
from rich.table import Table

from edgecompress.backend import keras, tf
from edgecompress.export import convert
from edgecompress.export.set_ranges import set_ranges
from edgecompress.progress import Progress
from edgecompress.recipe.schema import Export
from edgecompress.recipe.stages import CorrectBias, Equalize
from edgecompress.shrinking import shrink_export
from edgecompress.stage import Context
from edgecompress.techniques.post_training import correct_bias, equalize

STRENGTHS, RANGES = (0.0, 0.5), ("percentile", "mse")
LEAST_GAIN_DB, LEAST_AGREEMENT, MOST_POINTS_LOST, MOST_TIME, MOST_SECONDS = 3.0, 0.992, 0.5, 1.03, 10.0


def by_hand(model: keras.Model, samples: np.ndarray) -> bytes:
    """What the official guide shows."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([sample[np.newaxis]] for sample in samples)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return bytes(converter.convert())


def prepare(keywords: Keywords, rows: np.ndarray, strength: float) -> tuple[bytes, float]:
    """The converter's file behind both stages, and the seconds that these took."""
    data = SimpleNamespace(calibration=as_split(keywords, rows))
    context = cast(Context, SimpleNamespace(stage="benchmark", progress=Progress(), keeps=(), data=data))
    started = time.monotonic()
    model = equalize.apply(keywords.model, Equalize(strength=strength), context).model
    model = correct_bias.apply(model, CorrectBias(), context).model
    seconds = time.monotonic() - started
    return convert(model, Export(format="int8"), calibration=keywords.inputs[rows], progress=Progress()).content, seconds


def choose(keywords: Keywords, calibration: np.ndarray) -> tuple[float, str]:
    """Strength and ranges with the best SNR on one half of the calibration samples, fitted on the other."""
    gained = dict.fromkeys(product(STRENGTHS, RANGES), 0.0)
    for first, second in ((calibration[::2], calibration[1::2]), (calibration[1::2], calibration[::2])):
        for strength in STRENGTHS:
            content, _ = prepare(keywords, first, strength)
            for ranges in RANGES:
                chosen = set_ranges(content, keywords.inputs[first], Export(ranges=ranges))
                gained[strength, ranges] += figures(chosen, keywords, second)["snr_db"]
    return max(gained, key=lambda setting: gained[setting])


def measure(keywords: Keywords) -> tuple[dict[str, list[dict[str, float]]], list[dict[str, Any]], dict[str, bytes]]:
    """Figures of each way and split; what was chosen; the files of the first split."""
    found: dict[str, list[dict[str, float]]] = {"TF converter by hand": [], "edgecompress": []}
    settings, files = [], dict[str, bytes]()
    for calibration, held_out in splits():
        strength, ranges = choose(keywords, calibration)
        content, seconds = prepare(keywords, calibration, strength)
        ours = set_ranges(content, keywords.inputs[calibration], Export(ranges=ranges))
        made = {"TF converter by hand": by_hand(keywords.model, keywords.inputs[calibration]), "edgecompress": ours}
        settings.append({"strength": strength, "ranges": ranges, "seconds": seconds})
        for way, file in made.items():
            small = shrink_export(file).content
            found[way].append({**figures(small, keywords, held_out), "bytes": len(small)})
            files.setdefault(way, small)
    return found, settings, files


def judge(results: dict[str, Any], settings: list[dict[str, Any]], times: dict[str, float] | None) -> dict[str, bool]:
    """Which of the limits are kept."""
    theirs, ours = results["TF converter by hand"], results["edgecompress"]
    met = {
        "SNR": ours["snr_db"]["mean"] >= theirs["snr_db"]["mean"] + LEAST_GAIN_DB,
        "agreement": ours["agreement"]["mean"] >= LEAST_AGREEMENT,
        "points lost": ours["points_lost"]["mean"] <= MOST_POINTS_LOST,
        "seconds": max(each["seconds"] for each in settings) < MOST_SECONDS,
    }
    return met if times is None else met | {"p50": times["edgecompress"] <= MOST_TIME * times["TF converter by hand"]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--no-times", action="store_true", help="leave the times out: on a machine that others use they say nothing")
    arguments = parser.parse_args()
    if not os.environ.get("EDGECOMPRESS_DATA"):
        parser.error("EDGECOMPRESS_DATA must name the folder of the data sets")
    keywords = read_keywords(Path(os.environ["EDGECOMPRESS_DATA"]))
    found, settings, files = measure(keywords)
    results = {way: sum_up(rows) for way, rows in found.items()}
    times = None if arguments.no_times else p50_us(files, keywords)
    met = judge(results, settings, times)
    versions = {name: version(name) for name in ("tensorflow", "ai-edge-litert", "numpy")}
    table = Table(*COLUMNS, title="keyword spotting, int8")
    for row in rows_of(results):
        table.add_row(*row)
    console = Console()
    console.print(table)
    console.print(f"chosen: {settings}\np50 in us: {times}\nmet: {met}\n{versions}")
    if arguments.json:
        record = {"versions": versions, "results": results, "splits": found, "chosen": settings, "p50_us": times, "met": met}
        arguments.json.write_text(json.dumps(record, indent=1))
    return int(not all(met.values()))


if __name__ == "__main__":
    raise SystemExit(main())
