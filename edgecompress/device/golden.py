"""Golden vectors: stored inputs and the outputs that each kernel family gives for them.

A golden file is an .npz without pickles. For n samples it holds, per input i and output j of the model:

    input_<i>                    [n, *input shape], the file's own types
    xnnpack_<j>, builtin_<j>     [n, *output shape], the outputs of that kernel family
    tolerance_<j>                the largest difference that is allowed within one family
"""

from __future__ import annotations

import math
import os
import zipfile
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from .fault import DeviceFault
from .quantization import dequantize, quantize

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .runtime import TensorSpec, TfliteModel

FAMILIES = ("xnnpack", "builtin")
_FLOAT_TOLERANCE = 1e-4


def read_arrays(path: str) -> dict[str, np.ndarray]:
    """All arrays of an .npz file.

    Raises:
        DeviceFault: The file is missing, truncated or not an .npz of plain arrays.
    """
    try:
        if os.path.isfile(path) and not zipfile.is_zipfile(path):
            raise ValueError("it is no zip archive")  # NumPy would take it for a bare array or a pickle
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DeviceFault(f"{path}: the file must be an .npz of plain arrays: {error}") from error


def read_first_inputs(path: str) -> dict[str, np.ndarray]:
    """The first sample of each `input_<i>`, [1, *input shape], without holding the rest in memory (which a peak would show).

    Raises:
        DeviceFault: As `read_arrays`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.startswith("input_")]
            return {name[: -len(".npy")]: _first_row(archive, name) for name in names}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DeviceFault(f"{path}: the file must be an .npz of plain arrays: {error}") from error


def _first_row(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """The first row of a stored array, [1, ...]."""
    with archive.open(name) as member:
        np.lib.format.read_magic(member)
        shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(member)
        if fortran_order or not shape or dtype.hasobject:
            raise ValueError(f"{name} must hold rows of numbers in C order")
        row = member.read(math.prod(shape[1:]) * dtype.itemsize)
    return np.frombuffer(row, dtype).reshape(1, *shape[1:])


def write_arrays(path: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes an .npz whose bytes depend on the arrays alone (NumPy's own writer stores the time), atomically."""
    folder, name = os.path.split(path)
    unfinished = os.path.join(folder, f".{name}.{os.getpid()}.tmp")  # hidden: a run folder sweeps such files of a killed process
    try:
        write_arrays_to(unfinished, arrays)
        os.replace(unfinished, path)
    finally:
        if os.path.exists(unfinished):
            os.remove(unfinished)


def write_arrays_to(place: str | IO[bytes], arrays: Mapping[str, np.ndarray]) -> None:
    """The same into an open file, or straight to a path."""
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(arrays):
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(arrays[name]), allow_pickle=False)


