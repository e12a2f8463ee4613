"""Samples of a split, taken in pieces of any size while the split itself is read in large batches."""

from __future__ import annotations

import numpy as np

from edgecompress.data import Split

Batch = tuple[np.ndarray, np.ndarray]  # (inputs or outputs, targets), one row per sample


class SampleStream:
    """Samples in the natural order of a split.

    Args:
        split: never held as a whole.
        read_size: samples that are read at a time.
    """

    def __init__(self, split: Split, read_size: int) -> None:
        dataset = split.dataset(read_size)
        self.sample_shape = tuple(dataset.element_spec[0].shape[1:])
        self._batches = dataset.as_numpy_iterator()
        self._inputs = self._targets = np.empty(0)
        self.num_left = len(split)

    def take(self, num_samples: int) -> Batch | None:
        """The next `num_samples`, fewer where what was read ends; None after the last."""
        if not self.num_left:
            return None
        if not len(self._inputs):
            self._inputs, self._targets = next(self._batches)
        taken = self._inputs[:num_samples], self._targets[:num_samples]
        self._inputs, self._targets = self._inputs[num_samples:], self._targets[num_samples:]
        self.num_left -= len(taken[0])
        return taken
