"""Samples of a split, taken in pieces of any size: from where they lie in memory, or while the split is read in large batches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgecompress.data import Split
from edgecompress.samples import Samples, ordered

Batch = tuple[np.ndarray, np.ndarray]  # (inputs or outputs, targets), one row per sample


class SampleStream:
    """Samples in the natural order of a split. Several inputs of a sample come as one row, their values behind each other.

    Args:
        split: never copied as a whole.
        read_size: samples that are read at a time.
        names: of a sample's inputs, in the order wanted.
    """

    def __init__(self, split: Split, read_size: int, names: Sequence[str]) -> None:
        self._split, self._names = split, names
        self.num_left = len(split)
        in_place = split.in_place()
        if in_place is not None:
            self._inputs, self._targets = in_place
        else:
            self._inputs = self._targets = np.empty(0)
            self._batches = split.dataset(read_size).as_numpy_iterator()

    def take(self, num_samples: int) -> Batch | None:
        """The next `num_samples`, fewer where what was read ends; None after the last."""
        if not self.num_left:
            return None
        if not len(self._inputs):
            with self._split.readable():
                inputs, self._targets = next(self._batches)
            self._inputs = self._joined(inputs)
        taken = self._inputs[:num_samples], self._targets[:num_samples]
        self._inputs, self._targets = self._inputs[num_samples:], self._targets[num_samples:]
        self.num_left -= len(taken[0])
        return taken

    def _joined(self, inputs: Samples) -> np.ndarray:
        """One array for all inputs."""
        parts = ordered(inputs, self._names)
        return parts[0] if len(parts) == 1 else np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)
