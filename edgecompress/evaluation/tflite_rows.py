"""A .tflite as a function on rows of samples: float32 in, float32 out, with as little Python per sample as there can be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgecompress.device import DeviceFault
from edgecompress.device.installed import find_runtime
from edgecompress.device.quantization import dequantize, quantize
from edgecompress.device.runtime import TfliteModel
from edgecompress.errors import DeviceError, ModelError


def check_runtime() -> None:
    """Imports the runtime, so that the time to open a model does not hold it.

    Raises:
        DeviceError: there is none.
    """
    try:
        find_runtime()
    except DeviceFault as fault:
        raise DeviceError(fault.reason) from fault


def open_model(path: Path, *, batch_size: int | None = None, threads: int = 1) -> TfliteModel:
    """Loads a file of one output.

    Args:
        batch_size: samples per invoke; None keeps the file's own number.
        threads: of the runtime, for the operators of one invoke.
    Raises:
        DeviceFault: a file that cannot be read or that the runtime refuses.
        ModelError: a file of several outputs, or without a batch dimension.
    """
    model = TfliteModel(path, threads=threads, batch_size=batch_size)
    if len(model.outputs) != 1:
        raise ModelError(f"{path}: the model must have one output. Received: {len(model.outputs)}.")
    if not all(spec.shape for spec in model.inputs):
        raise ModelError(f"{path}: the model's input must have a batch dimension. Received: a scalar.")
    return model


def sample_size(model: TfliteModel) -> int:
    """Values of one sample, in all inputs."""
    return sum(math.prod(spec.shape[1:]) for spec in model.inputs)


def predict_rows(model: TfliteModel, samples: np.ndarray) -> np.ndarray:
    """Outputs of independent samples, run in the model's own batches.

    State that a model carries from one invoke to the next (the variables of an LSTM) is reset before each invoke: without
    that, a prediction would depend on the samples before it. A last, partial batch is filled up with its last sample.

    Args:
        samples: float32 [n, ...], n >= 1, in the shape of the model's input; for several inputs [n, sample_size], the values of
            the inputs behind each other. Best no larger than the processor's cache.
    Returns: float32 [n, ...].
    Raises:
        DeviceFault: the runtime fails, or the model does not give one row per sample.
    """
    return real_rows(model, run_rows(model, stored_rows(model, samples)))


def stored_rows(model: TfliteModel, samples: np.ndarray) -> list[np.ndarray]:
    """Samples, see `predict_rows`, in the types of the file: [n, ...] for each input."""
    return [quantize(part, spec) for part, spec in zip(_parts(model, samples), model.inputs, strict=True)]


def run_rows(model: TfliteModel, rows: Sequence[np.ndarray]) -> np.ndarray:
    """Outputs [n, ...] in the type of the file. Nearly all of its time is the runtime's, in which other threads of Python go on.

    Args:
        rows: of `stored_rows`.
    Raises:
        DeviceFault: the runtime fails, or the model does not give one row per sample.
    """
    try:
        return _run_rows(model, rows)
    except (RuntimeError, ValueError) as error:  # what the runtimes raise when an operator fails
        reason = " ".join(str(error).split())
        raise DeviceFault(f"{model.runtime_name} {model.runtime_version} failed to run the model: {reason}") from error


def real_rows(model: TfliteModel, rows: np.ndarray) -> np.ndarray:
    """What `run_rows` gave as float32 [n, ...]."""
    return dequantize(rows, model.outputs[0])


def _parts(model: TfliteModel, samples: np.ndarray) -> list[np.ndarray]:
    """Samples of each input, [n, ...] in its shape."""
    if len(model.inputs) == 1:
        return [samples]
    shapes = [spec.shape[1:] for spec in model.inputs]
    ends = np.cumsum([math.prod(shape) for shape in shapes])
    return [part.reshape(-1, *shape) for part, shape in zip(np.split(samples, ends[:-1], axis=1), shapes, strict=True)]


def _run_rows(model: TfliteModel, rows: Sequence[np.ndarray]) -> np.ndarray:
    """Raw outputs [n, ...] of raw rows [n, ...], one array per input."""
    interpreter, target = model._interpreter, model.outputs[0].index
    sources = [(spec.index, values) for spec, values in zip(model.inputs, rows, strict=True)]
    batch_size, num_samples = model.inputs[0].shape[0], len(rows[0])
    results = []
    for start in range(0, num_samples, batch_size):
        interpreter.reset_all_variables()
        for index, values in sources:
            batch = values[start : start + batch_size]
            if len(batch) < batch_size:
                batch = np.concatenate([batch, np.repeat(batch[-1:], batch_size - len(batch), axis=0)])
            interpreter.set_tensor(index, batch)
        interpreter.invoke()
        results.append(interpreter.get_tensor(target))
    if results[0].shape[:1] != (batch_size,):
        raise ValueError(f"an output of shape {list(results[0].shape)} for {batch_size} samples is not one row per sample")
    return (results[0] if len(results) == 1 else np.concatenate(results))[:num_samples]
