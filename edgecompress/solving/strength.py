"""How far must it go? The least strength that keeps the limits on the file, found with few probes."""

from __future__ import annotations

import math
from collections.abc import Generator

Miss = float  # logarithm of value / limit, of the limit that is missed most
CLOSE = 0.08  # a probe that stays within its limits by less is near enough
AIM = -CLOSE / 2
NARROW = 0.04  # a range of strengths that is not worth halving
MOST_PROBES = 6


def least_strength(start: float, miss_at_zero: Miss) -> Generator[float, Miss, float | None]:
    """Asks for the miss at one strength after another: along straight lines between the last that misses and the first that does not.

    Args:
        start: first guess, in (0, 1].
        miss_at_zero: of nothing done, above 0.

    Returns:
        The least strength among those that were asked for and keep the limits; None where even 1 does not.
    """
    low, miss_low, high, miss_high = 0.0, miss_at_zero, None, -math.inf
    strength = min(1.0, max(NARROW, start))
    for _ in range(MOST_PROBES):
        miss = yield strength
        if miss <= 0:
            high, miss_high = strength, miss
            if miss > -CLOSE:
                return high
        elif strength >= 1:
            return None
        else:
            low, miss_low = strength, miss
        if high is None:
            strength = _further(low, miss_low, miss_at_zero)
        elif high - low < NARROW:
            return high
        else:
            strength = _between(low, miss_low, high, miss_high)
    return high


def _width(miss: Miss) -> float:
    """Root of value / limit: about a straight line over the strength, as weights and MACs go with the square of a width."""
    return math.exp(miss / 2)


def _further(low: float, miss: Miss, miss_at_zero: Miss) -> float:
    """Where the line from nothing through the last probe meets the limit; at once to the end where that line says nothing."""
    if not low or not math.isfinite(miss_at_zero + miss) or miss >= miss_at_zero:
        return 1.0
    slope = (_width(miss_at_zero) - _width(miss)) / low
    return min(1.0, max(low + NARROW, low + (_width(miss) - _width(AIM)) / slope))


def _between(low: float, miss_low: Miss, high: float, miss_high: Miss) -> float:
    """Where a straight line meets the limit, but not at an end."""
    width = high - low
    if not (math.isfinite(miss_low) and math.isfinite(miss_high)):
        return low + width / 2
    at = low + width * (_width(miss_low) - _width(AIM)) / (_width(miss_low) - _width(miss_high))
    return min(max(at, low + 0.15 * width), high - 0.15 * width)
