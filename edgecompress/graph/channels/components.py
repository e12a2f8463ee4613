"""Which numbers are connected by pairs."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]


def components(count: int, pairs: Sequence[tuple[Numbers, Numbers]]) -> Numbers:
    """The least number that each number is connected with.

    Args:
        count: numbers run from 0 to count - 1.
        pairs: arrays of equal length; the numbers at each position are connected.

    Returns:
        int64 [count].

    Source: Shiloach & Vishkin, An O(log n) Parallel Connectivity Algorithm (1982): hooking and pointer jumping, here with
    whole arrays at a time.
    """
    labels = np.arange(count)
    if not pairs:
        return labels
    one, other = (np.concatenate(side) for side in zip(*pairs, strict=True))
    while True:
        lower = np.minimum(labels[one], labels[other])
        hooked = labels.copy()
        np.minimum.at(hooked, labels[one], lower)
        np.minimum.at(hooked, labels[other], lower)
        while not np.array_equal(hooked, hooked[hooked]):
            hooked = hooked[hooked]
        if np.array_equal(hooked, labels):
            return labels
        labels = hooked
