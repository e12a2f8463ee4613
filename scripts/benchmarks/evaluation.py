"""Throughput of `evaluate_tflite` against the usual one-sample Python loop, on real models and real inputs.

    EDGECOMPRESS_DATA=DATA python scripts/benchmarks/evaluation.py [--rounds 7] [--case "ad01 int8"]... [--repeat 4] [--json FILE]

Both go from the same split to metrics, by the same metric code, and open the file within their time. The loop takes the samples batch by
batch, quantizes each batch at once, then calls set_tensor, invoke and get_tensor for every sample. They take turns in one process; medians
are compared. In every round two control processes also run the loop side by side: what two cores of this machine give at that moment.

Must reach: never slower; >= 3 times the loop on the fully connected autoencoder; on convolutional nets over 100 us a sample >= 0.85 of the
two controls together; predictions and scores equal bit for bit (else exit code 1). Figures hold for a machine that does nothing else.
"""

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from edgecompress.device.quantization import dequantize, quantize
from edgecompress.device.runtime import TensorSpec, TfliteModel

NUM_CONTROLS = 2
LOOP_BATCH = 256  # samples that the loop reads at a time
FULLY_CONNECTED_TARGET = 3.0  # times the loop
CONTROL_TARGET = 0.85  # of what the controls reach together
CONTROL_APPLIES_US = 100.0  # to convolutional nets that take longer than this per sample
# Samples of the sets that the nets are judged on: what is paid once, opening and probing, has the weight that it has there.
CIFAR_10 = VISUAL_WAKE_WORDS = 10_000  # the test images of CIFAR-10; about a tenth of the 109,619 images of Visual Wake Words
IMAGENET_PART = 2000  # of 50,000, which would take minutes a round


@dataclass(frozen=True)
class Case:
    """One model. `inputs`: clip, speech or photos, see `real_inputs`."""

    name: str
    file: str
    inputs: str
    num_samples: int
    is_fully_connected: bool = False


CASES = (
    Case("ad01 float32", "mlperf_tiny/ad/ad01_fp32.tflite", "clip", 48608, is_fully_connected=True),
    Case("ad01 int8", "mlperf_tiny/ad/ad01_int8.tflite", "clip", 48608, is_fully_connected=True),
    Case("keyword spotting float32", "mlperf_tiny/kws/kws_ref_model_float32.tflite", "speech", 4890),
    Case("keyword spotting int8", "mlperf_tiny/kws/kws_ref_model.tflite", "speech", 4890),
    Case("resnet8 float32", "mlperf_tiny/ic/pretrainedResnet.tflite", "photos", CIFAR_10),
    Case("resnet8 int8", "mlperf_tiny/ic/pretrainedResnet_quant.tflite", "photos", CIFAR_10),
    Case("visual wake words float32", "mlperf_tiny/vww/vww_96_float.tflite", "photos", VISUAL_WAKE_WORDS),
    Case("visual wake words int8", "mlperf_tiny/vww/vww_96_int8.tflite", "photos", VISUAL_WAKE_WORDS),
    Case("resnet8 large int8", "mlperf_tiny/ic/pretrainedResnet_large_int8.tflite", "photos", CIFAR_10),
    Case("mobilenet v1 0.5 160 uint8", "tflite_coral/mobilenet_v1_0.5_160_quant.tflite", "photos", IMAGENET_PART),
)


def loop_batches(split: Any) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """What the loop reads at a time: of the arrays, where `evaluate_tflite` too takes samples from where they lie; else of tf.data."""
    if (arrays := split.in_place()) is None:
        yield from split.dataset(LOOP_BATCH).as_numpy_iterator()
        return
    for start in range(0, len(split), LOOP_BATCH):
        yield tuple(array[start : start + LOOP_BATCH] for array in arrays)


def plain_loop(path: str, split: Any, source: TensorSpec, target: TensorSpec) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The usual way: one sample at a time. Yields (outputs float32 [b, ...], targets)."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=path, num_threads=1)
    interpreter.allocate_tensors()
    for inputs, targets in loop_batches(split):
        rows = quantize(inputs, source)
        outputs = []
        for index in range(len(rows)):
            interpreter.set_tensor(source.index, rows[index : index + 1])
            interpreter.invoke()
            outputs.append(interpreter.get_tensor(target.index))
        yield dequantize(np.concatenate(outputs), target), targets


