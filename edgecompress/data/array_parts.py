"""Parts of a source from arrays by name: x_train, y_train [x_validation, y_validation, x_test, y_test], or x, y."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgecompress.data.array_inputs import ArrayInputs
from edgecompress.data.labels import class_labels, value_labels
from edgecompress.data.source import Inputs, Part, Source
from edgecompress.errors import DataError
from edgecompress.recipe import schema
from edgecompress.samples import NamedInputs, each


@dataclass(frozen=True)
class ArrayParts:
    """Reads arrays one at a time, so that no more than one is in memory twice.

    Models of several inputs have an array of each input's name in place of x.

    Attributes:
        place: where the arrays are, for messages.
        arrays: by name; each is asked for once.
        config: `inputs`, `group_by` and `exclude` name arrays. The last two are looked for with `_train` and the like behind
            their name too, and must be there for the training part alone.
        task: classification, autoencoder: y is integers [n]; multi_label, regression: y is numbers [n, columns]. An
            autoencoder needs no y, but for `normal`.
        class_names: where the arrays have them.
    """

    place: str
    arrays: Mapping[str, np.ndarray]
    config: schema.Data
    task: schema.Task
    class_names: list[str] | None = None

    def source(self) -> Source:
        """All parts, each fit to the first.

        Raises:
            DataError: an array is missing, or of the wrong type or shape.
        """
        has_parts = f"{self._inputs[0]}_train" in self.arrays
        if has_parts == (self._inputs[0] in self.arrays):
            wanted = " or ".join(", ".join(f"{name}{suffix}" for name in (*self._inputs, "y")) for suffix in ("_train", ""))
            raise DataError(f"{self.place}: must hold {wanted}. Received: {self._found()}.")
        train = self._part("_train" if has_parts else "")
        validation, test = (self._optional_part(suffix, train) for suffix in ("_validation", "_test"))
        return Source(train, validation, test, self.class_names)

    @property
    def _inputs(self) -> list[str]:
        """Names of the arrays that hold inputs."""
        return list(self.config.inputs or ["x"])

    def _optional_part(self, suffix: str, train: Part) -> Part | None:
        """The part, if it is there; its samples must be like those of `train`."""
        if not {f"{name}{suffix}" for name in (*self._inputs, "y")} & set(self.arrays):
            return None
        part = self._part(suffix)
        for array, shape, wanted in (
            (f"{' and '.join(self._inputs)}{suffix}", part.inputs.sample_shape, train.inputs.sample_shape),
            (f"y{suffix}", part.labels.shape[1:], train.labels.shape[1:]),
        ):
            if shape != wanted:
                expected, received = each(list, wanted), each(list, shape)
                raise DataError(f"{array} in {self.place}: samples must have the shape {expected} as in train. Received: {received}.")
        return part

    def _part(self, suffix: str) -> Part:
        """One part, without the samples that are to be left out."""
        names = [f"{name}{suffix}" for name in self._inputs]
        arrays, labels = self._samples(names, f"y{suffix}")
        label_name = f"y{suffix}" if f"y{suffix}" in self.arrays else names[0]
        groups, excluded = (self._column(field, suffix, len(labels)) for field in ("group_by", "exclude"))
        if excluded is not None:
            keep = self._kept(excluded)
            arrays, labels = [array[keep] for array in arrays], labels[keep]
            groups = None if groups is None else groups[keep]
        inputs = {key: ArrayInputs(arrays.pop(0), f"{name} in {self.place}") for key, name in zip(self._inputs, names, strict=True)}
        samples: Inputs = NamedInputs(inputs) if self.config.inputs else inputs["x"]
        return Part(samples, labels, f"{label_name} in {self.place}", groups)

    def _samples(self, names: list[str], label_name: str) -> tuple[list[np.ndarray], np.ndarray]:
        """Inputs and labels of a part, equal in number; labels without columns where there are none."""
        labels = self._labels(label_name)
        arrays = [self._array(name) for name in names]
        found = [(name, array.shape[:1]) for name, array in zip(names, arrays, strict=True)]
        if labels is not None:
            found.append((label_name, labels.shape[:1]))
        for name, length in found:
            if length != found[0][1]:
                expected = f"as many samples as {names[0]}, {arrays[0].shape[0] if arrays[0].ndim else 'a single value'}"
                raise DataError(f"{name} in {self.place}: must have {expected}. Received: {length[0] if length else 'a single value'}.")
        return arrays, np.zeros((*arrays[0].shape[:1], 0), np.float32) if labels is None else labels

    def _labels(self, name: str) -> np.ndarray | None:
        """Labels as the task wants them; None where it wants none and there are none, or values that are no classes."""
        if self.task.target == "input" and name not in self.arrays:
            return None
        array, name = self._array(name), f"{name} in {self.place}"
        if self.task.target == "input" and not self.config.normal and array.dtype.kind not in "iu":
            return None
        if self.task.kind in ("classification", "autoencoder"):
            return class_labels(array, name)
        return value_labels(array, name, probabilities=self.task.kind == "multi_label")

    def _column(self, field: str, suffix: str, num_samples: int) -> np.ndarray | None:
        """The array that the recipe's `group_by` or `exclude` names; a part that is not split may be without it."""
        name = getattr(self.config, field)
        if name is None:
            return None
        if f"{name}{suffix}" in self.arrays:
            name += suffix
        elif suffix not in ("", "_train"):
            return None
        column = self._array(name)
        if column.shape != (num_samples,):
            expected = f"the shape [{num_samples}], one value per sample"
            raise DataError(f"{name} in {self.place}: {field} must have {expected}. Received: {list(column.shape)}.")
        return column

    def _kept(self, excluded: np.ndarray) -> np.ndarray:
        """Rows that are not left out, int64, ascending."""
        if excluded.dtype != bool:
            raise DataError(f"{self.config.exclude} in {self.place}: exclude must be true or false. Received: {excluded.dtype}.")
        return np.flatnonzero(~excluded)

    def _array(self, name: str) -> np.ndarray:
        """One array."""
        if name not in self.arrays:
            raise DataError(f"{self.place}: must hold the array {name!r}. Received: {self._found()}.")
        return self.arrays[name]

    def _found(self) -> str:
        """What there is, for messages."""
        return ", ".join(self.arrays) or "no arrays"
