"""What the lossless shrink reaches on published models, and that it changes nothing. One table; exit code 1 where a target is missed.

    EDGECOMPRESS_DATA=... python scripts/benchmarks/shrink.py [--parts diet,targets,h5,files,large] [--inputs 1000] [--old-python PYTHON]

    diet     names, records and repeats alone, on the five MLPerf Tiny int8 models; geometric mean
    targets  vww_96_int8 and kws_ref_model: bytes, MACs, p50, equal bits on --inputs inputs under both kernel families
    h5       vww_96.h5 through the TF converter and through ai-edge-quantizer, calibrated on crops of photos, then shrunk
    files    every third-party model file: equal bits where it runs; loads where it did, also with --old-python (tflite-runtime 2.14)
    large    seconds and memory for a file of 10 MB

A core with AMX runs the first, widest layers of vww with tiles that are mostly empty, whatever the later layers lost: there the speed-up
of p50 is smaller than on cores without. What is shown is this machine's.
"""

import argparse
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from edgecompress.benchmarking import benchmark
from edgecompress.errors import ModelError
from edgecompress.inspection import has_tflite_content
from edgecompress.proof import Trials
from edgecompress.shrinking import shrink
from edgecompress.tflite import list_operators, parse
from edgecompress.tflite.shrink import DIET, Settings, apply_passes

TINY = ("vww/vww_96_int8", "kws/kws_ref_model", "ic/pretrainedResnet_quant", "ad/ad01_int8", "sww/str_ww_ref_model")
MOST_BYTES = {"vww/vww_96_int8": 60_000, "kws/kws_ref_model": 35_500}
H5_BYTES, DIET_RATIO, MOST_MACS, LEAST_SPEEDUP = 57_000, 1.20, 3_740_000, 1.25
LARGE_BYTES, LARGE_SECONDS, LARGE_MEMORY = 10_000_000, 2.0, 6.0

LOAD = "import sys; from tflite_runtime.interpreter import Interpreter as I; [I(p).allocate_tensors() for p in sys.argv[1:]]"
# VmHWM, as the ru_maxrss of a new process starts at what its parent holds.
MEASURE = """
import re, sys, time
from edgecompress.shrinking import shrink
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read()).group(1)) * 1024
content = open(sys.argv[1], "rb").read()
before, start = peak(), time.perf_counter()
shrink(content)
print(time.perf_counter() - start, peak() - before + len(content))
"""


class Row(NamedTuple):
    """One line of the table."""

    what: str
    before: str
    after: str
    measured: str
    target: str
    met: bool


def macs(content: bytes) -> int:
    return sum(operator.macs for operator in list_operators(parse(content)))


def diet_rows(data: Path) -> Iterator[Row]:
    ratios = []
    for name in TINY:
        content = (data / "mlperf_tiny" / f"{name}.tflite").read_bytes()
        small, _ = apply_passes(content, DIET, Settings())
        ratios.append(len(content) / len(small))
        yield Row(f"diet {name}", f"{len(content):,}", f"{len(small):,}", f"{ratios[-1]:.2f}", "", True)
    mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
    yield Row("diet, geometric mean", "", "", f"{mean:.3f}", f">= {DIET_RATIO}", mean >= DIET_RATIO)


def target_rows(data: Path, inputs: int) -> Iterator[Row]:
    for name, most in MOST_BYTES.items():
        path = data / "mlperf_tiny" / f"{name}.tflite"
        content = path.read_bytes()
        shrunk = shrink(content, trials=Trials(least=inputs, most=inputs))
        small, runs = shrunk.content, shrunk.proof.runs
        same = not shrunk.left_out and min(runs.get("xnnpack", 0), runs.get("builtin", 0)) >= inputs
        yield Row(
            f"{name}: bytes", f"{len(content):,}", f"{len(small):,}", f"{len(content) / len(small):.2f}", f"<= {most:,}", len(small) <= most
        )
        yield Row(f"{name}: equal bits", "", "", str(runs), f">= {inputs} each", same)
        if name.startswith("vww"):
            yield Row("vww: MACs", f"{macs(content):,}", f"{macs(small):,}", "", f"<= {MOST_MACS:,}", macs(small) <= MOST_MACS)
            with tempfile.TemporaryDirectory() as folder:
                (Path(folder) / "small.tflite").write_bytes(small)
                entries = benchmark({"old": path, "new": Path(folder) / "small.tflite"}, runs=1000, quiet=True)
            old, new = (entry.p50_ms for entry in entries)
            yield Row("vww: p50 ms", f"{old:.4f}", f"{new:.4f}", f"{old / new:.2f}", f">= {LEAST_SPEEDUP}", old / new >= LEAST_SPEEDUP)


def crops(data: Path, number: int = 64) -> np.ndarray:
    """Square parts of the photos, 96 x 96 x 3 in [0, 1]; which ones they are does not matter for exactness."""
    from PIL import Image

    draw, images = np.random.default_rng(0), []
    photos = [Image.open(path).convert("RGB") for path in sorted((data / "images").glob("*.jpg"))]
    for index in range(number):
        photo = photos[index % len(photos)]
        side = int(draw.integers(96, min(photo.size)))
        left, top = (int(draw.integers(0, length - side + 1)) for length in photo.size)
        images.append(np.asarray(photo.crop((left, top, left + side, top + side)).resize((96, 96)), np.float32) / 255)
    return np.stack(images)


