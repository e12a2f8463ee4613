"""Sources `mnist`, `fashion_mnist`, `kmnist`: the official idx files, compressed or not, or what Keras downloads."""

from __future__ import annotations

import gzip
import io
import math
import zlib
from pathlib import Path

import numpy as np

from edgecompress.data import keras_download
from edgecompress.data.array_inputs import ArrayInputs
from edgecompress.data.source import Part, Source
from edgecompress.errors import DataError

IMAGES, LABELS = "{part}-images-idx3-ubyte", "{part}-labels-idx1-ubyte"
TRAIN, TEST = "train", "t10k"
UNSIGNED_BYTE = 8  # the type code of the header; the official files hold nothing else
READ_BYTES = 2**20  # at a time: a gzip file is decompressed into a buffer first
LARGEST_GZIP_RATIO = 1032  # deflate cannot do more; a header that says more lies. Source: zlib Technical Details

CLASS_NAMES = {
    "mnist": [str(digit) for digit in range(10)],
    # Source: Xiao et al., Fashion-MNIST (2017), table 2.
    "fashion_mnist": ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"],
    # Source: Clanuwat et al., Deep Learning for Classical Japanese Literature (2018), figure 1; one Hiragana row each.
    "kmnist": ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"],
}


def read(folder: Path, family: str) -> Source:
    """Both parts of a family.

    Args:
        folder: holds the four files, each with or without `.gz`.
        family: a key of `CLASS_NAMES`.

    Raises:
        DataError: a file is missing and cannot be downloaded, is not what its header says, or images and labels do not fit.
    """
    names = [pattern.format(part=part) for part in (TRAIN, TEST) for pattern in (IMAGES, LABELS)]
    paths = {name: path for name in names if (path := _find(folder, name)) is not None}
    if missing := [name for name in names if name not in paths]:
        downloaded = None if paths else keras_download.download(family, CLASS_NAMES[family])  # a folder with some was meant to have all
        if downloaded is not None:
            return downloaded
        wanted = ", ".join(f"{name}[.gz]" for name in missing)
        raise DataError(f"{folder}: the folder must hold the official idx files of {family}. Missing: {wanted}.")
    train, test = (_read_part(paths[IMAGES.format(part=part)], paths[LABELS.format(part=part)]) for part in (TRAIN, TEST))
    if test.inputs.sample_shape != train.inputs.sample_shape:
        expected, given = list(train.inputs.sample_shape), list(test.inputs.sample_shape)
        raise DataError(f"{paths[IMAGES.format(part=TEST)]}: images must have the shape {expected} as in train. Received: {given}.")
    return Source(train=train, test=test, class_names=CLASS_NAMES[family])


def _find(folder: Path, name: str) -> Path | None:
    """The file, or else its compressed form, if there is one."""
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def _read_part(images_path: Path, labels_path: Path) -> Part:
    """Images and labels of one part."""
    images, labels = read_idx(images_path, num_dimensions=3), read_idx(labels_path, num_dimensions=1)
    if len(images) != len(labels):
        raise DataError(
            f"{labels_path}: must hold as many labels as {images_path.name} holds images, {len(images)}. Received: {len(labels)}."
        )
    return Part(ArrayInputs(images, str(images_path)), labels.astype(np.int64), str(labels_path))


def read_idx(path: Path, *, num_dimensions: int) -> np.ndarray:
    """One idx file of unsigned bytes.

    Header: two zero bytes, the type code 8, the number of dimensions; then the size of each, 4 bytes, big-endian.

    Args:
        path: `.gz` is decompressed.
        num_dimensions: 3 for images, 1 for labels.

    Returns: uint8, the shape that the header says.

    Raises:
        DataError: the file is no such idx file, is truncated, or is longer than its header says.

    Source: Y. LeCun, The MNIST database, "File formats for the MNIST database".
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return _read_values(file, path, num_dimensions)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: must be a whole gzip file. Received: {error}.") from error


def _read_values(file: io.BufferedIOBase | gzip.GzipFile, path: Path, num_dimensions: int) -> np.ndarray:
    """Reads an open idx file into one array, without a second copy."""
    magic = bytes([0, 0, UNSIGNED_BYTE, num_dimensions])
    header = file.read(4 + 4 * num_dimensions)
    if header[:4] != magic:
        raise DataError(f"{path}: an idx file must start with the bytes {magic.hex(' ')}. Received: {header[:4].hex(' ') or 'nothing'}.")
    if len(header) < 4 + 4 * num_dimensions:
        raise DataError(f"{path}: must hold {num_dimensions} sizes after its first 4 bytes. Received: a truncated header.")
    shape = tuple(int(size) for size in np.frombuffer(header, ">u4", offset=4))
    num_values = math.prod(shape)
    if num_values > path.stat().st_size * LARGEST_GZIP_RATIO:
        raise DataError(f"{path}: must hold {num_values} values, as its header says. Received: a truncated file.")
    values = np.empty(num_values, dtype=np.uint8)
    num_read = 0
    while count := file.readinto(values.data[num_read : num_read + READ_BYTES]):
        num_read += count
    if num_read < num_values:
        raise DataError(f"{path}: must hold {num_values} values, as its header says. Received: {num_read}, the file is truncated.")
    if file.read(1):
        raise DataError(f"{path}: must hold {num_values} values, as its header says. Received: more than that.")
    return values.reshape(shape)
