"""Inputs that are held in memory, in the type of the source: bytes stay bytes until they are in a batch."""

from __future__ import annotations

import hashlib

import numpy as np

from edgecompress.backend import tf
from edgecompress.data.preprocess import changes_nothing, preprocess_batch
from edgecompress.data.source import RawShape
from edgecompress.errors import DataError
from edgecompress.recipe.schema import Preprocess

INPUT_TYPES = frozenset({"bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "float32", "float64"})
CHECKED_VALUES = 2**22  # values looked at together by `check_finite`: small beside the array


class ArrayInputs:
    """Samples of one array. The array is copied into a tensor once; let go of it afterwards.

    Args:
        array: [n, ...]; numbers.
        name: of the array and its file, for messages.

    Raises:
        DataError: no samples, no numbers, or NaN.
    """

    def __init__(self, array: np.ndarray, name: str) -> None:
        if array.dtype.name not in INPUT_TYPES:
            raise DataError(f"{name}: inputs must be numbers of at most 64 bits. Received: {array.dtype}.")
        if array.ndim < 2 or 0 in array.shape:
            raise DataError(f"{name}: inputs must be an array [samples, ...] that is not empty. Received: shape {list(array.shape)}.")
        check_finite(array, name)
        array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
        self.sample_shape: RawShape = array.shape[1:]
        self.content_hash = hashlib.sha256(f"{array.dtype} {array.shape}".encode() + hashlib.sha256(array.data).digest()).digest()
        with tf.device("CPU:0"):
            self._values = tf.constant(array)

    def __len__(self) -> int:
        return int(self._values.shape[0])

    def batch(self, rows: tf.Tensor, preprocess: Preprocess) -> tf.Tensor:
        """Preprocessed samples, float32 [b, ...], for `rows`, int64 [b]."""
        return preprocess_batch(tf.gather(self._values, rows), preprocess)

    def as_they_are(self, preprocess: Preprocess) -> np.ndarray | None:
        """All samples, not copied, where they are what `batch` would give; else None. To be read only."""
        if self._values.dtype != tf.float32 or not changes_nothing(preprocess, self.sample_shape):
            return None
        return np.asarray(memoryview(self._values))

    def digest(self, row: int) -> bytes:
        """Hash of one sample."""
        return hashlib.sha256(self._values[row].numpy()).digest()

    def fault(self, rows: np.ndarray) -> str | None:
        """What is in memory can be read."""
        return None


def check_finite(array: np.ndarray, name: str) -> None:
    """Refuses values that are NaN or infinite, or would be as float32.

    Args:
        array: any shape and type.
        name: of the array and its file, for messages.

    Raises:
        DataError: with the number of such values and the index of the first.
    """
    if array.dtype.kind != "f":
        return
    num_bad, first = 0, None
    num_rows = max(1, CHECKED_VALUES // max(1, array[:1].size))
    for start in range(0, len(array), num_rows):
        with np.errstate(over="ignore"):
            bad = ~np.isfinite(array[start : start + num_rows].astype(np.float32, copy=False))
        if bad.any():
            if first is None:
                first = [int(index) for index in np.argwhere(bad)[0]]
                first[0] += start
            num_bad += int(bad.sum())
    if num_bad:
        found = f"{num_bad} that are NaN or infinite, the first at index {first}"
        raise DataError(f"{name}: values must be finite float32 numbers. Received: {found}.")
