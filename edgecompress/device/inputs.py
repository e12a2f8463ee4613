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
    """Fixed pseudo-random arrays for timing: zeros cost some processors less.

    Floats lie in [-1, 1), 8- and 16-bit integers take their whole range. Wider integers and bool stay zero: they may be indices.

    Raises:
        DeviceFault: An input is a string tensor.
    """
    generator = np.random.default_rng(0)
    inputs = zero_inputs(specs)
    for position, zeros in enumerate(inputs):
        if zeros.dtype.kind == "f":
            inputs[position] = generator.uniform(-1, 1, zeros.shape).astype(zeros.dtype)
        elif zeros.dtype.kind in "iu" and zeros.dtype.itemsize <= 2:
            limits = np.iinfo(zeros.dtype)
            inputs[position] = generator.integers(limits.min, limits.max, zeros.shape, zeros.dtype, endpoint=True)
    return inputs
