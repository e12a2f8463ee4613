"""How few bytes a file's weights could take if each value were coded by itself, and how far the file is above that."""

import numpy as np

from edgecompress.tflite.model import Tflite

WHOLE_VALUES = ("int8", "uint8", "int16", "uint16", "bool", "float16")  # counted as they are; wider types byte by byte of the value


def entropy_bytes(tflite: Tflite) -> float:
    """Order-0 entropy of all constants, in bytes.

    Each constant has a code of its own: bytes = sum over its values of -log2(frequency) / 8. In types of more than 16 bits nearly every
    value is unique and the sum would say nothing, so the first, second, ... bytes of the values are coded apart. A buffer that several
    tensors share counts once. The tables of the codes are not counted.

    Source: Shannon, A Mathematical Theory of Communication (1948), section 6.
    """
    return sum(_constant_bytes(data, dtype) for data, dtype in tflite.constants())


def _constant_bytes(data: np.ndarray, dtype: str) -> float:
    """Of one constant."""
    try:
        width = np.dtype(dtype).itemsize
    except TypeError:  # int4, bfloat16, string
        width = 1
    if data.size % width:
        width = 1
    if width == 2 and dtype in WHOLE_VALUES:
        return value_entropy(data.view(np.uint16)) * (data.size // 2) / 8
    return sum(value_entropy(data[position::width]) * (data.size // width) / 8 for position in range(width))


def value_entropy(values: np.ndarray) -> float:
    """Order-0 entropy in bits per value: -sum p log2 p over the frequencies p of the values; 0 for none.

    Args:
        values: unsigned integers of at most 16 bits, [n].
    """
    counts = np.bincount(values)
    frequencies = counts[counts > 0] / max(1, values.size)
    return float(-(frequencies * np.log2(frequencies)).sum()) + 0.0  # + 0.0: no minus before zero
