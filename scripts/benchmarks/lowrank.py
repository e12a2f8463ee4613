"""All low-rank methods and blocks at equal MACs on the same trained network; and how long VGG16's convolutions take.

    EDGECOMPRESS_DATA=... python scripts/benchmarks/lowrank.py [--images 12000] [--ratio 0.155] [--epochs 6,1] [--out DIR] [--json FILE]
    EDGECOMPRESS_DATA=... python scripts/benchmarks/lowrank.py --out DIR --times    times the files of DIR once more, trains nothing
    python scripts/benchmarks/lowrank.py --vgg [--methods svd,spatial_svd,tucker2,cp] [--time-limit 20]

Trains builder `cnn` at width 16 on images of Fashion-MNIST, once. Each contender then works on its convolutions conv2 to conv4: at
stride 1 and same padding MACs fall like parameters, so one ratio is one number of MACs for all. The default is what the separable
blocks leave, which have no choice; fire blocks squeeze to a quarter, which is about as much. Shown: relative error on the weights
(data-aware and blocks: on the outputs), the largest of the layers; accuracy on the 10,000 test images before and after tuning, and of
the int8 file; its median latency, all files in turns. Layers are not timed here: a method that makes them slower shows so in the
last column. A call with the same --out goes on after what is there.

--vgg: seconds to factorize the 13 convolutions of VGG16 at half their MACs. Must reach: svd and tucker2 together < 60 s
on 2 cores. CP has a time limit per layer; a layer that it does not end for is counted.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from dataclasses import replace
from importlib.metadata import version
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

METHODS = ("svd", "spatial_svd", "tucker2", "cp")
PLAIN = "plain int8"
VGG16 = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), *[(256, 256)] * 2, (256, 512), *[(512, 512)] * 5]
VGG_LIMIT_S = 60.0

NETWORK, LAYERS = {"name": "cnn", "width": 16}, ["conv2", "conv3", "conv4"]
NUM_CALIBRATION = 500

Row = dict[str, Any]


def contenders(ratio: float) -> dict[str, Any]:
    """Configs by name."""
    from edgecompress.recipe.stages import Factorize, ReplaceConvolutions

    chosen: dict[str, Any] = {"layers": LAYERS, "timed_as": None}
    found = {}
    for method in METHODS:
        found[method] = Factorize(method=method, ratio=ratio, **chosen)
        found[f"{method}, data-aware"] = Factorize(method=method, ratio=ratio, data_aware=True, **chosen)
    for method in ("separable", "fire"):
        found[method] = ReplaceConvolutions(method=method, squeeze=0.25, **chosen)
    return found


class Bench:
    """What all contenders share: data, the trained network, a folder for files and results."""

    def __init__(self, images: int, epochs: list[int], out: Path) -> None:
        from edgecompress.data import load_data
        from edgecompress.models import build_model, load_model, save_model
        from edgecompress.progress import Progress
        from edgecompress.recipe.schema import BuilderModel, Data, Preprocess, Task
        from edgecompress.stage import Context

        self.out, self.tuning_epochs = out, epochs[1]
        config = Data(
            source="fashion_mnist", path=str(Path(os.environ["EDGECOMPRESS_DATA"]) / "fashion_mnist"),
            preprocess=Preprocess(scale=1 / 255), limit=images, calibration=NUM_CALIBRATION, batch_size=128,
        )  # fmt: skip
        self.data = load_data(config, Task(), seed=0)
        self.context = Context("benchmark", self.data, Task(), 0, None, (), out / "training", Progress(), lambda model: {})
        trained = out / "trained.h5"
        if not trained.exists():
            builder = BuilderModel(source="builder", **NETWORK)
            model = build_model(builder, self.data.input_shape, self.data.num_outputs, seed=0)
            self.train(model, epochs[0], 2e-3, "trained")
            save_model(model, trained)
        self.model = load_model(trained)

    def train(self, model: Any, epochs: int, learning_rate: float, name: str) -> None:
        """In place."""
        from edgecompress.recipe.training import Training
        from edgecompress.training import fit

        folder = self.out / "training" / name
        folder.mkdir(parents=True, exist_ok=True)
        fit(model, Training(epochs=epochs, learning_rate=learning_rate, schedule="cosine"), replace(self.context, folder=folder))

    def accuracy(self, model: Any) -> float:
        """Of a Keras model."""
        from edgecompress.evaluation import evaluate_keras

        found = evaluate_keras(model, self.data.test, self.context.task, batch_size=500, progress=self.context.progress)
        return float(found.metrics["accuracy"])

    def export(self, model: Any, name: str) -> tuple[float, int]:
        """Accuracy and bytes of the int8 file, which stays in the folder."""
        from edgecompress.evaluation import evaluate_tflite
        from edgecompress.export import convert
        from edgecompress.recipe.schema import Export

        samples, path = self.data.calibration.arrays()[0], self.out / f"{name}.tflite"
        path.write_bytes(convert(model, Export(format="int8"), calibration=samples, progress=self.context.progress).content)
        found = evaluate_tflite(path, self.data.test, self.context.task, progress=self.context.progress)
        return float(found.metrics["accuracy"]), path.stat().st_size

    def run(self, name: str, config: Any) -> Row:
        """One contender."""
        from edgecompress.graph.layers import describe_layers, total
        from edgecompress.techniques import factorize, replace_convolutions

        started = time.perf_counter()
        apply = factorize.apply if config.technique == "factorize" else replace_convolutions.apply
        result = apply(self.model, config, replace(self.context, folder=self.out / "training" / name))
        seconds, counted = time.perf_counter() - started, total(describe_layers(result.model))
        errors = [value for layer in result.layers for key, value in layer.after.items() if key in ("output_error", "error_after_fit")]
        errors = errors or [layer.after["error"] for layer in result.layers if "error" in layer.after]
        before = self.accuracy(result.model)
        self.train(result.model, self.tuning_epochs, 1e-3, name)
        int8, size = self.export(result.model, name)
        return {
            "method": name, "macs": counted.macs, "parameters": counted.parameters, "error": max(errors, default=None),
            "before_tuning": before, "after_tuning": self.accuracy(result.model), "int8": int8, "bytes": size, "seconds": seconds,
        }  # fmt: skip

    def run_network(self) -> Row:
        """The network as it is."""
        from edgecompress.graph.layers import describe_layers, total

        counted, accuracy = total(describe_layers(self.model)), self.accuracy(self.model)
        int8, size = self.export(self.model, PLAIN)
        return {
            "method": PLAIN, "macs": counted.macs, "parameters": counted.parameters, "error": 0.0,
            "before_tuning": accuracy, "after_tuning": accuracy, "int8": int8, "bytes": size, "seconds": 0.0,
        }  # fmt: skip


def compare(arguments: argparse.Namespace, out: Path) -> list[Row]:
    """All contenders in turn; those that are in the folder already are not run again."""
    done = out / "rows.json"
    rows: list[Row] = json.loads(done.read_text()) if done.exists() else []
    if arguments.times:
        return rows
    bench = Bench(arguments.images, [int(number) for number in arguments.epochs.split(",")], out)
    for name, config in {PLAIN: None, **contenders(arguments.ratio)}.items():
        if name not in {row["method"] for row in rows}:
            rows.append(bench.run_network() if config is None else bench.run(name, config))
            done.write_text(json.dumps(rows))
    return rows


def time_files(names: list[str], out: Path) -> dict[str, Row]:
    """Median latency of all files, which take turns on one thread."""
    from edgecompress.benchmarking import benchmark

    entries = benchmark({name: out / f"{name}.tflite" for name in names}, runs=1000, quiet=True)
    return {entry.model: {"p50_ms": entry.p50_ms, "trusted": entry.trusted} for entry in entries}


def show(rows: list[Row], console: Console) -> None:
    table = Table("method", "MACs", "parameters", "error", "before tuning", "after", "int8", "p50 ms", "seconds")
    for row in rows:
        shares = (f"{row['error']:.3f}", *(f"{100 * row[key]:.2f} %" for key in ("before_tuning", "after_tuning", "int8")))
        table.add_row(row["method"], f"{row['macs']:,}", f"{row['parameters']:,}", *shares, f"{row['p50_ms']:.4f}", f"{row['seconds']:.1f}")
    console.print(table)
    console.print(f"all times trusted: {all(row['trusted'] for row in rows)}")


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
    parser.add_argument("--images", type=int, default=12_000, help="to train on, the validation split among them")
    parser.add_argument("--ratio", type=float, default=0.155, help="MACs of each convolution after it, as a fraction")
    parser.add_argument("--epochs", default="6,1", help="of training and tuning")
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
            times = time_files([row["method"] for row in rows], out)
        rows = [{**row, **times[row["method"]]} for row in rows]
        show(rows, console)
        console.print(str(versions))
    if arguments.json:
        arguments.json.write_text(json.dumps({"versions": versions, "rows": rows, "met": met}, indent=1))
    return int(not met)


if __name__ == "__main__":
    sys.exit(main())
