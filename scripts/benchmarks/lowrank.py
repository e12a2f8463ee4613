"""All low-rank methods and blocks at equal MACs on the same trained network; and how long VGG16's convolutions take.

    EDGECOMPRESS_DATA=... python scripts/benchmarks/lowrank.py [--samples 60000] [--ratio 0.135] [--epochs 5,1] [--out DIR] [--json FILE]
    EDGECOMPRESS_DATA=... python scripts/benchmarks/lowrank.py --out DIR --times    times the files of DIR once more, trains nothing
    python scripts/benchmarks/lowrank.py --vgg [--methods svd,spatial_svd,tucker2,cp] [--time-limit 20]

Trains builder `cnn` on Fashion-MNIST once. Each contender then works on its convolutions conv2 to conv4: at stride 1 and same
padding MACs fall like parameters, so one ratio is one number of MACs for all. The default is what the separable blocks leave,
which have no choice; fire blocks squeeze to a fifth, which is as much. Shown: relative error on the weights (data-aware and blocks:
on the outputs), the largest of the layers; validation accuracy before and after the tuning; accuracy and median latency of the int8
file, all files in turns. Layers are not timed here: a method that makes them slower shows so in the last column.

--vgg: seconds to factorize the 13 convolutions of VGG16 at half their MACs. Must reach: svd and tucker2 together < 60 s
on 2 cores. CP has a time limit per layer; a layer that it does not end for is counted.
"""

import argparse
import gzip
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from importlib.metadata import version
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

RECIPE = """
name: lowrank
data: {{source: npz, path: {data}, preprocess: {{scale: 1/255}}, batch_size: 128, calibration: 1000}}
model: {{source: builder, name: cnn, train: {{epochs: {epochs[0]}, schedule: cosine}}}}
stages:
  - {stage}
  - train: {{epochs: {epochs[1]}, learning_rate: 5e-4, schedule: cosine}}
export: {{format: int8}}
benchmark: null
"""
CHOSEN = "layers: [conv2, conv3, conv4], timed_as: null"
METHODS = ("svd", "spatial_svd", "tucker2", "cp")
PLAIN = "plain int8"
VGG16 = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), *[(256, 256)] * 2, (256, 512), *[(512, 512)] * 5]
VGG_LIMIT_S = 60.0

Row = dict[str, Any]


def stages(ratio: float) -> dict[str, str]:
    """Each contender as a stage of a recipe."""
    contenders = {}
    for method in METHODS:
        contenders[method] = f"factorize: {{method: {method}, ratio: {ratio}, {CHOSEN}}}"
        contenders[f"{method}, data-aware"] = f"factorize: {{method: {method}, ratio: {ratio}, data_aware: true, {CHOSEN}}}"
    for method in ("separable", "fire"):
        contenders[method] = f"replace_convolutions: {{method: {method}, squeeze: 0.2, {CHOSEN}}}"
    return contenders


def write_data(samples: int, path: Path) -> None:
    """The first images of Fashion-MNIST's train part, which are in no order, and all of its test part."""
    folder = Path(os.environ["EDGECOMPRESS_DATA"]) / "fashion_mnist"

    def read(name: str, header: int, most: int | None) -> np.ndarray:
        return np.frombuffer(gzip.decompress((folder / f"{name}-ubyte.gz").read_bytes()), np.uint8, offset=header)[:most]

    arrays = {}
    for words, part, most in (("train", "train", samples), ("test", "t10k", 10_000)):
        arrays[f"x_{words}"] = read(f"{part}-images-idx3", 16, 28 * 28 * most).reshape(-1, 28, 28, 1)
        arrays[f"y_{words}"] = read(f"{part}-labels-idx1", 8, most).astype(np.int64)
    np.savez(path, **arrays)


def run(name: str, stage: str, epochs: list[int], out: Path) -> Row:
    """One contender through the whole line; the baseline comes from the folder of the first."""
    import edgecompress as ec

    recipe = out / "recipe.yaml"
    recipe.write_text(RECIPE.format(data=out / "data.npz", epochs=epochs, stage=stage))
    report = ec.run(recipe, out=out / "run", quiet=True).report
    baseline, changed, tuned = report.stages[:3]
    errors = [value for layer in changed.layers for key, value in layer.after.items() if key in ("output_error", "error_after_fit")]
    errors = errors or [layer.after["error"] for layer in changed.layers if "error" in layer.after]
    for file, contender in (("model", name), ("plain", PLAIN)):
        shutil.copy(out / "run" / f"{file}.tflite", out / f"{contender}.tflite")
    return {
        "method": name, "macs": changed.macs, "parameters": changed.parameters, "baseline_macs": baseline.macs,
        "baseline_accuracy": baseline.metrics["validation"]["accuracy"],
        "error": max(errors, default=None), "before_tuning": changed.metrics["validation"]["accuracy"],
        "after_tuning": tuned.metrics["validation"]["accuracy"], "test_int8": report.metrics["final"]["tflite"]["accuracy"],
        "bytes": report.artifact.bytes, "seconds": changed.seconds,
    }  # fmt: skip


