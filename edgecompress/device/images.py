"""PNG files and the preprocessing of a bundle's manifest, by the standard library and NumPy alone.

Gives what `edgecompress.data.preprocess` gives, which a test compares; that one needs TensorFlow.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # grey, colour, palette, grey + alpha, colour + alpha
_PALETTE = 3
_MOST_PIXELS = 100_000_000
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601-7, section 2.5.1


def read_png(path: str) -> np.ndarray:
    """The pixels of a PNG file, uint8 [height, width, channels]: 1 grey, 2 grey and alpha, 3 colour, 4 colour and alpha.

    16-bit files keep their upper 8 bits, palettes become colours.

    Raises:
        ValueError: No PNG, a damaged one, or one that is stored interlaced.
        OSError: The file cannot be read.

    Source: W3C, Portable Network Graphics (PNG) Specification, third edition, sections 5, 9 and 11.
    """
    with open(path, "rb") as file:
        content = file.read()
    if not content.startswith(_SIGNATURE):
        raise ValueError(f"{path}: must be a PNG file. Received: a file of another format")
    try:
        chunks = list(_chunks(content))
        width, height, depth, kind, _, _, interlaced = struct.unpack(">IIBBBBB", dict(chunks)[b"IHDR"])
        if interlaced:
            raise ValueError("it is interlaced; save it without")
        if kind not in _CHANNELS or depth not in (1, 2, 4, 8, 16) or not 0 < width * height <= _MOST_PIXELS:
            raise ValueError(f"{width} x {height} pixels of kind {kind} with {depth} bits are not supported")
        row_bits = width * _CHANNELS[kind] * depth
        data = zlib.decompress(b"".join(part for name, part in chunks if name == b"IDAT"))
        rows = _unfiltered(data, height, (row_bits + 7) // 8, max(1, _CHANNELS[kind] * depth // 8))
        samples = _samples(rows, depth, width * _CHANNELS[kind], scaled=kind != _PALETTE)
        pixels = samples.reshape(height, width, _CHANNELS[kind])
        if kind == _PALETTE:
            colours = np.frombuffer(dict(chunks)[b"PLTE"], np.uint8).reshape(-1, 3)
            return colours[pixels[..., 0]]
        return pixels
    except (ValueError, KeyError, IndexError, struct.error, zlib.error) as error:
        raise ValueError(f"{path}: must be a PNG file that can be read: {error}") from error


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and data of every chunk."""
    position = len(_SIGNATURE)
    while position + 8 <= len(content):
        (size,) = struct.unpack_from(">I", content, position)
        yield content[position + 4 : position + 8], content[position + 8 : position + 8 + size]
        position += 12 + size


def _unfiltered(data: bytes, height: int, row_bytes: int, step: int) -> np.ndarray:
    """The rows as they were before the file's filters, uint8 [height, row_bytes]; `step`: bytes between a pixel and its left one."""
    stored = np.frombuffer(data, np.uint8, height * (row_bytes + 1)).reshape(height, row_bytes + 1)
    rows = np.zeros((height, row_bytes), np.uint8)
    above = np.zeros(row_bytes, np.uint8)
    for row in range(height):
        rows[row] = above = _unfiltered_row(int(stored[row, 0]), stored[row, 1:], above, step)
    return rows


def _unfiltered_row(kind: int, row: np.ndarray, above: np.ndarray, step: int) -> np.ndarray:
    """One row; filters 0 to 4 are none, left, above, their average, and Paeth's choice."""
    if kind == 0:
        return row
    if kind == 1:
        return np.cumsum(row.reshape(-1, step), axis=0, dtype=np.uint8).reshape(-1)
    if kind == 2:
        return row + above
    values, upper = row.tolist(), above.tolist()
    for place, value in enumerate(values):
        left = values[place - step] if place >= step else 0
        if kind == 3:
            values[place] = (value + (left + upper[place]) // 2) & 255
        elif kind == 4:
            values[place] = (value + _paeth(left, upper[place], upper[place - step] if place >= step else 0)) & 255
        else:
            raise ValueError(f"filter {kind} does not exist")
    return np.array(values, np.uint8)


def _paeth(left: int, above: int, corner: int) -> int:
    """The neighbour that is nearest to left + above - corner."""
    guess = left + above - corner
    distances = abs(guess - left), abs(guess - above), abs(guess - corner)
    return (left, above, corner)[distances.index(min(distances))]


def _samples(rows: np.ndarray, depth: int, num_samples: int, *, scaled: bool) -> np.ndarray:
    """Samples of any bit depth as bytes, uint8 [height, num_samples]; `scaled`: below 8 bits the largest becomes 255."""
    if depth == 16:
        return rows[:, ::2]
    if depth == 8:
        return rows
    shifts = np.arange(8 - depth, -1, -depth)
    samples = (rows[..., None] >> shifts & (1 << depth) - 1).reshape(len(rows), -1)[:, :num_samples]
    return (samples * (255 // ((1 << depth) - 1) if scaled else 1)).astype(np.uint8)


def preprocess(image: np.ndarray, settings: Mapping[str, Any], shape: Sequence[int]) -> np.ndarray:
    """An image as the model takes it: colour channels, size, then `(resized * scale - mean) / std`.

    Args:
        image: uint8 [height, width, channels].
        settings: `preprocess` of the manifest.
        shape: [height, width, channels] of the model's input; it decides the channels where the settings keep what comes.

    Returns:
        float32 of that shape.

    Raises:
        ValueError: The model takes no images, or none of this size.
    """
    if settings.get("mfcc") is not None or len(shape) != 3:
        raise ValueError(f"the model takes samples of shape {list(shape)}, no images; give a preprocessed sample as .npy")
    values = _with_channels(image, int(shape[2]))
    if settings["resize"] is not None:
        values = _resized(values, *settings["resize"])
    if values.shape != tuple(shape):
        expected, received = (f"{size[0]} x {size[1]}" for size in (shape, image.shape))
        raise ValueError(f"the image must have {expected} pixels (height x width). Received: {received}")
    std = np.asarray(settings["std"])
    factor, offset = np.float32(settings["scale"] / std), np.float32(np.asarray(settings["mean"]) / std)
    return (values.astype(np.float32) * factor - offset).astype(np.float32)


def _with_channels(image: np.ndarray, num_channels: int) -> np.ndarray:
    """Grey is repeated for colour, colour becomes its luminance for grey, alpha is dropped."""
    if image.shape[2] == num_channels:
        return image
    colours = image[..., :3] if image.shape[2] >= 3 else image[..., :1]
    if num_channels == 1 and colours.shape[2] == 3:
        return (colours.astype(np.float32) * _LUMINANCE).sum(axis=-1, keepdims=True)
    return np.repeat(colours, 3, axis=2) if num_channels == 3 and colours.shape[2] == 1 else colours


def _resized(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear between pixel centres, without antialiasing: float32 [height, width, channels]."""
    values = image.astype(np.float32)
    for axis, size in ((0, height), (1, width)):
        old = values.shape[axis]
        if old == size:
            continue
        place = ((np.arange(size) + 0.5) * (old / size) - 0.5).astype(np.float32)
        lower = np.floor(place)
        share = (place - lower).reshape(-1, *(1,) * (values.ndim - 1 - axis))
        first = values.take(np.clip(lower, 0, old - 1).astype(int), axis)
        second = values.take(np.clip(np.ceil(place), 0, old - 1).astype(int), axis)
        values = first + (second - first) * share
    return values
