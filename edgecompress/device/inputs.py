"""Inputs for a model when there are no real ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .fault import DeviceFault

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .runtime import TensorSpec


def zero_inputs(specs: Sequence[TensorSpec]) -> list[np.ndarray]:
    """All-zero arrays, which every numeric model takes.

    Raises:
        DeviceFault: An input is a string tensor.
    """
    for spec in specs:
        if spec.dtype == "string":
            raise DeviceFault(f"input '{spec.name}' must be numbers. Received: a string tensor")
    return [np.zeros(spec.shape, spec.dtype) for spec in specs]


def varied_inputs(specs: Sequence[TensorSpec]) -> list[np.ndarray]:
    """Fixed, varied arrays for timing: zeros cost some processors less.

    Floats lie in [-1, 1), 8- and 16-bit integers take their whole range. Wider integers and bool stay zero: they may be indices.
    No generator of NumPy: `numpy.random` alone would add 6,000 kB to the peak memory.

    Raises:
        DeviceFault: An input is a string tensor.
    """
    return [_varied(zeros) for zeros in zero_inputs(specs)]


def _varied(zeros: np.ndarray) -> np.ndarray:
    """A repeated permutation of evenly spaced values, with the shape and type of `zeros`."""
    spread = np.arange(1009) * 367 % 1009 / 1009  # a prime number of values, each once, neighbours far apart
    if zeros.dtype.kind == "f":
        pattern = 2 * spread - 1
    elif zeros.dtype.kind in "iu" and zeros.dtype.itemsize <= 2:
        limits = np.iinfo(zeros.dtype)
        pattern = np.floor(limits.min + spread * (int(limits.max) - int(limits.min) + 1))
    else:
        return zeros
    return np.resize(pattern.astype(zeros.dtype), zeros.shape)
