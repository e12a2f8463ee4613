"""Integers of fewer than 8 bits, as a .tflite stores them: several to a byte, the first in the lowest bits.

Source: TensorFlow, tensorflow/lite/kernels/internal/portable_tensor_utils.h, UnpackPackedIntToInt8.
"""

from collections.abc import Sequence
from math import prod

import numpy as np

PACKED_BITS = {"int4": 4, "int2": 2}
"""Type of a tensor -> bits of one value."""


def pack_integers(values: np.ndarray, bits: int) -> np.ndarray:
    """Integers in [-2^(bits - 1), 2^(bits - 1) - 1] as uint8 [ceil(values * bits / 8)].

    Args:
        values: integers of any shape, in row-major order.
        bits: 2, 4 or 8.
    """
    per_byte = 8 // bits
    fields = np.asarray(values, np.int8).reshape(-1).view(np.uint8) & np.uint8((1 << bits) - 1)
    rows = np.pad(fields, (0, -fields.size % per_byte)).reshape(-1, per_byte)
    return np.bitwise_or.reduce(rows << (bits * np.arange(per_byte, dtype=np.uint8)), axis=1).astype(np.uint8)


def unpack_integers(data: np.ndarray, bits: int, shape: Sequence[int]) -> np.ndarray | None:
    """The int8 values of `shape` that `pack_integers` packed; None where the number of bytes does not fit."""
    size = prod(shape)
    if data.size != -(-size * bits // 8):
        return None
    per_byte = 8 // bits
    fields = (data[:, None] << (8 - bits * (1 + np.arange(per_byte, dtype=np.uint8)))).astype(np.uint8)
    return (fields.view(np.int8) >> (8 - bits)).reshape(-1)[:size].reshape(shape)
