"""What the lossless shrink reaches on published models, and that it changes nothing. One table; exit code 1 where a target is missed.

    EDGECOMPRESS_DATA=... python scripts/benchmarks/shrink.py [--parts diet,targets,peers,files,large] [--inputs 1000]
        [--runtime-python PYTHON] [--json FILE]

    diet     names, records and repeats alone, on the five MLPerf Tiny int8 models; geometric mean
    targets  vww_96_int8 and kws_ref_model: bytes, MACs, p50, equal bits on --inputs inputs under both kernel families
    peers    the Keras models of the same five networks through the TF converter and through ai-edge-quantizer, and what is left of
             their files; vww is calibrated on crops of photos, the others on noise, which makes no difference to exactness
    files    every third-party model file: equal bits where it runs, as many operators for XNNPACK; --runtime-python names a Python with
             tflite-runtime 2.14 (`scripts/test_device tflite-runtime` makes one), which must load what it loaded before
    large    seconds and memory for files of 10 MB: float, int8, and int8 with dead and equal channels in one large layer

p50 is the median of single invokes, the two files in turns in one process. Where the core has AMX, the target counts without it, and
the times with it stand beside: see `in_turns.py`. Memory is the largest resident size (VmHWM) of a process that shrinks the file, less
the same before it reads the file, with everything imported.
"""

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
from in_turns import has_amx
from rich.console import Console
from rich.table import Table

from edgecompress.errors import ModelError
from edgecompress.inspection import has_tflite_content
from edgecompress.proof import Trials
from edgecompress.shrinking import shrink
from edgecompress.tflite import list_operators, parse
from edgecompress.tflite.shrink import DIET, Settings, apply_passes

TINY = ("vww/vww_96_int8", "kws/kws_ref_model", "ic/pretrainedResnet_quant", "ad/ad01_int8", "sww/str_ww_ref_model")
KERAS = ("vww/vww_96.h5", "kws/kws_ref_model", "ic/pretrainedResnet.h5", "ad/ad01.h5", "sww/str_ww_ref_model.h5")
MOST_BYTES = {"vww/vww_96_int8": 60_000, "kws/kws_ref_model": 35_500}
KERAS_BYTES, DIET_RATIO, MOST_MACS, LEAST_SPEEDUP = 57_000, 1.20, 3_740_000, 1.25
LARGE_BYTES, LARGE_SECONDS, LARGE_MEMORY = 10_000_000, 2.0, 6.0

LOAD = "import sys; from tflite_runtime.interpreter import Interpreter as I; [I(p).allocate_tensors() for p in sys.argv[1:]]"
# VmHWM, as the ru_maxrss of a new process starts at what its parent holds.
MEASURE = """
import re, sys, time
from edgecompress.shrinking import shrink
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read()).group(1)) * 1024
before = peak()
content = open(sys.argv[1], "rb").read()
start = time.perf_counter()
shrink(content)
print(time.perf_counter() - start, peak() - before)
"""


class Row(NamedTuple):
    """One line of the table; `met` counts where there is a target."""

    what: str
    before: str
    after: str
    measured: str
    target: str = ""
    met: bool = True


def bytes_row(what: str, before: bytes, after: bytes, most: int | None = None) -> Row:
    target = "" if most is None else f"<= {most:,}"
    return Row(what, f"{len(before):,}", f"{len(after):,}", f"{len(before) / len(after):.2f}", target, most is None or len(after) <= most)


def macs(content: bytes) -> int:
    return sum(operator.macs for operator in list_operators(parse(content)))


def diet_rows(data: Path) -> Iterator[Row]:
    ratios = []
    for name in TINY:
        content = (data / "mlperf_tiny" / f"{name}.tflite").read_bytes()
        small = apply_passes(content, DIET, Settings()).content
        ratios.append(len(content) / len(small))
        yield bytes_row(f"diet, {name}", content, small)
    mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
    yield Row("diet, geometric mean", "", "", f"{mean:.3f}", f">= {DIET_RATIO}", mean >= DIET_RATIO)


