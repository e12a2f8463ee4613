"""Labels and class names: what they must be, and messages that say what they are."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from edgecompress.data.array_inputs import check_finite
from edgecompress.data.source import Source
from edgecompress.errors import DataError


def class_labels(array: np.ndarray, name: str) -> np.ndarray:
    """Class labels as int64 [n].

    Args:
        array: integers [n] or [n, 1].
        name: of the array and its file, for messages.

    Raises:
        DataError: another type or shape.
    """
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise DataError(f"{name}: labels must be integers [samples], one class each. Received: {array.dtype} of shape {list(array.shape)}.")
    return array.astype(np.int64)


def value_labels(array: np.ndarray, name: str, *, probabilities: bool) -> np.ndarray:
    """Columns of values as float32 [n, columns].

    Args:
        array: numbers [n] or [n, columns].
        name: of the array and its file, for messages.
        probabilities: values must lie in [0, 1] (a multi-label task).

    Raises:
        DataError: another type or shape, NaN, or values out of range.
    """
    if array.ndim not in (1, 2) or 0 in array.shape or array.dtype.kind not in "biuf":
        raise DataError(f"{name}: labels must be numbers [samples, columns]. Received: {array.dtype} of shape {list(array.shape)}.")
    check_finite(array, name)
    values = array.astype(np.float32).reshape(len(array), -1)
    if probabilities and (values.min() < 0 or values.max() > 1):
        row = int(np.flatnonzero(((values < 0) | (values > 1)).any(axis=1))[0])
        raise DataError(f"{name}: labels of a multi-label task must be in [0, 1]. Received: {values[row].tolist()} at index {row}.")
    return values


def read_class_names(path: str) -> list[str]:
    """Lines of a UTF-8 text file that are not blank.

    Raises:
        DataError: the file cannot be read, or holds a name twice.
    """
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: data.labels must be a readable UTF-8 text file. Received: {error}.") from error
    names = [line.strip() for line in text.splitlines() if line.strip()]
    name, count = max(Counter(names).items(), key=lambda pair: pair[1], default=("", 0))
    if count > 1:
        raise DataError(f"{path}: data.labels must hold each name once. Received: {name!r} {count} times.")
    return names


def resolve_class_names(source: Source, labels_path: str | None) -> list[str]:
    """Names of the classes, or of the columns where they have names, after checking that the labels fit them.

    Args:
        source: its labels are checked in all parts.
        labels_path: the recipe's text file of names; it replaces the names that the source knows, in the source's order.

    Returns: one name per class; for values one per column, or none without `labels_path`.

    Raises:
        DataError: a label outside the classes, classes that are skipped, another number of names than classes, or the source's
            own names in another order, or names that are not UTF-8.
    """
    given = read_class_names(labels_path) if labels_path is not None else None
    if not source.train.has_classes:
        num_columns = source.train.labels.shape[1]
        _check_count(given, num_columns, f"columns of {source.train.name}", labels_path)
        return given or []
    known = source.class_names or given
    num_classes = len(known) if known is not None else _count_classes(source.train.labels, source.train.name)
    for part in source.parts:
        outside = np.flatnonzero((part.labels < 0) | (part.labels >= num_classes))
        if len(outside):
            raise DataError(
                f"{part.name}: labels must be in 0..{num_classes - 1}, the {num_classes} classes. "
                f"Received: {part.labels[outside[0]]} at index {outside[0]}, {len(outside)} such labels in all."
            )
    if source.class_names is None:
        num_classes = _count_classes(source.train.labels, source.train.name)
    _check_count(given, num_classes, f"classes of {source.train.name}", labels_path)
    _check_order(given, source, labels_path)
    names = given or source.class_names or [str(label) for label in range(num_classes)]
    _check_encoding(names, source.train.name)
    return names


def _count_classes(labels: np.ndarray, name: str) -> int:
    """How many classes there are; labels must be 0, 1, 2, ... without gaps."""
    present = np.unique(labels)
    expected = np.arange(len(present))
    if not np.array_equal(present, expected):
        wrong = present[present != expected][0]
        raise DataError(
            f"{name}: labels must be the contiguous integers 0..{len(present) - 1} for {len(present)} different classes. "
            f"Received: {wrong} where {expected[present != expected][0]} was expected."
        )
    return len(present)


def _check_order(names: list[str] | None, source: Source, path: str | None) -> None:
    """The source's own names in another order are no new names: every class would go by the name of another."""
    given, known = ([name.casefold() for name in some or []] for some in (names, source.class_names))
    if given != known and sorted(given) == sorted(known):
        own, received = ", ".join(source.class_names or []), ", ".join(names or [])
        raise DataError(f"{path}: data.labels must be in the order of the classes of {source.train.name}, {own}. Received: {received}.")


def _check_encoding(names: list[str], of_what: str) -> None:
    """A folder's name can be bytes that are no UTF-8, and those cannot be written into a report."""
    for name in names:
        encoded = name.encode("utf-8", "surrogateescape")
        if encoded.decode("utf-8", "replace") != name:
            raise DataError(
                f"{of_what}: class names must be UTF-8. Received: {encoded!r}. Rename the folder, or name all classes by data.labels."
            )


def _check_count(names: list[str] | None, number: int, of_what: str, path: str | None) -> None:
    """A labels file must hold one name for each."""
    if names is not None and len(names) != number:
        raise DataError(f"{path}: data.labels must hold one name per line for the {number} {of_what}. Received: {len(names)} names.")