def make_task(case: Case) -> Any:
    """An autoencoder gives its input back; the others classify."""
    from edgecompress.recipe.schema import Task

    if case.is_fully_connected:
        return Task(loss="mean_squared_error", metrics=["mean_squared_error"], target="input")
    return Task(from_logits=False)


def run_loop(case: Case, path: str, split: Any) -> Any:
    """The loop to its `Evaluation`."""
    from edgecompress.evaluation.predict import evaluate_outputs
    from edgecompress.progress import Bar

    model = TfliteModel(path)
    outputs = plain_loop(path, split, model.inputs[0], model.outputs[0])
    return evaluate_outputs(outputs, make_task(case), model_name=case.name, bar=Bar())


def make_split(case: Case, samples: np.ndarray, labels: np.ndarray, scale: float, mean: float, repeat: int) -> Any:
    """The samples, `repeat` times one after the other, as every source gives them."""
    from edgecompress.data.array_inputs import ArrayInputs
    from edgecompress.data.split import Split
    from edgecompress.recipe.schema import Preprocess

    preprocess = Preprocess(scale=scale, mean=[mean])
    samples, labels = (np.concatenate([array] * repeat) for array in (samples, labels))
    rows = np.arange(len(samples))
    return Split(ArrayInputs(samples, case.name), labels, rows, preprocess=preprocess, target=make_task(case).target)


def control(connection: Connection) -> None:
    """A control process: makes itself ready for each case it is sent, then answers each "go" with its seconds, until None."""
    while (order := connection.recv()) is not None:
        case, path, samples_path, repeat = order
        with np.load(samples_path) as stored:
            split = make_split(case, stored["samples"], stored["labels"], float(stored["scale"]), float(stored["mean"]), repeat)
        run_loop(case, path, split)
        connection.send("ready")
        while connection.recv() == "go":
            started = time.perf_counter()
            run_loop(case, path, split)
            connection.send(time.perf_counter() - started)


