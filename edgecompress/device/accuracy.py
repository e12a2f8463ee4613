"""Right answers on this device, over test samples that lie in the bundle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .child import run_job
from .fault import DeviceFault
from .golden import model_inputs, read_arrays, run_samples
from .quantization import dequantize
from .runtime import TfliteModel

if TYPE_CHECKING:
    from .line import Line
    from .runtime import Kernels

_SAMPLES_AT_ONCE = 20


def measure_accuracy(model: str, samples: str, *, threads: int, kernels: Kernels = "xnnpack", timeout_s: float) -> dict[str, Any]:
    """Counts right answers.

    Args:
        model: Path of the .tflite.
        samples: An .npz with input_<i> [n, ...] in real numbers, `labels` [n] or [n, columns], and `threshold`: none where the answer is
            the place of the largest output, else the real output above which a column's answer is yes.
        threads, kernels, timeout_s: As in `benchmark_models`.

    Returns:
        samples, right (of all columns), accuracy, kernels; or `error` alone.
    """
    job = {"job": "accuracy", "model": model, "samples": samples, "threads": threads, "kernels": kernels}
    try:
        return run_job(job, timeout_s=timeout_s)
    except DeviceFault as fault:
        return {"error": fault.reason}


def count_right(job: dict[str, Any], line: Line) -> dict[str, Any]:
    """The child's side of `measure_accuracy`."""
    line.enter_phase("loading the model")
    model = TfliteModel(job["model"], threads=job.get("threads", 1), kernels=job.get("kernels", "xnnpack"))
    arrays = read_arrays(job["samples"])
    line.enter_phase("running the model")
    outputs = dequantize(_first_outputs(model, model_inputs(model, arrays), line), model.outputs[0])
    right = right_answers(outputs.reshape(len(outputs), -1), arrays["labels"], arrays["threshold"])
    line.enter_phase("letting go of the model")
    return {"samples": len(right), "right": float(right.sum()), "accuracy": float(right.mean()), "kernels": model.kernels}


def _first_outputs(model: TfliteModel, inputs: list[np.ndarray], line: Line) -> np.ndarray:
    """The first output for all samples, part by part: each part shows the parent that the model works."""
    parts = []
    for start in range(0, len(inputs[0]), _SAMPLES_AT_ONCE):
        parts.append(run_samples(model, [values[start : start + _SAMPLES_AT_ONCE] for values in inputs])[0])
        line.progress(samples=start)
    return np.concatenate(parts)


def right_answers(outputs: np.ndarray, labels: np.ndarray, threshold: np.ndarray) -> np.ndarray:
    """Per sample whether it is right, in [0, 1].

    Args:
        outputs: [n, columns], real numbers.
        labels: [n] classes, or [n, columns] of 0 and 1.
        threshold: [] or [1].
    """
    if threshold.size:
        answers = outputs > threshold[0]
        return np.mean(answers == (labels.reshape(len(labels), -1) > 0.5), axis=1)
    return np.asarray(np.argmax(outputs, axis=1) == labels, np.float64)
