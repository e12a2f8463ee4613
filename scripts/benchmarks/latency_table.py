"""How well a latency table predicts networks that it has not seen. One table; exit code 1 where the median error is above 15 %.

    EDGECOMPRESS_DATA=... python scripts/benchmarks/latency_table.py FOLDER [--parts networks,learn,measure,report] [--minutes M]
        [--rounds 15] [--threads 1] [--json FILE]

    networks  converts builders of this package at published and other widths, float32 and int8, and copies the MLPerf Tiny files
    learn     makes or goes on with FOLDER/latency.json, see `edgecompress learn-latency`
    measure   times the networks in turns, --rounds short blocks of each; what earlier calls timed is kept and counts too
    report    predicts each network and compares

Every part can be repeated, and stops after --minutes: on a machine with other work, run `learn` and `measure` while it rests. The time of
a network is the lower quartile of the medians of its blocks, as it is for the rows of the table: a disturbance only adds time. The
median error counts each network once, float32 and int8; none of them is in the table, nor has the table anything of this package's.
"""

import argparse
import json
import os
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from edgecompress.device.rounds import measure_rounds
from edgecompress.latency import learn_latency, load_table, predict

MOST_ERROR = 0.15
# Builder, width, input shape, outputs.
BUILT = (
    ("cnn", 12, (28, 28, 1), 10), ("cnn", 32, (28, 28, 1), 10), ("cnn", 50, (32, 32, 3), 10),
    ("ds_cnn", 64, (49, 10, 1), 12), ("ds_cnn", 44, (28, 28, 1), 10),
    ("resnet8", 16, (32, 32, 3), 10), ("resnet8", 22, (28, 28, 1), 10),
    ("mobilenet_v1", 8, (96, 96, 3), 2), ("mobilenet_v1", 14, (64, 64, 3), 10),
    ("mlp", 256, (28, 28, 1), 10), ("mlp", 90, (28, 28, 1), 10), ("autoencoder", 100, (640,), 1),
)  # fmt: skip
TINY = {
    "tiny_kws_int8": "kws/kws_ref_model", "tiny_ad_float32": "ad/ad01_fp32", "tiny_ad_int8": "ad/ad01_int8",
    "tiny_ic_float32": "ic/pretrainedResnet", "tiny_ic_int8": "ic/pretrainedResnet_quant", "tiny_vww_float32": "vww/vww_96_float",
    "tiny_vww_int8": "vww/vww_96_int8", "tiny_sww_int8": "sww/str_ww_ref_model",
}  # fmt: skip


def make_networks(folder: Path) -> None:
    """Files that are not there yet."""
    from edgecompress.export import convert
    from edgecompress.models.builders import build_model
    from edgecompress.progress import Progress
    from edgecompress.recipe.schema import BuilderModel, Export

    for name, width, shape, outputs in BUILT:
        for format in ("float32", "int8"):
            path = folder / f"{name}_{width}_{format}.tflite"
            if not path.exists():
                model = build_model(BuilderModel(source="builder", name=name, width=width), shape, outputs, seed=0)
                samples = np.random.default_rng(0).normal(size=(8, *shape)).astype(np.float32)
                path.write_bytes(convert(model, Export(format=format), calibration=samples, progress=Progress()).content)
    tiny = Path(os.environ["EDGECOMPRESS_DATA"], "mlperf_tiny")
    for name, source in TINY.items():
        shutil.copyfile(tiny / f"{source}.tflite", folder / f"{name}.tflite")


def measure(folder: Path, *, rounds: int, threads: int, end: float) -> None:
    """Adds blocks of every network to measured.json, a few rounds at a time."""
    store = folder / f"measured_{threads}.json"
    blocks = json.loads(store.read_text()) if store.exists() else {}
    paths = sorted((folder / "networks").glob("*.tflite"))
    for _ in range(0, rounds, 5):
        if time.monotonic() > end:
            break
        for path, entry in zip(paths, measure_rounds(list(map(str, paths)), threads=threads, rounds=5, timeout_s=600), strict=True):
            if entry["error"]:
                raise SystemExit(f"{path}: {entry['error']}")
            blocks.setdefault(path.stem, []).extend(entry["blocks_ms"])
        store.write_text(json.dumps(blocks))


def report(folder: Path, threads: int) -> dict:
    """Each network: measured, predicted, error."""
    table = load_table(folder / "latency.json")
    blocks = json.loads((folder / f"measured_{threads}.json").read_text())
    rows = []
    for name, times in blocks.items():
        found = predict((folder / "networks" / f"{name}.tflite").read_bytes(), table, threads=threads)
        low, high = np.percentile(times, [25, 75])
        rows.append({
            "network": name, "measured_ms": low, "spread": high / low - 1, "predicted_ms": found.p50_ms, "error": found.p50_ms / low - 1,
            "inside": bool(found.low_ms <= low <= found.high_ms), "uncovered": found.uncovered,
            "uncovered_operators": list(found.uncovered_operators),
        })  # fmt: skip
    errors = np.abs([row["error"] for row in rows])
    return {
        "machine": table.machine.model_dump(), "date": f"{datetime.now(UTC):%Y-%m-%d}", "threads": threads, "rows": len(table.rows),
        "median_error": float(np.median(errors)), "p90_error": float(np.percentile(errors, 90)),
        "inside": sum(row["inside"] for row in rows), "networks": rows,
    }  # fmt: skip


def show(found: dict) -> None:
    table = Table("network", "measured ms", "spread", "predicted ms", "error", "in the interval")
    for row in found["networks"]:
        values = (f"{row['measured_ms']:.4f}", f"{row['spread']:.0%}", f"{row['predicted_ms']:.4f}", f"{row['error']:+.1%}")
        table.add_row(row["network"], *values, "yes" if row["inside"] else "no")
    Console().print(table)
    print(
        f"{len(found['networks'])} networks, {found['threads']} threads: median error {found['median_error']:.1%}, nine of ten within "
        f"{found['p90_error']:.1%}; {found['inside']} in the stated interval"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--parts", default="networks,learn,measure,report")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    parts, end = arguments.parts.split(","), time.monotonic() + 60 * arguments.minutes
    (arguments.folder / "networks").mkdir(parents=True, exist_ok=True)
    if "networks" in parts:
        make_networks(arguments.folder / "networks")
    if "measure" in parts:
        measure(arguments.folder, rounds=arguments.rounds, threads=arguments.threads, end=end)
    if "learn" in parts:
        minutes = max(1e-6, (end - time.monotonic()) / 60)
        learn_latency(arguments.folder / "latency.json", threads=[arguments.threads], minutes=minutes)
    if "report" in parts:
        found = report(arguments.folder, arguments.threads)
        show(found)
        if arguments.json:
            arguments.json.write_text(json.dumps(found, indent=1))
        raise SystemExit(found["median_error"] > MOST_ERROR)


if __name__ == "__main__":
    main()
