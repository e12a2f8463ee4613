"""Throughput of `evaluate_tflite` against the usual one-sample Python loop, on real models and real inputs.

    EDGECOMPRESS_DATA=DATA python scripts/benchmarks/evaluation.py [--rounds 7] [--json FILE]

Both go from float32 samples to metrics, by the same metric code, and open the file within their time. The loop has its samples as one
array, quantizes all at once, then calls set_tensor, invoke and get_tensor for each; `evaluate_tflite` reads them through a split.
They take turns in one process; medians are compared. In every round two control processes also run the loop side by side: what two
cores of this machine give at that moment.

Must reach: never slower; >= 3 times the loop on the fully connected autoencoder; on convolutional nets over 100 us a sample >= 0.85 of the
two controls together; predictions and scores equal bit for bit (else exit code 1).
"""

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import tempfile
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from edgecompress.device.quantization import dequantize, quantize
from edgecompress.device.runtime import TensorSpec, TfliteModel

NUM_CONTROLS = 2
FULLY_CONNECTED_TARGET = 3.0  # times the loop
CONTROL_TARGET = 0.85  # of what the controls reach together
CONTROL_APPLIES_US = 100.0  # to convolutional nets that take longer than this per sample


@dataclass(frozen=True)
class Case:
    """One model. `inputs`: clip, speech or photos, see `real_inputs`."""

    name: str
    file: str
    inputs: str
    num_samples: int
    is_fully_connected: bool = False


CASES = (
    Case("ad01 float32", "mlperf_tiny/ad/ad01_fp32.tflite", "clip", 9800, is_fully_connected=True),
    Case("ad01 int8", "mlperf_tiny/ad/ad01_int8.tflite", "clip", 9800, is_fully_connected=True),
    Case("keyword spotting float32", "mlperf_tiny/kws/kws_ref_model_float32.tflite", "speech", 4890),
    Case("keyword spotting int8", "mlperf_tiny/kws/kws_ref_model.tflite", "speech", 4890),
    Case("resnet8 float32", "mlperf_tiny/ic/pretrainedResnet.tflite", "photos", 4000),
    Case("resnet8 int8", "mlperf_tiny/ic/pretrainedResnet_quant.tflite", "photos", 4000),
    Case("visual wake words float32", "mlperf_tiny/vww/vww_96_float.tflite", "photos", 3000),
    Case("visual wake words int8", "mlperf_tiny/vww/vww_96_int8.tflite", "photos", 3000),
    Case("resnet8 large int8", "mlperf_tiny/ic/pretrainedResnet_large_int8.tflite", "photos", 2000),
    Case("mobilenet v1 0.5 160 uint8", "tflite_coral/mobilenet_v1_0.5_160_quant.tflite", "photos", 600),
)


def plain_loop(path: str, samples: np.ndarray, source: TensorSpec, target: TensorSpec) -> np.ndarray:
    """The usual way: one sample at a time. Returns: float32 [n, ...]."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=path, num_threads=1)
    interpreter.allocate_tensors()
    rows = quantize(samples, source)
    outputs = []
    for index in range(len(rows)):
        interpreter.set_tensor(source.index, rows[index : index + 1])
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(target.index))
    return dequantize(np.concatenate(outputs), target)


def control(connection: Connection) -> None:
    """A control process: loads what it is told to, then answers each "go" with its seconds, until None."""
    while (order := connection.recv()) is not None:
        path, samples_path, source, target = order
        samples = np.load(samples_path)
        plain_loop(path, samples[:64], source, target)
        connection.send("ready")
        while connection.recv() == "go":
            started = time.perf_counter()
            plain_loop(path, samples, source, target)
            connection.send(time.perf_counter() - started)


def real_inputs(case: Case, spec: TensorSpec, data: Path) -> tuple[np.ndarray, np.ndarray]:
    """Samples float32 and labels. Only the keyword samples have labels of their own; the others are evaluated against class 0.

    clip: the 196 windows of MLPerf Tiny's machine sound, repeated. speech: the Speech Commands test set, features of each clip.
    photos: random crops, real pixels in the model's own range.
    """
    generator = np.random.default_rng(0)
    labels = np.zeros(case.num_samples, np.int64)
    if case.inputs == "clip":
        frames = np.fromfile(data / "mlperf_tiny/ad/normal_id_01_00000000_hist_librosa.bin", np.float32).reshape(200, 128)
        windows = np.stack([frames[start : start + 5].ravel() for start in range(196)])
        return np.resize(windows, (case.num_samples, 640)), labels
    if case.inputs == "speech":
        with np.load(data / "speech_commands/sc_v2_test_mfcc49x10_f16.npz") as stored:
            return stored["x"].astype(np.float32)[: case.num_samples, ..., None], stored["y"].astype(np.int64)[: case.num_samples]
    return random_crops(data / "images", spec, case.num_samples, generator), labels


def random_crops(folder: Path, spec: TensorSpec, num_samples: int, generator: np.random.Generator) -> np.ndarray:
    """Crops of the photos in the size of the input; bytes become what the file's first byte tensor means, float nets take 0..255."""
    from edgecompress.backend import tf

    files = sorted(path for path in folder.iterdir() if path.suffix in (".jpg", ".bmp"))
    photos = [tf.io.decode_image(path.read_bytes(), channels=3, expand_animations=False).numpy() for path in files]
    height, width = spec.shape[1:3]
    photos = [photo for photo in photos if photo.shape[0] >= height and photo.shape[1] >= width]
    crops = np.empty((num_samples, height, width, 3), np.uint8)
    for crop in crops:
        photo = photos[generator.integers(len(photos))]
        top, left = (generator.integers(size - wanted + 1) for size, wanted in zip(photo.shape, (height, width), strict=False))
        crop[:] = photo[top : top + height, left : left + width]
    if spec.scale is None:
        return crops.astype(np.float32)
    lowest = np.iinfo(spec.dtype).min
    return dequantize((crops.astype(np.int16) + lowest).astype(spec.dtype), spec)


