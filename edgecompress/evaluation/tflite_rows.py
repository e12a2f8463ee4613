"""A .tflite as a function on rows of samples: float32 in, float32 out, with as little Python per sample as there can be."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgecompress.device import DeviceFault
from edgecompress.device.quantization import dequantize, quantize
from edgecompress.device.runtime import TfliteModel, find_runtime
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
    """Loads a file of one input and one output.

    Args:
        batch_size: samples per invoke; None keeps the file's own number.
        threads: of the runtime, for the operators of one invoke.
    Raises:
        DeviceFault: a file that cannot be read or that the runtime refuses.
        ModelError: a file of several inputs or outputs, or without a batch dimension.
    """
    model = TfliteModel(path, threads=threads, batch_size=batch_size)
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ModelError(f"{path}: the model must have one input and one output. Received: {len(model.inputs)} and {len(model.outputs)}.")
    if not model.inputs[0].shape:
        raise ModelError(f"{path}: the model's input must have a batch dimension. Received: a scalar.")
    return model


def predict_rows(model: TfliteModel, samples: np.ndarray) -> np.ndarray:
    """Outputs of independent samples, run in the model's own batches.

    State that a model carries from one invoke to the next (the variables of an LSTM) is reset before each invoke: without
    that, a prediction would depend on the samples before it. A last, partial batch is filled up with its last sample.

    Args:
        samples: float32 [n, ...], n >= 1, in the shape of the model's input; best no larger than the processor's cache.
    Returns: float32 [n, ...].
    Raises:
        DeviceFault: the runtime fails, or the model does not give one row per sample.
    """
    rows = quantize(samples, model.inputs[0])
    try:
        return dequantize(_run_rows(model, rows), model.outputs[0])
    except (RuntimeError, ValueError) as error:  # what the runtimes raise when an operator fails
        reason = " ".join(str(error).split())
        raise DeviceFault(f"{model.runtime_name} {model.runtime_version} failed to run the model: {reason}") from error


def _run_rows(model: TfliteModel, rows: np.ndarray) -> np.ndarray:
    """Raw outputs [n, ...] of raw rows [n, ...]."""
    interpreter, source, target = model._interpreter, model.inputs[0].index, model.outputs[0].index
    batch_size = model.inputs[0].shape[0]
    results = []
    for start in range(0, len(rows), batch_size):
        batch = rows[start : start + batch_size]
        if len(batch) < batch_size:
            batch = np.concatenate([batch, np.repeat(batch[-1:], batch_size - len(batch), axis=0)])
        interpreter.reset_all_variables()
        interpreter.set_tensor(source, batch)
        interpreter.invoke()
        results.append(interpreter.get_tensor(target))
    if results[0].shape[:1] != (batch_size,):
        raise ValueError(f"an output of shape {list(results[0].shape)} for {batch_size} samples is not one row per sample")
    return (results[0] if len(results) == 1 else np.concatenate(results))[: len(rows)]