def compare(arguments: argparse.Namespace, out: Path) -> list[Row]:
    """All contenders in turn; those that are in the folder already are not run again."""
    epochs, done = [int(number) for number in arguments.epochs.split(",")], out / "rows.json"
    rows: list[Row] = json.loads(done.read_text()) if done.exists() else []
    if not (out / "data.npz").exists():
        write_data(arguments.samples, out / "data.npz")
    for name, stage in {} if arguments.times else stages(arguments.ratio).items():
        if name not in {row["method"] for row in rows}:
            rows.append(run(name, stage, epochs, out))
            done.write_text(json.dumps(rows))
    return rows


def time_files(names: list[str], out: Path) -> dict[str, Row]:
    """Median latency of all files, which take turns on one thread."""
    from edgecompress.benchmarking import benchmark

    entries = benchmark({name: out / f"{name}.tflite" for name in names}, runs=1000, quiet=True)
    return {entry.model: {"p50_ms": entry.p50_ms, "trusted": entry.trusted} for entry in entries}


def show(rows: list[Row], times: Mapping[str, Row], console: Console) -> None:
    console.print(f"baseline: {rows[0]['baseline_macs']:,} MACs, validation {rows[0]['baseline_accuracy']:.4f}")
    console.print(f"{PLAIN}: p50 {times[PLAIN]['p50_ms']:.4f} ms; all times trusted: {all(row['trusted'] for row in times.values())}")
    table = Table("method", "MACs", "parameters", "error", "before tuning", "after", "int8, test", "p50 ms", "seconds")
    for row in rows:
        shares = (f"{row['error']:.3f}", *(f"{row[key]:.4f}" for key in ("before_tuning", "after_tuning", "test_int8")))
        p50 = f"{times[row['method']]['p50_ms']:.4f}"
        table.add_row(row["method"], f"{row['macs']:,}", f"{row['parameters']:,}", *shares, p50, f"{row['seconds']:.1f}")
    console.print(table)


def vgg(methods: list[str], time_limit_s: float, console: Console) -> list[Row]:
    """Seconds for all convolutions of VGG16, ranks chosen by half of the parameters."""
    from edgecompress.techniques.factorize.cp import NotFound
    from edgecompress.techniques.factorize.methods import METHODS as TABLE
    from edgecompress.techniques.factorize.paths import largest_within, path, path_without_spectra

    rows, generator = [], np.random.default_rng(0)
    kernels = [generator.normal(size=(3, 3, *channels)) for channels in VGG16]
    for name in methods:
        method, started, not_found = TABLE[name], time.perf_counter(), 0
        for kernel in kernels:
            spectra = method.spectra(kernel)
            points = path(spectra) if spectra else path_without_spectra(*method.full_rank(kernel.shape))
            point = largest_within(points, lambda rank, k=kernel, m=method: sum(map(prod, m.shapes(k.shape, rank))), kernel.size / 2)
            try:
                method.factorize(kernel, point.rank, 0, time_limit_s)
            except NotFound:
                not_found += 1
        rows.append({"method": name, "seconds": time.perf_counter() - started, "not_found": not_found})
    table = Table("method", "seconds for 13 convolutions", "out of time")
    for row in rows:
        table.add_row(row["method"], f"{row['seconds']:.1f}", str(row["not_found"]))
    console.print(table)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=60_000, help="images to train on, the validation split among them")
    parser.add_argument("--ratio", type=float, default=0.135, help="MACs of each convolution after it, as a fraction")
    parser.add_argument("--epochs", default="5,1", help="of training and tuning")
    parser.add_argument("--out", type=Path, help="keeps files and results, and goes on with what is there")
    parser.add_argument("--times", action="store_true", help="time the files of --out again")
    parser.add_argument("--vgg", action="store_true", help="time the decompositions of VGG16's convolutions instead")
    parser.add_argument("--methods", default=",".join(METHODS), help="of --vgg")
    parser.add_argument("--time-limit", type=float, default=20.0, help="seconds for one layer, cp")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    console = Console(width=140)
    versions = {name: version(name) for name in ("tensorflow", "tensorly", "ai-edge-litert", "numpy")} | {
        "python": platform.python_version()
    }
    if arguments.vgg:
        rows = vgg(arguments.methods.split(","), arguments.time_limit, console)
        seconds = sum(row["seconds"] for row in rows if row["method"] in ("svd", "tucker2"))
        met = seconds < VGG_LIMIT_S
        console.print(f"svd and tucker2 together {seconds:.1f} s, must be < {VGG_LIMIT_S:g}: {met}; {versions}")
    else:
        met = True
        with tempfile.TemporaryDirectory() as temporary:
            out = arguments.out or Path(temporary)
            out.mkdir(parents=True, exist_ok=True)
            rows = compare(arguments, out)
            times = time_files([PLAIN, *(row["method"] for row in rows)], out)
        rows = [{**row, **times[row["method"]]} for row in rows]
        show(rows, times, console)
        console.print(str(versions))
    if arguments.json:
        arguments.json.write_text(json.dumps({"versions": versions, "rows": rows, "met": met}, indent=1))
    return int(not met)


if __name__ == "__main__":
    sys.exit(main())
