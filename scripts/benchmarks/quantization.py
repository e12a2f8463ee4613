"""Post-training quantization of MLPerf Tiny's keyword spotting, beside TensorFlow's converter and ai-edge-quantizer on the same samples.

    EDGECOMPRESS_DATA=DATA python scripts/benchmarks/quantization.py [--json FILE] [--no-times] [--parts int8,int4,...]

100 of the 1,000 official samples calibrate, 900 are held out, 4 splits; mean (worst). SNR is 10 log10(mean(float^2) / mean((float -
file)^2)) of the probabilities, bytes are those after the lossless shrink. `equalize.strength` and `export.ranges` are chosen on the
calibration samples alone: fitted on one half of them, the SNR measured on the other, both ways round; for 4 bits the strength, with ranges
of least squared error. Times are of files of the first
split, in turns in one process.

Must reach, else exit code 1:

int8      stages equalize and correct_bias, export.ranges: SNR 3 dB above the converter's, agreement .992, at most 0.5 points lost, p50 not
          above the converter's (3 % for noise), both stages in less than 10 s.
rounding  round_weights in the place of correct_bias: less than 3 minutes.
int4      Conv2D in 4 bits, the others in 8, beside ai-edge-quantizer's scales of least squared error: agreement .965, SNR 6 dB above it,
          at most 0.7 points lost, 26,000 bytes, p50 not above its.
unequal   channels of depthwise kernels scaled apart, which changes no output; one scale per kernel: within 1 point of float where the
          converter alone loses more than 10.
"""

import argparse
import json
import os
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from keywords import COLUMNS, Keywords, figures, p50_us, read_keywords, rows_of, splits, sum_up
from plain_converter import by_hand
from quantization_ways import (
    by_ai_edge_quantizer,
    choose,
    choose_for_four_bits,
    in_eight_bits,
    in_four_bits,
    per_tensor,
    rounded_to_eight_bits,
    shrunk,
)
from rich.console import Console
from rich.table import Table

from edgecompress.export.set_ranges import set_ranges
from edgecompress.recipe.schema import Export

PARTS = ("int8", "rounding", "int4", "unequal")
CONVERTER, AI_EDGE = "TF converter by hand", "ai-edge-quantizer int4 MSE"
EQUALIZED, ROUNDED, FOUR = "equalize, correct_bias, ranges", "equalize, round_weights, ranges", "equalize, round_weights, int4, mse"
UNEQUAL, EQUAL_AGAIN = "unequal, per tensor, converter", "unequal, per tensor, equalize"
NOISE = 1.03  # of a time


def measure(keywords: Keywords, parts: list[str]) -> tuple[dict[str, list[dict[str, float]]], list[dict[str, Any]], dict[str, bytes]]:
    """Figures of each way and split; what was chosen and how long it took; the files of the first split."""
    found: dict[str, list[dict[str, float]]] = {}
    settings, files = [], dict[str, bytes]()
    for calibration, held_out in splits():
        setting: dict[str, Any] = {"seconds": {}}
        strength, ranges = setting["8 bits"] = choose(keywords, calibration) if {"int8", "rounding"} & set(parts) else (0.0, "min_max")
        made = {}
        if "int8" in parts:
            content, setting["seconds"][EQUALIZED] = in_eight_bits(keywords, calibration, strength)
            made[CONVERTER] = by_hand(keywords.model, keywords.inputs[calibration])
            made[EQUALIZED] = set_ranges(content, keywords.inputs[calibration], Export.model_validate({"ranges": ranges}))
        if "rounding" in parts:
            made[ROUNDED], setting["seconds"][ROUNDED] = rounded_to_eight_bits(keywords, calibration, strength, ranges)
        if "int4" in parts:
            made[AI_EDGE] = by_ai_edge_quantizer(keywords.model)
            setting["4 bits"] = choose_for_four_bits(keywords, calibration)
            made[FOUR], setting["seconds"][FOUR] = in_four_bits(keywords, calibration, setting["4 bits"])
        if "unequal" in parts:
            made[UNEQUAL], made[EQUAL_AGAIN] = (per_tensor(keywords, calibration, equalized=equalized) for equalized in (False, True))
        settings.append(setting)
        for way, file in made.items():
            small = shrunk(file)
            found.setdefault(way, []).append({**figures(small, keywords, held_out), "bytes": len(small)})
            files.setdefault(way, small)
    return found, settings, files


