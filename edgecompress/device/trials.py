"""Inputs that try out a model: random ones of many kinds, and the extremes of each type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .fault import DeviceFault

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .runtime import TensorSpec

_LEAST, _GREATEST, _ZERO, _CHEQUERED = 1, 2, 3, 4  # the trials at these places are extremes, every other one is random
_FLOAT_LIMIT = 100.0
_NOISE_SIDE = 512  # noise of more elements along an axis would take longer to make than most models to run
_INDEX_LIMIT = 2  # 32- and 64-bit integers may be indices of small tables


def trial_inputs(specs: Sequence[TensorSpec], number: int) -> list[np.ndarray]:
    """The inputs of one trial. The same number always gives the same arrays.

    Trials 1 to 4 are all at the least value, all at the greatest, all zero (in real numbers), and least and greatest by turns. The
    others are blocks and noise around a random level, so that small and large values, edges and plain areas all come up.

    Raises:
        DeviceFault: An input is a string tensor.
    """
    generator = np.random.default_rng(number)
    return [_values(spec, number, generator) for spec in specs]


def _values(spec: TensorSpec, number: int, generator: np.random.Generator) -> np.ndarray:
    """One array for one input."""
    if spec.dtype == "string":
        raise DeviceFault(f"input '{spec.name}' must be numbers. Received: a string tensor")
    dtype = np.dtype(spec.dtype)
    least, greatest, zero = _limits(spec, dtype)
    if number == _CHEQUERED:
        return _by_turns(_cast(np.array([least, greatest]), dtype), spec.shape)
    extremes = {_LEAST: least, _GREATEST: greatest, _ZERO: zero}
    if number in extremes:
        return np.full(spec.shape, _cast(np.array(extremes[number]), dtype))
    block = int(generator.choice([1, 1, 3, 8]))
    small = tuple(min(_NOISE_SIDE, -(-size // block)) for size in spec.shape)
    values = _cast(_noise(small, least, greatest, generator), dtype)
    for axis in sorted(range(len(small)), key=spec.shape.__getitem__):  # the longest last: until then there is little to copy
        if spec.shape[axis] != small[axis]:
            values = values.take(np.arange(spec.shape[axis]) // block % small[axis], axis)  # a pattern that repeats in large inputs
    return values


def _by_turns(pair: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Two values by turns, in the order of memory."""
    values = np.full(shape, pair[0])
    values.reshape(-1)[1::2] = pair[1]
    return values


def _cast(values: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    """Real numbers as the type of an input."""
    return (np.round(values) if dtype.kind in "iu" else values >= 1 if dtype.kind == "b" else values).astype(dtype)


def _limits(spec: TensorSpec, dtype: np.dtype[Any]) -> tuple[float, float, float]:
    """The least and the greatest value of an input, and what stands for zero."""
    if dtype.kind in "iu" and dtype.itemsize <= 2:
        return float(np.iinfo(dtype).min), float(np.iinfo(dtype).max), float(spec.zero_point or 0)
    if dtype.kind in "fc":
        return -_FLOAT_LIMIT, _FLOAT_LIMIT, 0.0
    return 0.0, float(_INDEX_LIMIT - 1), 0.0


def _noise(shape: tuple[int, ...], least: float, greatest: float, generator: np.random.Generator) -> np.ndarray:
    """Noise of a random strength around a random level, within the limits."""
    noise = generator.uniform(-1, 1, shape)
    strength = (greatest - least) * generator.choice([1.0, 1.0, 0.3, 0.05, 0.01])
    if strength == greatest - least:  # the whole range, whatever the level
        return (noise + 1) / 2 * strength + least
    return np.clip(generator.uniform(least, greatest) + strength * noise, least, greatest)
