"""Integer arithmetic as all kernels agree on it, and where they do not.

Kernel families round a rescaled accumulator in different ways: the built-in ones by a fixed-point multiplication whose shift rounds once
more, XNNPACK by one float32 product. What is computed here counts only where both must come to the same integer.
"""

from dataclasses import dataclass

import numpy as np

# What float32 and 31-bit fixed-point products may be off by, in steps of the result, with much to spare.
ROUNDING = 1e-3
ROUNDING_16 = 2.0**-13  # relative; the int16 kernels shorten the multiplier to 16 bits

_RELU, _RELU_N1_TO_1, _RELU6 = 1, 2, 3  # ActivationFunctionType
_CLAMPS = {0: (-np.inf, np.inf), _RELU: (0.0, np.inf), _RELU_N1_TO_1: (-1.0, 1.0), _RELU6: (0.0, 6.0)}


@dataclass(frozen=True)
class Step:
    """How a quantized tensor stores real numbers: real = scale * (stored - zero_point), stored in [least, greatest]."""

    scale: float
    zero_point: int
    least: int
    greatest: int


def clamp_limits(activation: int, step: Step | None) -> tuple[float, float] | None:
    """The least and greatest value after a fused activation: in stored numbers, or real ones where `step` is None.

    None for an activation that is no clamp, and where kernels may round its limits differently.
    """
    if activation not in _CLAMPS:
        return None
    low, high = _CLAMPS[activation]
    if step is None:
        return low, high
    limits = [float(step.least), float(step.greatest)]
    for position, (real, narrower) in enumerate(((low, max), (high, min))):
        if np.isfinite(real):
            steps = abs(real) / step.scale
            if abs(steps % 1 - 0.5) < ROUNDING:
                return None
            limits[position] = narrower(limits[position], step.zero_point + float(np.sign(real) * np.floor(steps + 0.5)))
    return limits[0], limits[1]


def rescale(
    accumulators: np.ndarray, multipliers: np.ndarray, zero_point: int, limits: tuple[float, float], *, margin: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """clamp(round(accumulator * multiplier) + zero_point), and where all kernels surely give that.

    Args:
        accumulators: int64 [n].
        multipliers: float64 [n] or [1].
        zero_point: of the result.
        limits: of the result, from `clamp_limits`.
        margin: by how much more than by rounding a kernel may be off, in steps.

    Returns:
        int64 [n], and bool [n]: sure.
    """
    real = accumulators * multipliers
    shifts = np.maximum(0, -np.frexp(multipliers)[1])
    twice = np.where(shifts > 0, 0.5 * 2.0**-shifts, 0.0)  # the first of two roundings
    doubt = np.where(accumulators == 0, 0.0, twice + ROUNDING + np.abs(real) * ROUNDING_16 + margin)
    low, high = (np.clip(_round(real + off) + zero_point, *limits) for off in (-doubt, doubt))
    return low.astype(np.int64), low == high


def _round(real: np.ndarray) -> np.ndarray:
    return np.floor(real + 0.5)


def taps_outside(size: int | None, kernel: int, stride: int, dilation: int, *, same: bool) -> np.ndarray:
    """Which taps along one axis ever lie on the padding.

    Args:
        size: of the input; None: not known.
        kernel, stride, dilation: of the operator.
        same: padding SAME, else VALID.

    Returns:
        bool [kernel].
    """
    if not same or kernel == 1:
        return np.zeros(kernel, bool)
    if size is None:
        return np.ones(kernel, bool)
    before, _ = same_padding(size, kernel, stride, dilation)
    first = np.arange(kernel) * dilation - before
    return (first < 0) | (first + (-(-size // stride) - 1) * stride >= size)


def same_padding(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """How many elements SAME puts before and after an axis of `size`."""
    outputs = -(-size // stride)
    total = max(0, (outputs - 1) * stride + (kernel - 1) * dilation + 1 - size)
    return total // 2, total - total // 2
