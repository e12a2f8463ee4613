"""How often a tensor took which values, in one pass, whatever their range turns out to be."""

from __future__ import annotations

import numpy as np

NUM_BINS = 2**14  # over [-limit, limit]; of a tensor that is never negative at least a quarter of them are used, 16 for each int8 step


class Histogram:
    """Counts and sums of values in equal bins over [-limit, limit]; a value beyond doubles the limit.

    Attributes:
        counts: int64 [bins].
        sums: float64 [bins], of the values in each bin.
        low, high: least and greatest value; inf and -inf before there is one.
    """

    def __init__(self) -> None:
        self.counts = np.zeros(NUM_BINS, np.int64)
        self.sums = np.zeros(NUM_BINS)
        self.low, self.high, self._limit = np.inf, -np.inf, 0.0

    def add(self, values: np.ndarray) -> None:
        """Counts finite values of any shape."""
        values = np.asarray(values, np.float64).ravel()
        if not values.size:
            return
        low, high = float(values.min()), float(values.max())
        self.low, self.high = min(self.low, low), max(self.high, high)
        self._grow(max(-low, high))
        bins = np.zeros(len(values), np.int64)
        if self._limit:
            bins = np.minimum(((values / self._limit + 1) * (NUM_BINS // 2)).astype(np.int64), NUM_BINS - 1)
        self.counts += np.bincount(bins, minlength=NUM_BINS)
        self.sums += np.bincount(bins, weights=values, minlength=NUM_BINS)

    def _grow(self, reach: float) -> None:
        """Doubles the limit until it holds `reach`: pairs of bins become one."""
        if self._limit == 0 and reach > 0:
            self.counts, self.sums = np.roll(self.counts, NUM_BINS // 2), np.roll(self.sums, NUM_BINS // 2)  # zeros, now in the middle
            self._limit = reach
        while reach > self._limit:
            self._limit *= 2
            self.counts, self.sums = (self._halved(values) for values in (self.counts, self.sums))

    @staticmethod
    def _halved(values: np.ndarray) -> np.ndarray:
        return np.pad(values.reshape(-1, 2).sum(axis=1), NUM_BINS // 4)

    def points(self, bins_in_one: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """(mean of each bin that is not empty, ascending; its count), both float64; several bins may count as one."""
        counts, sums = (values.reshape(-1, bins_in_one).sum(axis=1) for values in (self.counts, self.sums))
        filled = counts > 0
        return sums[filled] / counts[filled], counts[filled].astype(np.float64)
