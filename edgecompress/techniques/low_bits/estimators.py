"""Weights rounded to few levels, with gradients that go through the rounding: functions on tensors.

Each gives scale * level, with one scale per output channel. Where a weight lies beyond the stated clip, no gradient reaches it.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from edgecompress.backend import tf
from edgecompress.weight_grids import largest_level, least_error_scales

Bits = Literal[4, 2, "ternary", "binary"]
Array = npt.NDArray[Any]

TERNARY_THRESHOLD = 0.7  # of the mean |weight|; Li & Liu (2016), section 2.3
CLIP = 1.0  # |weight| above which ternary and binary weights get no gradient; Rastegari et al. (2016), section 3.1


def level_bits(bits: Bits) -> int:
    """Bits that a file needs for the levels."""
    return 4 if bits == 4 else 2


def first_scales(rows: Array, bits: Bits) -> Array:
    """Scales from which LSQ starts, [channels]: of least squared error, where the source takes 2 mean|w| / sqrt(largest level).

    Args:
        rows: [channels, weights].
        bits: 4 or 2.
    """
    return least_error_scales(np.asarray(rows, np.float64), level_bits(bits))


def learned_steps(weights: tf.Tensor, scales: tf.Tensor, bits: Bits, num_weights: int) -> tf.Tensor:
    """LSQ: scale * round(clip(weight / scale, -L, L)) with L the largest level; the scale is learned too.

    Gradients: to a weight 1 where |weight / scale| <= L, else 0; to the scale round(weight / scale) - weight / scale there, else the sign
    times L, divided by sqrt(num_weights * L).

    Args:
        weights: [..., with the channels' axes last or wherever `scales` broadcasts].
        scales: positive, broadcast against `weights`.
        bits: 4 or 2.
        num_weights: of one channel.

    Source: Esser et al., Learned Step Size Quantization (2020), equations 1 to 3 and section 2.2.
    """
    limit = float(largest_level(level_bits(bits)))
    damping = 1.0 / np.sqrt(num_weights * limit)
    scales = scales * damping + tf.stop_gradient(scales * (1 - damping))
    steps = tf.clip_by_value(weights / scales, -limit, limit)
    return (steps + tf.stop_gradient(tf.round(steps) - steps)) * scales


def ternary(weights: tf.Tensor, axes: list[int]) -> tf.Tensor:
    """TWN: scale * sign(weight) where |weight| > 0.7 mean|weight|, else 0; scale is the mean |weight| of those.

    The gradient of the result goes to the weight where |weight| <= 1, else nothing does.

    Args:
        weights: a kernel.
        axes: all but those of the output channels.

    Source: Li & Liu, Ternary Weight Networks (2016), sections 2.1 and 2.3.
    """
    magnitudes = tf.abs(weights)
    large = tf.cast(magnitudes > TERNARY_THRESHOLD * tf.reduce_mean(magnitudes, axes, keepdims=True), weights.dtype)
    scales = tf.math.divide_no_nan(tf.reduce_sum(magnitudes * large, axes, keepdims=True), tf.reduce_sum(large, axes, keepdims=True))
    passed = tf.clip_by_value(weights, -CLIP, CLIP)
    return passed + tf.stop_gradient(scales * tf.sign(weights) * large - passed)


def binary(weights: tf.Tensor, axes: list[int]) -> tf.Tensor:
    """XNOR-Net: scale * sign(weight), the scale being the mean |weight|; 0 counts as positive.

    Gradients: through the sign, scale where |weight| <= 1, else 0; through the scale, as of a mean.

    Args:
        weights: a kernel.
        axes: all but those of the output channels.

    Source: Rastegari et al., XNOR-Net (2016), sections 3.1 and 3.2 (weights; activations stay as they are).
    """
    scales = tf.reduce_mean(tf.abs(weights), axes, keepdims=True)
    passed = tf.clip_by_value(weights, -CLIP, CLIP)
    signs = tf.where(weights >= 0, tf.ones_like(weights), -tf.ones_like(weights))
    return scales * (passed + tf.stop_gradient(signs - passed))
