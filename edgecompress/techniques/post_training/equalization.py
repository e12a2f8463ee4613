"""Factors that make channels equally large, and what they do to kernels and biases: arithmetic on arrays.

A layer gives channel c, a positively homogeneous activation f follows, the next layer reads it: W2 f(W1 x + b1) is the same as
(W2 s) f((W1 x + b1) / s) for every s > 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

MOST_FACTOR = 2.0**10  # between the factors of two channels: one that calibration hardly saw must not become all noise
CAP_MARGIN = 1.05  # what inputs beyond the calibration samples may exceed them by, below a cap


def balancing_factors(given: Array, read: Array) -> Array:
    """s = sqrt(given / read): both ranges become sqrt(given * read).

    Args:
        given: [channels], range of each output channel of the first kernel.
        read: [channels], range of each input channel of the second kernel.

    Returns:
        float64 [channels]; 1 for channels without a range.

    Source: Nagel et al. (2019), section 4.1.2, equation 11.
    """
    return _positive(np.sqrt(np.divide(given, read, out=np.ones(len(given)), where=read > 0)), (given > 0) & (read > 0))


def smoothing_factors(activation: Array, read: Array, strength: float) -> Array:
    """s = activation^strength / read^(1 - strength), scaled so that the widest channel keeps its range.

    With strength 1 all channels become as wide as the widest one; with 0.5 the reading kernel carries half of it.

    Args:
        activation: [channels], largest absolute value of each channel on samples.
        read: [channels], range of each input channel of the reading kernel.
        strength: in [0, 1]; at 0 nothing changes.

    Returns:
        float64 [channels], in [1 / MOST_FACTOR, 1] for strength 1; 1 for channels without a range.

    Source: Xiao et al., SmoothQuant (2023), section 4, equation 4.
    """
    alive = (activation > 0) & (read > 0)
    if not alive.any() or strength == 0:
        return np.ones(len(activation))
    activation, kernel = (np.where(alive, values, 1.0).astype(np.float64) for values in (activation, read))
    factors = activation**strength / kernel ** (1 - strength)
    factors *= (activation / factors)[alive].max() / activation[alive].max()
    return _positive(factors, alive)


def _positive(factors: Array, alive: Array) -> Array:
    """Factors that are not further apart than MOST_FACTOR; 1 where there is nothing to scale."""
    if not alive.any():
        return np.ones(len(factors))
    return np.where(alive, np.maximum(factors, factors[alive].max() / MOST_FACTOR), 1.0)


def below_cap(factors: Array, largest: Array, cap: float) -> Array:
    """Factors under which a cap, such as ReLU6's, does the same: nothing reaches it anew, and a channel that reaches it is left alone.

    Args:
        factors: [channels].
        largest: [channels], largest value of each channel behind the cap, on samples.
        cap: such as 6.
    """
    return np.where(largest >= cap, 1.0, np.maximum(factors, largest * CAP_MARGIN / cap))


def given_ranges(kernel: Array, *, depthwise: bool) -> Array:
    """Largest absolute weight of each output channel: [..., in, out], depthwise [..., in, multiplier], to [channels]."""
    return np.abs(_by_output(kernel, depthwise)).max(axis=0)


def read_ranges(kernel: Array, num_channels: int) -> Array:
    """Largest absolute weight that meets each of the channels: [..., in, out], where `in` repeats them, to [channels]."""
    return np.abs(_by_input(kernel, num_channels)).max(axis=(0, 2))


def divide_outputs(kernel: Array, factors: Array, *, depthwise: bool) -> Array:
    """The kernel with each output channel divided by its factor."""
    return (_by_output(kernel, depthwise) / factors).reshape(kernel.shape)


def multiply_inputs(kernel: Array, factors: Array) -> Array:
    """The kernel with the weights of each input channel multiplied by its factor."""
    return (_by_input(kernel, len(factors)) * factors[:, np.newaxis]).reshape(kernel.shape)


def through(kernel: Array, offsets: Array, *, depthwise: bool) -> Array:
    """What the next layer gives more of where each of its input channels is larger by a constant: [outputs]."""
    moved = multiply_inputs(kernel, offsets)
    return _by_output(moved, depthwise).sum(axis=0)


def absorbable(least: Array) -> Array:
    """What can go from each bias into the next one: the least value behind the ReLU that samples showed, [channels], never negative.

    Source: Nagel et al. (2019), section 4.1.3, with the least value on samples in the place of three standard deviations.
    """
    return np.maximum(least, 0.0)


def _by_output(kernel: Array, depthwise: bool) -> Array:
    """[taps, outputs]"""
    return kernel.reshape(-1, kernel.shape[-2] * kernel.shape[-1] if depthwise else kernel.shape[-1])


def _by_input(kernel: Array, num_channels: int) -> Array:
    """[taps and repeats, channels, outputs]; the repeats of a flattened map stand outside."""
    return kernel.reshape(-1, num_channels, kernel.shape[-1])
