"""Samples that Python code gives: pairs of arrays or tf.data, as arrays by the names that an .npz has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from edgecompress.backend import tf
from edgecompress.causes import root_cause
from edgecompress.errors import DataError
from edgecompress.progress import Progress
from edgecompress.samples import each

FORMS = "(x, y) or a tf.data.Dataset of such pairs"


def part_arrays(
    part: Any, suffix: str, place: str, is_batched: Callable[[Any, Any], bool], progress: Progress | None = None
) -> dict[str, np.ndarray]:
    """Inputs and labels of one part.

    Args:
        part: (x, y): x is an array [n, ...], or a mapping of names to arrays; y an array [n, ...], or None. Or a dataset of
            such pairs, or of x alone, which is read to its end and held in memory: twice while its elements are joined.
        suffix: behind each name, such as _train.
        place: what to call it in messages.
        is_batched: whether an element of a dataset is several samples, from the specifications of x and of y (None: no y).
        progress: counts the elements of a dataset.

    Raises:
        DataError: it has none of these forms, or a dataset does not end, or fails.
    """
    if isinstance(part, tf.data.Dataset):
        part = _drawn(part, place, is_batched, progress or Progress())
    if not isinstance(part, tuple | list) or len(part) != 2:
        raise DataError(f"{place} must give {FORMS}. Received: {type(part).__name__}.")
    x, y = part
    inputs = x if isinstance(x, Mapping) else {"x": x}
    labels = {} if y is None else {"y": y}
    return {f"{name}{suffix}": np.asarray(values) for name, values in {**inputs, **labels}.items()}


def _drawn(dataset: tf.data.Dataset, place: str, is_batched: Callable[[Any, Any], bool], progress: Progress) -> tuple[Any, Any]:
    """All elements of a dataset, as (x, y)."""
    elements = _elements(dataset, place, progress)
    spec = dataset.element_spec
    has_labels = isinstance(spec, tuple) and len(spec) == 2
    pairs: list[tuple[Any, Any]] = elements if has_labels else [(element, None) for element in elements]
    first_x, first_y = pairs[0]
    x_spec, y_spec = (each(_known, spec[0], first_x), _known(spec[1], first_y)) if has_labels else (each(_known, spec, first_x), None)
    join: Callable[[list[Any]], np.ndarray] = np.concatenate if is_batched(x_spec, y_spec) else np.stack
    try:
        y = join([y for _, y in pairs]) if has_labels else None
        if isinstance(x_spec, Mapping):
            return {name: join([x[name] for x, _ in pairs]) for name in x_spec}, y
        return join([x for x, _ in pairs]), y
    except ValueError as error:
        raise DataError(f"{place} must give samples of one shape. Received: {error}.") from error


def _elements(dataset: tf.data.Dataset, place: str, progress: Progress) -> list[Any]:
    """The elements as NumPy arrays."""
    cardinality = int(dataset.cardinality())
    if cardinality == tf.data.INFINITE_CARDINALITY:
        raise DataError(f"{place} must give a dataset that ends. Received: one that repeats for ever.")
    elements = []
    with progress.task(f"reading {place}", total=cardinality if cardinality >= 0 else None) as bar:
        try:
            for element in dataset.as_numpy_iterator():
                elements.append(element)
                bar.advance()
                bar.describe(f"{len(elements):,} elements")
        except (tf.errors.OpError, TypeError) as error:  # what the dataset's own functions raise, and elements that are no arrays
            raise DataError(f"{place} must give a dataset that can be read. Received: {root_cause(error)}.") from error
    if not elements:
        raise DataError(f"{place} must give a dataset of samples. Received: an empty one.")
    return elements


def _known(spec: Any, first: np.ndarray) -> Any:
    """The specification of an array; where it leaves even the number of axes open, that of the first element."""
    return tf.TensorSpec(np.shape(first)) if spec.shape.rank is None else spec