def judge(results: Mapping[str, Any], settings: list[dict[str, Any]], times: Mapping[str, float] | None) -> dict[str, bool]:
    """Which of the limits are kept, of the parts that were measured."""

    def mean(way: str, name: str) -> float:
        return float(results[way][name]["mean"])

    def seconds(way: str) -> float:
        return float(min(setting["seconds"][way] for setting in settings))  # of the splits: other programs only add

    met = {}
    if EQUALIZED in results:
        met["int8 SNR"] = mean(EQUALIZED, "snr_db") >= mean(CONVERTER, "snr_db") + 3
        met["int8 agreement"] = mean(EQUALIZED, "agreement") >= 0.992
        met["int8 points"] = mean(EQUALIZED, "points_lost") <= 0.5
        met["int8 seconds"] = seconds(EQUALIZED) < 10
        if times is not None:
            met["int8 p50"] = times[EQUALIZED] <= NOISE * times[CONVERTER]
    if ROUNDED in results:
        met["rounding seconds"] = seconds(ROUNDED) < 180
    if FOUR in results:
        met["int4 agreement"] = mean(FOUR, "agreement") >= 0.965
        met["int4 SNR"] = mean(FOUR, "snr_db") >= mean(AI_EDGE, "snr_db") + 6
        met["int4 points"] = mean(FOUR, "points_lost") <= 0.7
        met["int4 bytes"] = results[FOUR]["bytes"]["worst"] <= 26_000
        if times is not None:
            met["int4 p50"] = times[FOUR] <= NOISE * times[AI_EDGE]
    if UNEQUAL in results:
        met["unequal"] = mean(UNEQUAL, "points_lost") > 10 and mean(EQUAL_AGAIN, "points_lost") <= 1
    return met


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--no-times", action="store_true", help="leave the p50 out: on a machine that others use it says nothing")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"which of {', '.join(PARTS)}")
    parser.add_argument("--keep", type=Path, help="a folder for the files of the first split")
    arguments = parser.parse_args()
    parts = arguments.parts.split(",")
    if not set(parts) <= set(PARTS):
        parser.error(f"--parts must be some of {', '.join(PARTS)}. Received: {arguments.parts}")
    if not os.environ.get("EDGECOMPRESS_DATA"):
        parser.error("EDGECOMPRESS_DATA must name the folder of the data sets")
    keywords = read_keywords(Path(os.environ["EDGECOMPRESS_DATA"]))
    found, settings, files = measure(keywords, parts)
    results = {way: sum_up(rows) for way, rows in found.items()}
    times = None if arguments.no_times else p50_us(files, keywords)
    met = judge(results, settings, times)
    versions = {name: version(name) for name in ("tensorflow", "ai-edge-litert", "ai-edge-quantizer", "numpy")}
    table = Table(*COLUMNS, title="MLPerf Tiny keyword spotting: mean (worst) of 4 splits")
    for row in rows_of(results):
        table.add_row(*row)
    console = Console(width=130)
    console.print(table)
    console.print(f"chosen: {settings}\np50 in us: {times}\nmet: {met}\n{versions}")
    if arguments.json:
        record = {"versions": versions, "results": results, "splits": found, "chosen": settings, "p50_us": times, "met": met}
        arguments.json.write_text(json.dumps(record, indent=1))
    if arguments.keep:
        arguments.keep.mkdir(parents=True, exist_ok=True)
        for way, content in files.items():
            (arguments.keep / f"{way.replace(',', '').replace(' ', '_')}.tflite").write_bytes(content)
    return int(not all(met.values()))


if __name__ == "__main__":
    raise SystemExit(main())