def target_rows(data: Path, inputs: int) -> Iterator[Row]:
    for name in TINY:
        content, most = (data / "mlperf_tiny" / f"{name}.tflite").read_bytes(), MOST_BYTES.get(name)
        shrunk = shrink(content, trials=Trials(least=inputs, most=inputs))
        runs = shrunk.proof.runs
        yield bytes_row(f"{name}: bytes", content, shrunk.content, most)
        same = not shrunk.left_out and min(runs.get("xnnpack", 0), runs.get("builtin", 0)) >= inputs
        yield Row(f"{name}: equal bits", "", "", f"{runs}", f">= {inputs} each", same)
        if name.startswith("vww"):
            before, after = macs(content), macs(shrunk.content)
            yield Row("vww: MACs", f"{before:,}", f"{after:,}", f"{before / after:.2f}", f"<= {MOST_MACS:,}", after <= MOST_MACS)
            yield from latency_rows(content, shrunk.content)


def latency_rows(before: bytes, after: bytes) -> Iterator[Row]:
    """In turns in one process; where the core has AMX, both with it and without."""
    script = [sys.executable, str(Path(__file__).with_name("in_turns.py"))]
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("before.tflite", "after.tflite")]
        for path, content in zip(paths, (before, after), strict=True):
            path.write_bytes(content)
        for words, options in (("", ["--without-amx"]), (" with AMX", [])) if has_amx() else (("", []),):
            answer = subprocess.run([*script, *paths, *options], capture_output=True, text=True, check=True).stdout
            old, new = json.loads(answer)
            target = "" if words else f">= {LEAST_SPEEDUP}"
            yield Row(
                f"vww: p50 ms{words}", f"{old:.4f}", f"{new:.4f}", f"{old / new:.2f}", target, bool(words) or old / new >= LEAST_SPEEDUP
            )


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


def peer_rows(data: Path) -> Iterator[Row]:
    from ai_edge_quantizer import quantizer, recipe

    from edgecompress.export import convert
    from edgecompress.models import load_model
    from edgecompress.progress import Progress
    from edgecompress.recipe.schema import Export

    for name in KERAS:
        model = load_model(data / "mlperf_tiny" / name, allow_code=True)
        noise = np.random.default_rng(0).random((64, *model.input_shape[1:]), np.float32)
        samples, is_vww = (crops(data), True) if name.startswith("vww") else (noise, False)
        files = {"TF converter": convert(model, Export(format="int8"), calibration=samples, progress=Progress()).content}
        work = quantizer.Quantizer(bytearray(convert(model, Export(format="float32"), calibration=None, progress=Progress()).content))
        work.load_quantization_recipe(recipe.static_wi8_ai8())
        argument = model.inputs[0].name.split(":")[0]
        ranges = work.calibrate({"serving_default": [{argument: sample[np.newaxis]} for sample in samples]})
        files["ai-edge-quantizer"] = bytes(work.quantize(ranges).quantized_model)
        for tool, content in files.items():
            yield bytes_row(f"{name}, {tool}", content, shrink(content).content, KERAS_BYTES if is_vww else None)


def loads(python: Path, content: bytes, folder: Path) -> bool:
    """Whether the old runtime takes a file; it may crash on it."""
    path = folder / "one.tflite"
    path.write_bytes(content)
    return subprocess.run([python, "-c", LOAD, path], capture_output=True, check=False).returncode == 0


