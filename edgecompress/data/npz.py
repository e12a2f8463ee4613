"""Source `npz`: a file of arrays."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from edgecompress.data.array_parts import ArrayParts
from edgecompress.data.source import Source
from edgecompress.errors import DataError
from edgecompress.recipe import schema

# What NumPy and zipfile raise for damaged files: a header may ask for more memory than there is, for an encrypted member, or be no
# Python that its tokenizer knows.
READ_ERRORS = (
    OSError, EOFError, ValueError, MemoryError, RuntimeError, SyntaxError, tokenize.TokenError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def read(path: Path, config: schema.Data, task: schema.Task) -> Source:
    """The parts that the file has, see `ArrayParts`. Pickled objects are refused: reading never runs code.

    Args:
        path: an .npz file.

    Raises:
        DataError: the file or an array is missing, damaged, or of the wrong type or shape.
    """
    with opened(path) as arrays:
        return ArrayParts(str(path), arrays, config, task).source()


@contextmanager
def opened(path: Path) -> Iterator[Mapping[str, np.ndarray]]:
    """The arrays of an .npz file, each read when it is asked for.

    Raises:
        DataError: here or while an array is read: missing or damaged.
    """
    try:
        archive = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise DataError(f"{path}: data.path must be an .npz file. Received: nothing is there.") from error
    except READ_ERRORS as error:
        raise DataError(f"{path}: must be a whole .npz file without pickled objects. Received: {error}.") from error
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise DataError(f"{path}: must be an .npz file. Received: a single array.")
    with archive:
        yield _Arrays(path, archive)


class _Arrays(Mapping[str, np.ndarray]):
    """An open file whose errors name array and file."""

    def __init__(self, path: Path, archive: np.lib.npyio.NpzFile) -> None:
        self._path, self._archive = path, archive

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._archive.files:
            raise KeyError(name)
        try:
            return np.asarray(self._archive[name])
        except READ_ERRORS as error:
            raise DataError(f"{name} in {self._path}: must be a whole array without pickled objects. Received: {error}.") from error

    def __contains__(self, name: object) -> bool:
        return name in self._archive.files

    def __iter__(self) -> Iterator[str]:
        return iter(self._archive.files)

    def __len__(self) -> int:
        return len(self._archive.files)