def h5_rows(data: Path) -> Iterator[Row]:
    from ai_edge_quantizer import quantizer, recipe

    from edgecompress.export import convert
    from edgecompress.models import load_model
    from edgecompress.progress import Progress
    from edgecompress.recipe.schema import Export

    model, samples = load_model(data / "mlperf_tiny" / "vww" / "vww_96.h5", allow_code=False), crops(data)
    files = {"TF converter": convert(model, Export(format="int8"), calibration=samples, progress=Progress()).content}
    work = quantizer.Quantizer(bytearray(convert(model, Export(format="float32"), calibration=None, progress=Progress()).content))
    work.load_quantization_recipe(recipe.static_wi8_ai8())
    name = model.inputs[0].name.split(":")[0]
    ranges = work.calibrate({"serving_default": [{name: sample[np.newaxis]} for sample in samples]})
    files["ai-edge-quantizer"] = bytes(work.quantize(ranges).quantized_model)
    for tool, content in files.items():
        small = shrink(content).content
        yield Row(
            f"vww_96.h5, {tool}",
            f"{len(content):,}",
            f"{len(small):,}",
            f"{len(content) / len(small):.2f}",
            f"<= {H5_BYTES:,}",
            len(small) <= H5_BYTES,
        )


def loads(python: Path, content: bytes, folder: Path) -> bool:
    """Whether the old runtime takes a file; it may crash on it."""
    path = folder / "one.tflite"
    path.write_bytes(content)
    return subprocess.run([python, "-c", LOAD, path], capture_output=True, check=False).returncode == 0


def file_rows(data: Path, old_python: Path | None) -> Iterator[Row]:
    paths = [path for path in sorted(data.rglob("*")) if path.is_file() and has_tflite_content(path)]
    same, structure, refused, left_out, old_before, old_after = 0, 0, [], [], 0, []
    with tempfile.TemporaryDirectory() as folder:
        for path in paths:
            content = path.read_bytes()
            try:
                shrunk = shrink(content)
            except ModelError as error:
                refused.append(f"{path.name}: {error}")
                continue
            same, structure = same + bool(shrunk.proof.runs), structure + (not shrunk.proof.runs)
            left_out += [f"{path.name}: {name}: {why}" for name, why in shrunk.left_out.items()]
            if old_python is not None and loads(old_python, content, Path(folder)):
                old_before += 1
                if not loads(old_python, shrunk.content, Path(folder)):
                    old_after.append(path.name)
    for line in refused + left_out:
        print("  ", line)
    yield Row(
        "third-party files",
        str(len(paths)),
        "",
        f"{same} equal bits, {structure} equal graphs, {len(refused)} refused",
        "no pass left out",
        not left_out,
    )
    if old_python is not None:
        yield Row(
            "tflite-runtime 2.14 loads",
            str(old_before),
            str(old_before - len(old_after)),
            ", ".join(old_after),
            "all of them",
            not old_after,
        )


def large_rows() -> Iterator[Row]:
    """A float network of dense layers."""
    from edgecompress.backend import keras
    from edgecompress.export import convert
    from edgecompress.progress import Progress
    from edgecompress.recipe.schema import Export

    width = math.isqrt(LARGE_BYTES // 4 // 8)
    model = keras.Sequential([keras.Input((width,)), *(keras.layers.Dense(width, activation="relu") for _ in range(8))])
    content = convert(model, Export(format="float32"), calibration=None, progress=Progress()).content
    with tempfile.NamedTemporaryFile(suffix=".tflite") as file:
        file.write(content)
        file.flush()
        seconds, memory = map(
            float, subprocess.run([sys.executable, "-c", MEASURE, file.name], capture_output=True, text=True, check=True).stdout.split()
        )
    yield Row("10 MB: seconds", f"{len(content):,}", "", f"{seconds:.2f}", f"< {LARGE_SECONDS}", seconds < LARGE_SECONDS)
    times = memory / len(content)
    yield Row("10 MB: memory / file", "", "", f"{times:.2f}", f"< {LARGE_MEMORY}", times < LARGE_MEMORY)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default="diet,targets,h5,files,large")
    parser.add_argument("--inputs", type=int, default=1000)
    parser.add_argument("--old-python", type=Path, help="a Python with tflite-runtime 2.14")
    arguments = parser.parse_args()
    data = Path(os.environ["EDGECOMPRESS_DATA"])
    parts = {
        "diet": lambda: diet_rows(data),
        "targets": lambda: target_rows(data, arguments.inputs),
        "h5": lambda: h5_rows(data),
        "files": lambda: file_rows(data, arguments.old_python),
        "large": large_rows,
    }
    rows = [row for part in arguments.parts.split(",") for row in parts[part]()]
    table = Table("what", "before", "after", "measured", "must reach", "met")
    for row in rows:
        table.add_row(*row[:-1], ("yes" if row.met else "NO") if row.target else "")
    Console(width=140).print(table)
    return int(not all(row.met for row in rows))


if __name__ == "__main__":
    sys.exit(main())
