"""Samples of two parts as those of one."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from edgecompress.backend import tf
from edgecompress.data.source import Inputs
from edgecompress.samples import each


class JoinedInputs:
    """`Inputs` whose rows are those of `first`, then those of `second`, which preprocessing gives the same shape."""

    def __init__(self, first: Inputs, second: Inputs) -> None:
        self._first, self._second = first, second
        self.sample_shape = first.sample_shape
        self.content_hash = hashlib.sha256(first.content_hash + second.content_hash).digest()

    def __len__(self) -> int:
        return len(self._first) + len(self._second)

    def batch(self, rows: tf.Tensor, preprocess: Any) -> Any:
        """Preprocessed samples, float32 [b, ...], for `rows`, int64 [b], in their order."""
        size = len(self._first)
        places = [tf.where(side)[:, 0] for side in (rows < size, rows >= size)]
        own_rows = tf.gather(rows, places[0]), tf.gather(rows, places[1]) - size
        ones, others = (part.batch(own, preprocess) for part, own in zip((self._first, self._second), own_rows, strict=True))
        order = [tf.cast(place, tf.int32) for place in places]
        return each(lambda one, other: tf.dynamic_stitch(order, [one, other]), ones, others)

    def digest(self, row: int) -> bytes:
        """Hash of one sample."""
        return self._first.digest(row) if row < len(self._first) else self._second.digest(row - len(self._first))

    def fault(self, rows: np.ndarray) -> str | None:
        """The first fault of a part."""
        size = len(self._first)
        return self._first.fault(rows[rows < size]) or self._second.fault(rows[rows >= size] - size)
