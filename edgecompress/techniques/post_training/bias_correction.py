"""By how much rounded kernels move the mean of what a layer gives: arithmetic on arrays."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from edgecompress.techniques.post_training.equalization import through

Array = npt.NDArray[Any]

MOST_STEPS = 127  # int8 kernels are symmetric: -128 is not used


def rounded(kernel: Array, *, depthwise: bool, per_tensor: bool = False) -> Array:
    """The kernel as an int8 file will hold it: the nearest multiple of largest |weight| / 127, of its output channel or the whole.

    Args:
        kernel: [..., in, out], depthwise [..., in, multiplier].
        depthwise: which of both.
        per_tensor: one scale for the whole kernel.

    Returns:
        float64 of the same shape.

    Source: TensorFlow Lite 8-bit quantization specification, kernels of CONV_2D, DEPTHWISE_CONV_2D and FULLY_CONNECTED.
    """
    by_output = np.asarray(kernel, np.float64).reshape(-1, kernel.shape[-2] * kernel.shape[-1] if depthwise else kernel.shape[-1])
    scales = np.abs(by_output).max(axis=None if per_tensor else 0) / MOST_STEPS
    steps = np.divide(by_output, scales, out=np.zeros_like(by_output), where=scales > 0)
    return (np.round(steps) * scales).reshape(kernel.shape)


def clipped_normal_mean(mean: Array, deviation: Array, activation: Literal["linear", "relu", "relu6"]) -> Array:
    """Mean of a normally distributed value behind an activation.

    relu: mean * P(mean / deviation) + deviation * p(mean / deviation), with P and p the standard normal distribution and its density.

    Args:
        mean, deviation: [channels], the latter not negative.
        activation: what clips it, at 0, or at 0 and 6.

    Source: Nagel et al. (2019), appendix C.
    """
    if activation == "linear":
        return np.asarray(mean, np.float64)
    above_zero = _mean_above(mean, deviation, 0.0)
    return above_zero if activation == "relu" else above_zero - _mean_above(mean, deviation, 6.0)


def _mean_above(mean: Array, deviation: Array, limit: float) -> Array:
    """Mean of max(x - limit, 0)."""
    centre = np.asarray(mean, np.float64) - limit
    standard = np.divide(centre, deviation, out=np.where(centre > 0, np.inf, -np.inf), where=np.asarray(deviation) > 0)
    return np.where(np.isfinite(standard), centre * norm.cdf(standard) + deviation * norm.pdf(standard), np.maximum(centre, 0.0))


def mean_shift(kernel: Array, other: Array, input_means: Array, *, depthwise: bool) -> Array:
    """How much larger the mean output is with `other` for `kernel`: the sum over taps and inputs of their difference times the mean.

    Args:
        kernel, other: [..., in, out], depthwise [..., in, multiplier].
        input_means: [channels]; `in` may repeat them.
        depthwise: which of both.

    Returns:
        [outputs]. Padding counts as if it had the means too.

    Source: Nagel et al. (2019), section 4.2.1, equation 17.
    """
    return through(other - kernel, input_means, depthwise=depthwise)
