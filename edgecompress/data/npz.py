"""Source `npz`: arrays x_train, y_train [x_validation, y_validation, x_test, y_test], or x, y."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Literal

import numpy as np

from edgecompress.data.array_inputs import ArrayInputs
from edgecompress.data.labels import class_labels, value_labels
from edgecompress.data.source import Part, Source
from edgecompress.errors import DataError

# What NumPy and zipfile raise for damaged files: a header may ask for more memory than there is, or for an encrypted member.
READ_ERRORS = (OSError, EOFError, ValueError, MemoryError, RuntimeError, zipfile.BadZipFile, zlib.error)

Kind = Literal["classification", "multi_label", "regression", "autoencoder"]


def read(path: Path, kind: Kind, group_by: str | None) -> Source:
    """The parts that the file has. Pickled objects are refused: reading never runs code.

    Args:
        path: an .npz file.
        kind: of the task. classification, autoencoder: y is integers [n]; multi_label, regression: y is numbers
            [n, columns].
        group_by: name of an array [n] of group labels, itself or with `_train` behind it.

    Raises:
        DataError: the file or an array is missing, damaged, or of the wrong type or shape.
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
        return _Reader(path, archive, kind, group_by).source()


class _Reader:
    """Reads one open file, an array at a time, so that no more than one is in memory twice."""

    def __init__(self, path: Path, archive: np.lib.npyio.NpzFile, kind: Kind, group_by: str | None) -> None:
        self._path, self._archive, self._kind, self._group_by = path, archive, kind, group_by

    def source(self) -> Source:
        """All parts, each fit to the first."""
        has_parts = "x_train" in self._archive.files
        if has_parts == ("x" in self._archive.files):
            raise DataError(f"{self._path}: must hold x_train, y_train or x, y. Received: {self._found()}.")
        train = self._part("_train" if has_parts else "")
        validation, test = (self._optional_part(suffix, train) for suffix in ("_validation", "_test"))
        return Source(train, validation, test)

    def _optional_part(self, suffix: str, train: Part) -> Part | None:
        """The part, if the file has it; its samples must be like those of `train`."""
        if not {f"x{suffix}", f"y{suffix}"} & set(self._archive.files):
            return None
        part = self._part(suffix)
        for array, shape, wanted in (
            (f"x{suffix}", part.inputs.sample_shape, train.inputs.sample_shape),
            (f"y{suffix}", part.labels.shape[1:], train.labels.shape[1:]),
        ):
            if shape != wanted:
                raise DataError(
                    f"{array} in {self._path}: samples must have the shape {list(wanted)} as in train. Received: {list(shape)}."
                )
        return part

    def _part(self, suffix: str) -> Part:
        """One part, with its groups where it is to be split."""
        x, y = f"x{suffix}", f"y{suffix}"
        labels = self._labels(self._array(y), f"{y} in {self._path}")
        inputs = ArrayInputs(self._array(x), f"{x} in {self._path}")
        if len(inputs) != len(labels):
            raise DataError(f"{y} in {self._path}: must have as many samples as {x}, {len(inputs)}. Received: {len(labels)}.")
        groups = self._groups(len(inputs)) if suffix in ("", "_train") else None
        return Part(inputs, labels, f"{y} in {self._path}", groups)

    def _labels(self, array: np.ndarray, name: str) -> np.ndarray:
        """Labels as the task wants them."""
        if self._kind in ("classification", "autoencoder"):
            return class_labels(array, name)
        return value_labels(array, name, probabilities=self._kind == "multi_label")

    def _groups(self, num_samples: int) -> np.ndarray | None:
        """Group labels of the part that is split, if the recipe wants groups."""
        if self._group_by is None:
            return None
        name = next((name for name in (f"{self._group_by}_train", self._group_by) if name in self._archive.files), self._group_by)
        groups = self._array(name)
        if groups.shape != (num_samples,):
            expected = f"the shape [{num_samples}], one group per sample"
            raise DataError(f"{name} in {self._path}: group_by must have {expected}. Received: {list(groups.shape)}.")
        return groups

    def _array(self, name: str) -> np.ndarray:
        """One array, decompressed."""
        if name not in self._archive.files:
            raise DataError(f"{self._path}: must hold the array {name!r}. Received: {self._found()}.")
        try:
            return np.asarray(self._archive[name])
        except READ_ERRORS as error:
            raise DataError(f"{name} in {self._path}: must be a whole array without pickled objects. Received: {error}.") from error

    def _found(self) -> str:
        """What the file holds, for messages."""
        return ", ".join(self._archive.files) or "no arrays"