def real_inputs(case: Case, spec: TensorSpec, data: Path) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Samples, labels, and what makes the model's inputs of the samples: `samples * scale - mean`.

    clip: the 196 windows of MLPerf Tiny's one machine sound, repeated to the size of its test set, 248 sounds.
    speech: MLPerf Tiny's features of the Speech Commands test set, with their labels.
    photos: random crops of photos, as bytes. They have no labels; class 0 stands for all.
    """
    labels = np.zeros(case.num_samples, np.int64)
    if case.inputs == "clip":
        frames = np.fromfile(data / "mlperf_tiny/ad/normal_id_01_00000000_hist_librosa.bin", np.float32).reshape(200, 128)
        windows = np.stack([frames[start : start + 5].ravel() for start in range(196)])
        return np.resize(windows, (case.num_samples, 640)), labels, 1.0, 0.0
    if case.inputs == "speech":
        with np.load(data / "speech_commands/sc_v2_test_mfcc49x10_f16.npz") as stored:
            return stored["x"].astype(np.float32)[..., None], stored["y"].astype(np.int64), 1.0, 0.0
    crops = random_crops(data / "images", spec.shape[1], spec.shape[2], case.num_samples)
    if spec.scale is None:  # float nets take bytes as they are: their speed does not depend on the range
        return crops, labels, 1.0, 0.0
    return crops, labels, spec.scale, spec.scale * ((spec.zero_point or 0) - float(np.iinfo(spec.dtype).min))


def random_crops(folder: Path, height: int, width: int, num_samples: int) -> np.ndarray:
    """uint8 [num_samples, height, width, 3]."""
    from edgecompress.backend import tf

    files = sorted(path for path in folder.iterdir() if path.suffix in (".jpg", ".bmp"))
    photos = [tf.io.decode_image(path.read_bytes(), channels=3, expand_animations=False).numpy() for path in files]
    photos = [photo for photo in photos if photo.shape[0] >= height and photo.shape[1] >= width]
    generator = np.random.default_rng(0)
    crops = np.empty((num_samples, height, width, 3), np.uint8)
    for crop in crops:
        photo = photos[generator.integers(len(photos))]
        top, left = generator.integers(photo.shape[0] - height + 1), generator.integers(photo.shape[1] - width + 1)
        crop[:] = photo[top : top + height, left : left + width]
    return crops


def measure(case: Case, data: Path, rounds: int, repeat: int, controls: list[Connection], folder: Path) -> dict[str, Any]:
    """All figures of one case."""
    from edgecompress.evaluation import evaluate_tflite
    from edgecompress.progress import Progress

    path, stored = str(data / case.file), folder / "samples.npz"
    samples, labels, scale, mean = real_inputs(case, TfliteModel(path).inputs[0], data)
    np.savez(stored, samples=samples, labels=labels, scale=scale, mean=mean)
    for connection in controls:
        connection.send((case, path, str(stored), repeat))
    split = make_split(case, samples, labels, scale, mean, repeat)
    runs: dict[str, Callable[[], Any]] = {
        "loop": lambda: run_loop(case, path, split),
        "evaluate_tflite": lambda: evaluate_tflite(path, split, make_task(case), progress=Progress()),
    }
    for connection in controls:
        connection.recv()
    expected, found = (run() for run in runs.values())  # and all is warm
    rates: dict[str, list[float]] = {"loop": [], "evaluate_tflite": [], "controls": []}
    for _ in range(rounds):
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            rates[name].append(len(split) / (time.perf_counter() - started))
        for connection in controls:
            connection.send("go")
        rates["controls"].append(sum(len(split) / connection.recv() for connection in controls))
    for connection in controls:
        connection.send("next")
    same = np.array_equal(expected.predictions, found.predictions) and np.array_equal(expected.scores, found.scores)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    return judge(case, len(split), medians, same, found.metrics[make_task(case).metrics[0]])


def judge(case: Case, num_samples: int, rates: dict[str, float], same: bool, metric: float) -> dict[str, Any]:
    """The figures of one case beside what it must reach."""
    loop_us = 1e6 / rates["loop"]
    speed_up, of_controls = rates["evaluate_tflite"] / rates["loop"], rates["evaluate_tflite"] / rates["controls"]
    met = same and speed_up >= (FULLY_CONNECTED_TARGET if case.is_fully_connected else 1.0)
    if not case.is_fully_connected and loop_us > CONTROL_APPLIES_US:
        met = met and of_controls >= CONTROL_TARGET
    return {
        "model": case.name, "file": case.file, "inputs": case.inputs, "num_samples": num_samples, "metric": metric, "loop_us": loop_us,
        "samples_per_second": rates, "speed_up": speed_up, "of_controls": of_controls, "same_predictions": same, "met": met,
    }  # fmt: skip


def show(result: dict[str, Any]) -> None:
    """One line of the table."""
    rates = result["samples_per_second"]
    print(
        f"{result['model']:<27} {result['num_samples']:>7} {result['loop_us']:>8.1f} {rates['loop']:>9.0f} "
        f"{rates['evaluate_tflite']:>9.0f} {rates['controls']:>9.0f} {result['speed_up']:>7.2f} {result['of_controls']:>8.2f}  "
        f"{'same' if result['same_predictions'] else 'DIFFERENT':<9} {'met' if result['met'] else 'missed'}",
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--case", choices=[case.name for case in CASES], action="append", help="only this one; may be given several times")
    parser.add_argument("--repeat", type=int, default=1, help="all samples so often: tells what an evaluation costs once from the rest")
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
        "repeat": arguments.repeat,
    }  # fmt: skip
    print(", ".join(f"{name} {value}" for name, value in about.items()))
    columns = (f"{name:>9}" for name in ("loop/s", "ours/s", "2 loops/s"))
    print(f"{'model':<27} {'samples':>7} {'loop us':>8} {' '.join(columns)} {'speedup':>7} {'of ctrl':>8}  outputs")
    with tempfile.TemporaryDirectory() as folder:
        results = []
        for case in (case for case in CASES if not arguments.case or case.name in arguments.case):
            results.append(measure(case, Path(data), arguments.rounds, arguments.repeat, [parent for parent, _ in pipes], Path(folder)))
            show(results[-1])
    for parent, _ in pipes:
        parent.send(None)
    if arguments.json:
        arguments.json.write_text(json.dumps({**about, "results": results}, indent=2) + "\n")
    return 0 if all(result["same_predictions"] for result in results) else 1


if __name__ == "__main__":
    raise SystemExit(main())
