"""Between real numbers and the integers of a .tflite tensor: real = scale * (q - zero_point)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .runtime import TensorSpec


def quantize(values: np.ndarray, spec: TensorSpec) -> np.ndarray:
    """Real values as the tensor's own type: q = clip(round(values / scale) + zero_point).

    Rounds half to even, then clips to the range of the type, so that nothing wraps around.
    A tensor without scale takes the values as they are: rounded and clipped for integer types, non-zero for bool.

    Args:
        values: Real numbers of any shape; infinities clip, NaN is an error where the type is an integer.
        spec: The tensor that is to be filled.

    Returns:
        An array of the same shape, of type `spec.dtype`; `values` itself where there is nothing to convert.

    Raises:
        ValueError: NaN for an integer tensor.
    """
    dtype = np.dtype(spec.dtype)
    values = np.asarray(values)
    if dtype.kind not in "iu":
        return values.astype(dtype, copy=False)
    # float32 holds every step of a 16-bit range; wider integers need float64.
    precision = np.dtype(np.float32 if dtype.itemsize <= 2 else np.float64)
    # One new array, then all in place: evaluation spends much of its time here.
    steps: np.ndarray = np.asarray(np.divide(values, precision.type(1 if spec.scale is None else spec.scale), dtype=precision))
    np.rint(steps, out=steps)
    if spec.zero_point:
        np.add(steps, precision.type(spec.zero_point), out=steps)
    lowest, highest = float(np.iinfo(dtype).min), float(np.iinfo(dtype).max)
    if dtype.itemsize == 8:
        highest = float(np.nextafter(highest, 0))  # the maximum itself rounds up to a float64 that no longer fits
    least, most = (float(steps.min()), float(steps.max())) if steps.size else (lowest, highest)
    if np.isnan(least):
        raise ValueError(f"values for the {spec.dtype} tensor '{spec.name}' must be numbers. Received: NaN")
    if least < lowest or most > highest:  # clipping takes longer than to see that nothing needs it
        np.clip(steps, lowest, highest, out=steps)
    return steps.astype(dtype)


def dequantize(values: np.ndarray, spec: TensorSpec) -> np.ndarray:
    """The tensor's own values as real numbers: scale * (values - zero_point), float32.

    Args:
        values: What the tensor holds, of type `spec.dtype`, any shape.
        spec: The tensor it came from; without a scale the values are only converted.

    Returns:
        float32 of the same shape; `values` itself where there is nothing to convert.
    """
    if spec.scale is None:
        return np.asarray(values, np.float32)
    real: np.ndarray = np.asarray(values).astype(np.float32)  # then all in place
    np.subtract(real, np.float32(spec.zero_point or 0), out=real)
    return np.multiply(real, np.float32(spec.scale), out=real)
