"""All low-rank methods and blocks at equal MACs on the same trained network; and how long VGG16's convolutions take.

    EDGECOMPRESS_DATA=... python scripts/benchmarks/lowrank.py [--ratio 0.4] [--epochs 10,2] [--out DIR] [--json FILE]
    python scripts/benchmarks/lowrank.py --vgg [--time-limit 20]

Trains builder `cnn` on Fashion-MNIST once. Each method then works on its convolutions conv2 to conv4: at stride 1 and same
padding MACs fall like parameters, so one ratio is one number of MACs for all. Shown: relative error of the factors (largest of
the layers; of a block's outputs after the fit), validation accuracy before and after the tuning, accuracy and median
latency of the int8 file. Layers are not timed here: a method that makes them slower shows so in the last column.

--vgg: seconds to factorize the 13 convolutions of VGG16 at half their MACs. Must reach: svd and tucker2 together < 60 s
on 2 cores. CP has a time limit per layer; a layer that it does not end for is counted.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

RECIPE = """
name: lowrank
data: {{source: fashion_mnist, path: {data}, preprocess: {{scale: 1/255}}, batch_size: 128, calibration: 1000}}
model: {{source: builder, name: cnn, train: {{epochs: {epochs[0]}, schedule: cosine}}}}
stages:
  - {stage}
  - train: {{epochs: {epochs[1]}, learning_rate: 5e-4, schedule: cosine}}
export: {{format: int8}}
benchmark: {{threads: [1], runs: 1000}}
"""
CHOSEN = "layers: [conv2, conv3, conv4], timed_as: null"
VGG16 = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), *[(256, 256)] * 2, (256, 512), *[(512, 512)] * 5]
VGG_LIMIT_S = 60.0


def stages(ratio: float) -> dict[str, str]:
    """Each contender as a stage of a recipe."""
    contenders = {}
    for method in ("svd", "spatial_svd", "tucker2", "cp"):
        contenders[method] = f"factorize: {{method: {method}, ratio: {ratio}, {CHOSEN}}}"
        contenders[f"{method}, data-aware"] = f"factorize: {{method: {method}, ratio: {ratio}, data_aware: true, {CHOSEN}}}"
    for method in ("separable", "fire"):
        contenders[method] = f"replace_convolutions: {{method: {method}, squeeze: 0.25, {CHOSEN}}}"
    return contenders


def run(name: str, stage: str, epochs: list[int], out: Path) -> dict[str, Any]:
    """One contender through the whole line; the baseline comes from the folder of the first."""
    import edgecompress as ec

    recipe = out / "recipe.yaml"
    recipe.write_text(RECIPE.format(data=Path(os.environ["EDGECOMPRESS_DATA"]) / "fashion_mnist", epochs=epochs, stage=stage))
    report = ec.run(recipe, out=out / "run", quiet=True).report
    baseline, changed, tuned = report.stages[:3]
    errors = [value for layer in changed.layers for key, value in layer.after.items() if key in ("output_error", "error_after_fit")]
    errors = errors or [layer.after["error"] for layer in changed.layers if "error" in layer.after]
    final = next(entry for entry in report.benchmark if entry.model == "final")
    return {
        "method": name, "macs": changed.macs, "parameters": changed.parameters, "baseline_macs": baseline.macs,
        "error": max(errors, default=None), "before_tuning": changed.metrics["validation"]["accuracy"],
        "after_tuning": tuned.metrics["validation"]["accuracy"], "test_int8": report.metrics["final"]["tflite"]["accuracy"],
        "p50_ms": final.p50_ms, "trusted": final.trusted, "seconds": changed.seconds,
    }  # fmt: skip


def compare(arguments: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    """All contenders in turn."""
    epochs = [int(number) for number in arguments.epochs.split(",")]
    with tempfile.TemporaryDirectory() as temporary:
        out = arguments.out or Path(temporary)
        out.mkdir(parents=True, exist_ok=True)
        rows = [run(name, stage, epochs, out) for name, stage in stages(arguments.ratio).items()]
    table = Table("method", "MACs", "error", "before tuning", "after", "int8, test", "p50 ms", "seconds")
    for row in rows:
        shares = (f"{row['error']:.3f}", *(f"{row[key]:.4f}" for key in ("before_tuning", "after_tuning", "test_int8")))
        table.add_row(row["method"], f"{row['macs']:,}", *shares, f"{row['p50_ms']:.4f}", f"{row['seconds']:.1f}")
    console.print(table)
    return rows


def vgg(time_limit_s: float, console: Console) -> list[dict[str, Any]]:
    """Seconds for all convolutions of VGG16, ranks chosen by half of the parameters."""
    from edgecompress.techniques.factorize.cp import NotFound
    from edgecompress.techniques.factorize.methods import METHODS
    from edgecompress.techniques.factorize.paths import largest_within, path, path_without_spectra

    rows, generator = [], np.random.default_rng(0)
    kernels = [generator.normal(size=(3, 3, *channels)) for channels in VGG16]
    for name in ("svd", "spatial_svd", "tucker2", "cp"):
        method, started, not_found = METHODS[name], time.perf_counter(), 0
        for kernel in kernels:
            spectra = method.spectra(kernel)
            points = path(spectra) if spectra else path_without_spectra(*method.full_rank(kernel.shape))
            point = largest_within(
                points, lambda rank, k=kernel, m=method: sum(map(int, map(np.prod, m.shapes(k.shape, rank)))), kernel.size / 2
            )
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
    parser.add_argument("--ratio", type=float, default=0.4, help="MACs of each convolution after it, as a fraction")
    parser.add_argument("--epochs", default="10,2", help="of training and tuning")
    parser.add_argument("--out", type=Path, help="keeps the runs")
    parser.add_argument("--vgg", action="store_true", help="time the decompositions of VGG16's convolutions instead")
    parser.add_argument("--time-limit", type=float, default=20.0, help="seconds for one layer, cp")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    console = Console()
    rows = vgg(arguments.time_limit, console) if arguments.vgg else compare(arguments, console)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))
    seconds = {row["method"]: row["seconds"] for row in rows}
    return int(arguments.vgg and seconds["svd"] + seconds["tucker2"] >= VGG_LIMIT_S)


if __name__ == "__main__":
    sys.exit(main())