def file_rows(data: Path, old_python: Path | None) -> Iterator[Row]:
    paths = [path for path in sorted(data.rglob("*")) if path.is_file() and has_tflite_content(path)]
    equal, structure, refused, left_out, old_before, old_lost = 0, 0, [], [], 0, []
    left, sizes = [0, 0], [0, 0]  # operators that XNNPACK does not take, bytes
    with tempfile.TemporaryDirectory() as folder:
        for path in paths:
            content = path.read_bytes()
            try:
                shrunk = shrink(content)
            except ModelError as error:
                refused.append(f"{path.name}: {error}")
                continue
            equal, structure = equal + bool(shrunk.proof.runs), structure + (not shrunk.proof.runs)
            left_out += [f"{path.name}: {name}: {why}" for name, why in shrunk.left_out.items()]
            left = [total + number for total, number in zip(left, shrunk.proof.operators_left.get("xnnpack", (0, 0)), strict=True)]
            sizes = [sizes[0] + len(content), sizes[1] + len(shrunk.content)]
            if old_python is not None and loads(old_python, content, Path(folder)):
                old_before += 1
                if not loads(old_python, shrunk.content, Path(folder)):
                    old_lost.append(path.name)
    for line in refused + left_out:
        print("  ", line)
    found = f"{equal} equal bits, {structure} equal graphs, {len(refused)} refused"
    yield Row(f"{len(paths)} third-party files", f"{sizes[0]:,}", f"{sizes[1]:,}", found, "no pass left out", not left_out)
    yield Row("operators not for XNNPACK", f"{left[0]:,}", f"{left[1]:,}", "", "not more, in any file", left[1] <= left[0] and not left_out)
    if old_python is not None:
        after = old_before - len(old_lost)
        yield Row("tflite-runtime 2.14 loads", str(old_before), str(after), ", ".join(old_lost), "all of them", not old_lost)


def large_files() -> Iterator[tuple[str, bytes]]:
    """Networks of dense layers: many in float and int8, and a single one with 300 dead and 50 equal channels."""
    from edgecompress.backend import keras
    from edgecompress.export import convert
    from edgecompress.progress import Progress
    from edgecompress.recipe.schema import Export

    for words, format, weight_bytes, number in (
        ("float32", "float32", 4, 8),
        ("int8", "int8", 1, 8),
        ("int8, dead channels", "int8", 1, 1),
    ):
        width = math.isqrt(LARGE_BYTES // weight_bytes // number)
        hidden = [keras.layers.Dense(width, activation="relu") for _ in range(number)]
        model = keras.Sequential([keras.Input((width,)), *hidden, *([keras.layers.Dense(10)] if number == 1 else [])])
        if number == 1:
            kernel = hidden[0].kernel.numpy()
            kernel[:, :300], kernel[:, 300:350] = 0, kernel[:, 350:400]
            hidden[0].kernel.assign(kernel)
        samples = np.random.default_rng(0).random((20, width), np.float32)
        yield words, convert(model, Export(format=format), calibration=samples, progress=Progress()).content


def large_rows() -> Iterator[Row]:
    for words, content in large_files():
        with tempfile.NamedTemporaryFile(suffix=".tflite") as file:
            file.write(content)
            file.flush()
            answer = subprocess.run([sys.executable, "-c", MEASURE, file.name], capture_output=True, text=True, check=True).stdout
        seconds, memory = map(float, answer.split())
        times = memory / len(content)
        yield Row(f"10 MB, {words}: seconds", f"{len(content):,}", "", f"{seconds:.2f}", f"< {LARGE_SECONDS}", seconds < LARGE_SECONDS)
        yield Row(f"10 MB, {words}: memory / file", "", "", f"{times:.2f}", f"< {LARGE_MEMORY}", times < LARGE_MEMORY)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default="diet,targets,peers,files,large")
    parser.add_argument("--inputs", type=int, default=1000)
    parser.add_argument("--runtime-python", type=Path, help="a Python with tflite-runtime 2.14")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    data = Path(os.environ.get("EDGECOMPRESS_DATA", "data"))
    parts = {
        "diet": lambda: diet_rows(data),
        "targets": lambda: target_rows(data, arguments.inputs),
        "peers": lambda: peer_rows(data),
        "files": lambda: file_rows(data, arguments.runtime_python),
        "large": large_rows,
    }
    rows = [row for part in arguments.parts.split(",") for row in parts[part]()]
    table = Table("what", "before", "after", "measured", "must reach", "met")
    for row in rows:
        table.add_row(*row[:-1], ("yes" if row.met else "NO") if row.target else "")
    versions = {name: version(name) for name in ("tensorflow", "ai-edge-quantizer", "ai-edge-litert", "numpy")}
    versions["python"] = platform.python_version()
    console = Console(width=140)
    console.print(table)
    console.print(str(versions))
    if arguments.json:
        arguments.json.write_text(json.dumps({"versions": versions, "rows": [row._asdict() for row in rows]}, indent=1))
    return int(not all(row.met for row in rows))


if __name__ == "__main__":
    sys.exit(main())
