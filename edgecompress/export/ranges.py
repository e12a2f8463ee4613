"""The range that an activation's 256 integers should cover: arithmetic on the histogram of its values.

A wide range rounds everything coarsely, a narrow one clips what is large.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgecompress.export.histogram import Histogram
from edgecompress.tflite.requantize.scales import Scale

Range = tuple[float, float]

SHRINKS = np.linspace(1.0, 0.2, 161)  # of a limit, tried by mse and kl
NUM_LEVELS = 255
COARSER = 4  # bins in one for kl: with few values in each, what chance did to them would count as lost


def min_max(histogram: Histogram) -> Range:
    """Nothing is clipped."""
    return histogram.low, histogram.high


def percentile(histogram: Histogram, percent: float) -> Range:
    """All but the largest and the least of the values, (100 - percent) % of them at each end.

    Args:
        histogram: of the values.
        percent: in (50, 100].
    """
    values, counts = histogram.points()
    below = np.cumsum(counts) / counts.sum()
    outside = 1 - percent / 100
    if outside <= 0:
        return min_max(histogram)
    places = int(np.searchsorted(below, outside, side="right")), int(np.searchsorted(below, 1 - outside))
    return float(values[places[0]]), float(values[min(places[1], len(values) - 1)])


def mse(histogram: Histogram) -> Range:
    """The range whose integers are nearest to the values, in the mean of the squared distance.

    Both limits shrink together first, then each alone, in steps of 1/200 of themselves.
    """
    values, counts = histogram.points()

    def cost(low: float, high: float) -> float:
        scale = Scale.of_range(low, high)
        least, most = scale.range
        held = np.clip(np.round(values / scale.scale) * scale.scale, least, most)
        return float(counts @ (held - values) ** 2)

    return _search(histogram, cost)


def kl(histogram: Histogram) -> Range:
    """The range that keeps the distribution of the values: least Kullback-Leibler divergence of what the integers can tell apart.

    Source: Migacz, 8-bit Inference with TensorRT (2017): values beyond the limits count as if they lay at them, each integer's count
    is spread over the bins that it stands for.
    """
    values, counts = histogram.points(COARSER)

    def cost(low: float, high: float) -> float:
        scale = Scale.of_range(low, high)
        inside = (values >= low) & (values <= high)
        if not inside.any():
            return np.inf
        levels = np.clip(np.round(values[inside] / scale.scale), -NUM_LEVELS, NUM_LEVELS).astype(np.int64) + NUM_LEVELS
        held, bins = (np.bincount(levels, weights, 2 * NUM_LEVELS + 1) for weights in (counts[inside], None))
        spread = held[levels] / bins[levels]
        reference = counts[inside].copy()
        reference[0] += counts[values < low].sum()
        reference[-1] += counts[values > high].sum()
        reference, spread = reference / reference.sum(), spread / spread.sum()
        return float(reference @ np.log(reference / spread))

    return _search(histogram, cost)


def _search(histogram: Histogram, cost: Callable[[float, float], float]) -> Range:
    """The cheapest of shrunk ranges; of equally cheap ones the widest."""
    low, high = min(histogram.low, 0.0), max(histogram.high, 0.0)
    if low == high:
        return low, high

    def best(ranges: list[Range]) -> Range:
        return min(ranges, key=lambda pair: cost(*pair))

    if low < 0 < high:
        low, high = best([(low * shrink, high * shrink) for shrink in SHRINKS])
    if high > 0:
        low, high = best([(low, high * shrink) for shrink in SHRINKS])
    if low < 0:
        low, high = best([(low * shrink, high) for shrink in SHRINKS])
    return low, high