def measure(case: Case, data: Path, rounds: int, controls: list[Connection], folder: Path) -> dict[str, Any]:
    """All figures of one case."""
    from edgecompress.data.array_inputs import ArrayInputs
    from edgecompress.data.split import Split
    from edgecompress.evaluation import Evaluation, evaluate_tflite
    from edgecompress.evaluation.predict import evaluate_outputs
    from edgecompress.progress import Bar, Progress
    from edgecompress.recipe.schema import Preprocess, Task

    path = str(data / case.file)
    model = TfliteModel(path)
    source, target = model.inputs[0], model.outputs[0]
    samples, labels = real_inputs(case, source, data)
    if case.is_fully_connected:
        task = Task(loss="mean_squared_error", metrics=["mean_squared_error"], target="input")
    else:
        task = Task(from_logits=False)
    split = Split(ArrayInputs(samples, case.name), labels, np.arange(len(samples)), preprocess=Preprocess(), target=task.target)
    targets = samples if case.is_fully_connected else labels

    def run_loop() -> Evaluation:
        return evaluate_outputs([(plain_loop(path, samples, source, target), targets)], task, model_name=case.name, bar=Bar())

    def run_ours() -> Evaluation:
        return evaluate_tflite(path, split, task, progress=Progress())

    expected, found = run_loop(), run_ours()  # both warm
    samples_path = folder / "samples.npy"
    np.save(samples_path, samples)
    for connection in controls:
        connection.send((path, str(samples_path), source, target))
        connection.recv()
    rates: dict[str, list[float]] = {"loop": [], "evaluate_tflite": [], "controls": []}
    for _ in range(rounds):
        for name, function in (("loop", run_loop), ("evaluate_tflite", run_ours)):
            started = time.perf_counter()
            function()
            rates[name].append(len(samples) / (time.perf_counter() - started))
        for connection in controls:
            connection.send("go")
        rates["controls"].append(sum(len(samples) / connection.recv() for connection in controls))
    for connection in controls:
        connection.send("next")
    same = np.array_equal(expected.predictions, found.predictions) and np.array_equal(expected.scores, found.scores)
    return judge(case, len(samples), {name: statistics.median(values) for name, values in rates.items()}, same)


def judge(case: Case, num_samples: int, rates: dict[str, float], same: bool) -> dict[str, Any]:
    """The figures of one case beside what it must reach."""
    loop_us = 1e6 / rates["loop"]
    speed_up, of_controls = rates["evaluate_tflite"] / rates["loop"], rates["evaluate_tflite"] / rates["controls"]
    limits = [speed_up >= (FULLY_CONNECTED_TARGET if case.is_fully_connected else 1.0)]
    if not case.is_fully_connected and loop_us > CONTROL_APPLIES_US:
        limits.append(of_controls >= CONTROL_TARGET)
    return {
        "model": case.name, "file": case.file, "inputs": case.inputs, "num_samples": num_samples, "loop_us": loop_us,
        "samples_per_second": rates, "speed_up": speed_up, "of_controls": of_controls, "same_predictions": same, "met": all(limits) and same,
    }  # fmt: skip


def show(result: dict[str, Any]) -> None:
    """One line of the table."""
    rates = result["samples_per_second"]
    print(
        f"{result['model']:<27} {result['num_samples']:>7} {result['loop_us']:>8.1f} {rates['loop']:>9.0f} {rates['evaluate_tflite']:>9.0f} "
        f"{rates['controls']:>9.0f} {result['speed_up']:>7.2f} {result['of_controls']:>8.2f}  "
        f"{'same' if result['same_predictions'] else 'DIFFERENT':<9} {'met' if result['met'] else 'missed'}",
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    data = os.environ.get("EDGECOMPRESS_DATA")
    if not data:
        parser.error("EDGECOMPRESS_DATA must name the folder of the data sets")
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in range(NUM_CONTROLS)]
    processes = [context.Process(target=control, args=(child,), daemon=True) for _, child in pipes]
    for process in processes:
        process.start()
    runtime = TfliteModel(Path(data) / CASES[0].file)
    about = {
        "runtime": runtime.runtime_name, "runtime_version": runtime.runtime_version, "python": platform.python_version(),
        "numpy": np.__version__, "cores": os.cpu_count(), "load_average": os.getloadavg(), "rounds": arguments.rounds,
    }  # fmt: skip
    print(", ".join(f"{name} {value}" for name, value in about.items()))
    print(
        f"{'model':<27} {'samples':>7} {'loop us':>8} {'loop/s':>9} {'ours/s':>9} {'2 loops/s':>9} {'speed':>7} {'of ctrl':>8}  {'outputs':<9}"
    )
    with tempfile.TemporaryDirectory() as folder:
        results = []
        for case in CASES:
            results.append(measure(case, Path(data), arguments.rounds, [parent for parent, _ in pipes], Path(folder)))
            show(results[-1])
    for parent, _ in pipes:
        parent.send(None)
    if arguments.json:
        arguments.json.write_text(json.dumps({**about, "results": results}, indent=2) + "\n")
    return 0 if all(result["same_predictions"] for result in results) else 1


if __name__ == "__main__":
    raise SystemExit(main())
