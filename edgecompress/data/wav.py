"""Sound files: what a .wav says of itself, and its samples."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from edgecompress.backend import tf
from edgecompress.errors import DataError

PCM = 1  # the format code of plain integers
EXTENSIBLE = 0xFFFE  # the real code stands further behind
SAMPLE_BITS = 16


@dataclass(frozen=True)
class WavFormat:
    """What a file holds: samples per second, and the number of samples of its one channel."""

    sample_rate: int
    num_samples: int


def read_format(path: Path) -> WavFormat:
    """Reads the header of a file; its samples are passed over.

    Raises:
        DataError: no .wav file, one that ends too early, or one that is not 16-bit PCM of one channel.

    Source: Microsoft and IBM, Multimedia Programming Interface and Data Specifications 1.0 (1991), WAVE file format.
    """
    try:
        with path.open("rb") as file:
            start = file.read(12)
            if start[:4] != b"RIFF" or start[8:] != b"WAVE":
                raise DataError(f"{path}: must be a .wav file. Received: {'a file of another format' if start else 'an empty file'}.")
            rate = 0
            while len(header := file.read(8)) == 8:
                name, size = struct.unpack("<4sI", header)
                if name == b"fmt ":
                    rate = _sample_rate(path, file.read(size))
                elif name == b"data" and rate:
                    _check_length(path, size, path.stat().st_size - file.tell())
                    return WavFormat(rate, size // (SAMPLE_BITS // 8))
                else:
                    file.seek(size, 1)
                file.seek(size % 2, 1)  # chunks start at even places
    except (struct.error, OverflowError) as error:
        raise DataError(f"{path}: must be a whole .wav file. Received: {error}.") from error
    raise DataError(f"{path}: must be a whole .wav file. Received: one that ends before its samples.")


def _sample_rate(path: Path, content: bytes) -> int:
    """Samples per second, from a format chunk."""
    code, num_channels, rate, _, _, num_bits = struct.unpack_from("<HHIIHH", content)
    if code == EXTENSIBLE and len(content) >= 26:
        code = struct.unpack_from("<H", content, 24)[0]
    if (code, num_channels, num_bits) != (PCM, 1, SAMPLE_BITS) or not rate:
        received = f"format {code}, {num_bits} bits, {num_channels} channels, {rate} hertz"
        raise DataError(f"{path}: must be {SAMPLE_BITS}-bit PCM of one channel. Received: {received}.")
    return int(rate)


def _check_length(path: Path, stated: int, found: int) -> None:
    """The samples that the header tells of must be there."""
    if stated > found or not stated:
        raise DataError(f"{path}: must hold samples, as many as its header says, {stated} bytes. Received: {found} bytes.")


def decode_wav(path: tf.Tensor, start: tf.Tensor, num_samples: int) -> tf.Tensor:
    """Samples of a file from `start` on, in [-1, 1), float32 [num_samples, 1]; where it ends earlier, zeros follow."""
    sound, _ = tf.audio.decode_wav(tf.io.read_file(path), desired_channels=1)
    found = sound[start : start + num_samples]
    return tf.ensure_shape(tf.pad(found, [[0, num_samples - tf.shape(found)[0]], [0, 0]]), [num_samples, 1])