def model_inputs(model: TfliteModel, arrays: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """The stored inputs as the model takes them: per input [n, *input shape] in its own type.

    Args:
        model: The model that is to be fed.
        arrays: `input_0`, `input_1`, ...: [n, *input shape], where a batch dimension of 1 may be left out. Float values for an
            integer input are quantized with the input's scale.

    Raises:
        DeviceFault: An input is missing or has the wrong size or type, or the inputs have different numbers of samples.
    """
    inputs = []
    for position, spec in enumerate(model.inputs):
        if f"input_{position}" not in arrays:
            raise DeviceFault(f"the inputs must hold input_{position} for '{spec.name}'. Received: {sorted(arrays)}")
        inputs.append(_fitted(arrays[f"input_{position}"], spec))
    counts = {len(values) for values in inputs}
    if len(counts) > 1:
        raise DeviceFault(f"the inputs must have one number of samples. Received: {sorted(counts)}")
    return inputs


def _fitted(values: np.ndarray, spec: TensorSpec) -> np.ndarray:
    """`values` with the type and sample shape of `spec`."""
    if spec.dtype == "string":
        raise DeviceFault(f"input '{spec.name}' must be numbers. Received: a string tensor")
    num_samples = len(values) if values.ndim else 0
    if num_samples == 0 or values.size != num_samples * math.prod(spec.shape):
        raise DeviceFault(f"input '{spec.name}' must be samples of shape {spec.shape}. Received: an array of shape {values.shape}")
    if values.dtype != spec.dtype:
        if values.dtype.kind != "f":
            raise DeviceFault(f"input '{spec.name}' must be {spec.dtype} or float32. Received: {values.dtype}")
        values = quantize(values, spec)
    return values.reshape(num_samples, *spec.shape)


def run_samples(model: TfliteModel, inputs: list[np.ndarray]) -> list[np.ndarray]:
    """Every sample through the model, in order: per output [n, *output shape].

    Raises:
        DeviceFault: The runtime failed, or an output's shape depends on the sample.
    """
    samples = [model.invoke([values[sample] for values in inputs]) for sample in range(len(inputs[0]) if inputs else 1)]
    outputs = []
    for position, spec in enumerate(model.outputs):
        values = [sample[position] for sample in samples]
        if len({value.shape for value in values}) > 1:
            raise DeviceFault(
                f"output '{spec.name}' must have one shape for all samples. Received: {sorted({value.shape for value in values})}"
            )
        outputs.append(np.stack(values))
    return outputs


def tolerance(expected: np.ndarray, spec: TensorSpec, step: float | None) -> float:
    """The largest difference that two devices of one kernel family may show.

    Quantized integers: one step. Other integers and bool: none. Floats: 1e-4, times the largest output where that is above 1;
    floats that were dequantized: one step if that is more.

    Args:
        expected: The outputs of all samples.
        spec: The output.
        step: Its entry of `TfliteModel.output_steps`.
    """
    if expected.dtype.kind != "f":
        return 1.0 if spec.scale is not None else 0.0
    finite = np.abs(expected[np.isfinite(expected)])
    # 1.001: the step itself is a float32 product, rounded on both devices.
    return max(_FLOAT_TOLERANCE * max(1.0, float(finite.max(initial=0.0))), 1.001 * (step or 0.0))


def largest_difference(expected: np.ndarray, received: np.ndarray) -> tuple[float, int]:
    """The largest absolute difference and the sample where it is.

    Equal infinities and two NaN do not differ; NaN against a number differs infinitely, and so do unlike shapes.
    """
    if expected.shape != received.shape:
        return math.inf, 0
    if expected.size == 0:
        return 0.0, 0
    first, second = expected.astype(np.float64), received.astype(np.float64)
    with np.errstate(invalid="ignore"):
        difference = np.abs(first - second)
    same = (expected == received) | (np.isnan(first) & np.isnan(second))
    difference = np.where(same, 0.0, np.where(np.isnan(difference), np.inf, difference))
    position = int(difference.argmax())
    return float(difference.flat[position]), position // (difference.size // len(expected))


def find_mismatch(model: TfliteModel, arrays: Mapping[str, np.ndarray], received: list[np.ndarray] | None = None) -> str | None:
    """Compares the model's outputs with the golden ones of its kernel family.

    Where a delegate took a part of the operators only, those of the other family will do as well: which part that is depends on the
    runtime, and what differs may lie in what was left to the built-in kernels.

    Args:
        model: The model.
        arrays: Of the golden file.
        received: What `run_samples` gave for its inputs; None runs them.

    Returns:
        None where all agree, else one sentence: which output, by how much, in which sample.

    Raises:
        DeviceFault: The golden file does not fit the model.
    """
    received = run_samples(model, model_inputs(model, arrays)) if received is None else received
    mismatch = _mismatch(model.kernels, arrays, received)
    return None if mismatch is None or _agrees_with_other(model, arrays, received) else mismatch


def _agrees_with_other(model: TfliteModel, arrays: Mapping[str, np.ndarray], received: list[np.ndarray]) -> bool:
    """Whether a partly delegated model gives the golden outputs of the built-in kernels."""
    other = _other_family(model.kernels)
    is_there = all(f"{other}_{position}" in arrays for position in range(len(received)))
    is_partly_delegated = model.kernels == "xnnpack" and model.count_left() > 0
    return is_there and is_partly_delegated and _mismatch(other, arrays, received) is None


def _other_family(family: str) -> str:
    return FAMILIES[family == FAMILIES[0]]


def _mismatch(family: str, arrays: Mapping[str, np.ndarray], received: list[np.ndarray]) -> str | None:
    """The first output that differs from the golden one of a family, in words."""
    for position, values in enumerate(received):
        keys = f"{family}_{position}", f"tolerance_{position}"
        if not all(key in arrays for key in keys):
            raise DeviceFault(f"the golden file must hold {keys[0]} and {keys[1]}. Received: {sorted(arrays)}")
        expected, allowed = arrays[keys[0]], float(arrays[keys[1]])
        difference, sample = largest_difference(expected, values)
        if not difference <= allowed:
            return (
                f"golden outputs differ with the {family} kernels: output {position} is off by {difference:.6g} "
                f"in sample {sample}, at most {allowed:.6g} is allowed"
            )
    return None


def describe_agreement(model: TfliteModel, arrays: Mapping[str, np.ndarray], received: list[np.ndarray]) -> dict[str, Any]:
    """How near the outputs are to the golden ones, of the model's own kernel family and of the other.

    Args:
        model, arrays, received: As in `find_mismatch`, which found none.

    Returns:
        samples; kernels, the family that it agrees with; largest_difference, from that, in units of what is allowed (at most 1); and
        `across`: for the first output against the other family kernels, equal (bool), snr_db (of real values; None: equal, or no number)
        and agreement (fraction of samples whose largest output is at the same place; None for an output of one value). `across` is None
        where the file does not have it.
    """
    family: str = model.kernels if _mismatch(model.kernels, arrays, received) is None else _other_family(model.kernels)
    ratios = [
        largest_difference(arrays[f"{family}_{position}"], values)[0] / (float(arrays[f"tolerance_{position}"]) or 1.0)
        for position, values in enumerate(received)
    ]
    other = _other_family(family)
    across = None
    if f"{other}_0" in arrays and arrays[f"{other}_0"].shape == received[0].shape and received[0].size:
        first, second = (dequantize(values, model.outputs[0]).reshape(len(values), -1) for values in (arrays[f"{other}_0"], received[0]))
        same = np.argmax(first, axis=1) == np.argmax(second, axis=1)
        across = {
            "kernels": other, "equal": largest_difference(arrays[f"{other}_0"], received[0])[0] == 0, "snr_db": _snr_db(first, second),
            "agreement": float(same.mean()) if first.shape[1] > 1 else None,
        }  # fmt: skip
    return {
        "samples": len(received[0]) if received else 0, "kernels": family, "largest_difference": max(ratios, default=0.0),
        "across": across,
    }  # fmt: skip


def _snr_db(signal: np.ndarray, other: np.ndarray) -> float | None:
    """10 log10(mean(signal^2) / mean((signal - other)^2)); None where that is no number: equal, or no signal."""
    power = float(np.mean(np.square(signal, dtype=np.float64)))
    noise = float(np.mean(np.square(signal.astype(np.float64) - other)))
    return 10 * math.log10(power / noise) if power > 0 and 0 < noise < math.inf else None
