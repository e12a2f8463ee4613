"""Integers and scales for kernels: the grid on which weights lie already, or the best one. Arithmetic on arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

GRID_TOLERANCE = 1e-3  # of a step: float32 and a folded BatchNormalization move a weight by less, chance seldom by so little
SCALE_OF_ZEROS = 2.0**-10  # at most, for a row of zeros: a file's bias is rounded in steps of it, so 1 would take the bias away
_NUM_CLIPS = 24  # scales that are tried for a row
_NUM_FITS = 4  # rounds of alternating least squares; none makes the error larger


def largest_level(bits: int) -> int:
    """Levels go from minus this to this: symmetric, since folding a BatchNormalization may turn the sign of a channel."""
    return (1 << (bits - 1)) - 1


def quantize_rows(rows: Array, bits: int) -> tuple[Array, Array, Array]:
    """The integers of a kernel.

    A row whose weights lie on a grid of so few levels gets that grid, exactly. Any other gets largest |weight| / level at 8 bits, and
    below that the scale of least squared error.

    Args:
        rows: [channels, weights of one output channel].
        bits: 8, 4 or 2.

    Returns:
        integers int8 [channels, weights], scales float32 [channels], and whether each row lay on a grid, bool [channels]. A row of zeros
        has the least scale of the others, at most SCALE_OF_ZEROS.
    """
    rows = np.asarray(rows, np.float64)
    grid = recover_scales(rows, bits)
    exact = grid > 0
    scales = np.where(exact, grid, max_scales(rows, bits) if bits >= 8 else least_error_scales(rows, bits))
    is_zero = ~rows.any(axis=1)
    scales[is_zero] = scales[~is_zero].min(initial=SCALE_OF_ZEROS)
    return to_levels(rows, scales, bits).astype(np.int8), scales.astype(np.float32), exact


def to_levels(rows: Array, scales: Array, bits: int) -> Array:
    """Nearest levels: round(weight / scale), clipped."""
    limit = largest_level(bits)
    return np.clip(np.round(rows / scales[:, None]), -limit, limit)


def max_scales(rows: Array, bits: int) -> Array:
    """largest |weight| / largest level of each row; 1 for rows of zeros."""
    largest = np.abs(rows).max(axis=1, initial=0.0)
    return np.where(largest > 0, largest / largest_level(bits), 1.0)


def least_error_scales(rows: Array, bits: int) -> Array:
    """The scale of each row with the least sum of (weight - scale * level)^2.

    Clips between a tenth of the largest weight and all of it are tried; from the best, scale and levels are fitted in turns:
    scale = sum(weight * level) / sum(level^2).
    """
    widest = max_scales(rows, bits)
    best, least = widest, _squared_error(rows, widest, bits)
    for clip in np.linspace(0.1, 1.0, _NUM_CLIPS, endpoint=False):
        error = _squared_error(rows, widest * clip, bits)
        best, least = np.where(error < least, widest * clip, best), np.minimum(error, least)
    for _ in range(_NUM_FITS):
        best = _fit(rows, to_levels(rows, best, bits), best)
    return best


def _squared_error(rows: Array, scales: Array, bits: int) -> Array:
    return np.sum((rows - scales[:, None] * to_levels(rows, scales, bits)) ** 2, axis=1)


def _fit(rows: Array, levels: Array, scales: Array) -> Array:
    """Least squares for the scale; as it was where no level differs from 0."""
    power = np.sum(levels**2, axis=1)
    fitted = np.divide(np.sum(rows * levels, axis=1), power, out=scales.copy(), where=power > 0)
    return np.where(fitted > 0, fitted, scales)


def recover_scales(rows: Array, bits: int) -> Array:
    """The step of the grid that a row lies on: all its weights are whole multiples, by no more than the largest level.

    Args:
        rows: [channels, weights].
        bits: 8, 4 or 2. At 8 bits, grids of 4 bits are found, and those whose largest level is used.

    Returns:
        [channels]; 0 where there is no such grid. Of several steps the coarsest.
    """
    rows = np.asarray(rows, np.float64)
    found = np.zeros(len(rows))
    magnitudes = np.abs(rows)
    largest = magnitudes.max(axis=1, initial=0.0)
    found[largest == 0] = 1.0
    limit, few = largest_level(bits), largest_level(min(bits, 4))
    for level in dict.fromkeys((*range(1, few + 1), limit)):  # the largest weight is this level
        steps = np.divide(largest, level, out=np.ones_like(largest), where=largest > 0)
        levels = np.round(rows / steps[:, None])
        fits = (np.abs(rows / steps[:, None] - levels) <= GRID_TOLERANCE).all(axis=1) & (found == 0)
        found = np.where(fits, _fit(rows, levels, steps), found)
    return found
