"""Source `cifar10`: the official Python batches, or what Keras downloads."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from edgecompress.data import keras_download
from edgecompress.data.array_inputs import ArrayInputs
from edgecompress.data.source import Part, Source
from edgecompress.errors import DataError

TRAIN = [f"data_batch_{number}" for number in range(1, 6)]
TEST = "test_batch"
INNER_FOLDER = "cifar-10-batches-py"  # as the official archive unpacks
IMAGE_SHAPE = (3, 32, 32)  # one plane per colour
# Source: Krizhevsky, Learning Multiple Layers of Features from Tiny Images (2009); the order of batches.meta.
CLASS_NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]

# What a pickle may raise that is damaged or made to harm.
UNPICKLING_ERRORS = (
    pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError, ImportError, MemoryError, OverflowError,
)  # fmt: skip


def read(folder: Path) -> Source:
    """Both parts.

    Args:
        folder: holds data_batch_1 to data_batch_5 and test_batch, or the folder cifar-10-batches-py with them.

    Raises:
        DataError: a file is missing and cannot be downloaded, or is no such batch.
    """
    root = folder / INNER_FOLDER if (folder / INNER_FOLDER).is_dir() else folder
    if missing := [name for name in (*TRAIN, TEST) if not (root / name).is_file()]:
        downloaded = keras_download.download("cifar10", CLASS_NAMES) if len(missing) > len(TRAIN) else None
        if downloaded is not None:
            return downloaded
        wanted = "the official Python batches of cifar-10-python.tar.gz, unpacked"
        raise DataError(f"{root}: the folder must hold {wanted}. Missing: {', '.join(missing)}.")
    images, labels = zip(*(read_batch(root / name) for name in TRAIN), strict=True)
    train = Part(ArrayInputs(np.concatenate(images), str(root)), np.concatenate(labels), str(root))
    test_images, test_labels = read_batch(root / TEST)
    return Source(train, test=Part(ArrayInputs(test_images, str(root / TEST)), test_labels, str(root / TEST)), class_names=CLASS_NAMES)


def read_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """One batch.

    Returns: images uint8 [n, 32, 32, 3], labels int64 [n].

    Raises:
        DataError: the file is damaged, or holds anything but a batch.
    """
    try:
        with path.open("rb") as file:
            batch = _BatchUnpickler(file, encoding="bytes").load()
    except UNPICKLING_ERRORS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: must be a whole Python batch of CIFAR-10. Received: {reason}.") from error
    content = batch if isinstance(batch, dict) else {}
    images, labels = _images(content.get(b"data")), content.get(b"labels")
    if images is None or not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise DataError(f"{path}: must hold data, bytes [n, 3072], and labels, a list of n numbers. Received: something else.")
    if len(images) != len(labels):
        raise DataError(f"{path}: must hold as many labels as images, {len(images)}. Received: {len(labels)}.")
    return images, np.asarray(labels, dtype=np.int64)


class _Inert:
    """Stands for what NumPy would make: keeps what it is called with and does nothing."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _BatchUnpickler(pickle.Unpickler):
    """Makes dictionaries, lists, bytes, numbers and `_Inert` objects. A pickle can call nothing else, so it runs no code."""

    ALLOWED = (("numpy.core.multiarray", "_reconstruct"), ("numpy", "ndarray"), ("numpy", "dtype"))

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"a pickle that asks for {module}.{name}, which an official file does not")
        return _Inert


def _images(array: Any) -> np.ndarray | None:
    """The array behind its stand-in, as uint8 [n, 32, 32, 3]; None where it is no such array."""
    state = array.state if isinstance(array, _Inert) else None
    if not isinstance(state, tuple) or len(state) != 5:
        return None
    _, shape, kind, is_fortran, content = state  # as ndarray.__reduce__ gives them
    is_bytes = isinstance(kind, _Inert) and kind.arguments[:1] in ((b"u1",), ("u1",))
    if not is_bytes or is_fortran or not isinstance(content, bytes) or not isinstance(shape, tuple) or len(shape) != 2:
        return None
    size = int(np.prod(IMAGE_SHAPE))
    if shape[1] != size or shape[0] * size != len(content):
        return None
    return np.frombuffer(content, np.uint8).reshape(-1, *IMAGE_SHAPE).transpose(0, 2, 3, 1)
