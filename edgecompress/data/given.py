"""Samples that Python code gives: pairs of arrays or tf.data, as arrays by the names that an .npz has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from edgecompress.backend import tf
from edgecompress.errors import DataError

FORMS = "(x, y) or a tf.data.Dataset of such pairs"


def part_arrays(part: Any, suffix: str, place: str, is_batched: Callable[[Any, Any], bool]) -> dict[str, np.ndarray]:
    """Inputs and labels of one part.

    Args:
        part: (x, y): x is an array [n, ...], or a mapping of names to arrays; y an array [n, ...], or None. Or a dataset of
            such pairs, or of x alone, which is read to its end.
        suffix: behind each name, such as _train.
        place: what to call it in messages.
        is_batched: whether an element of a dataset is several samples, from the specifications of x and of y (None: no y).

    Raises:
        DataError: it has none of these forms, or a dataset does not end.
    """
    if isinstance(part, tf.data.Dataset):
        part = _drawn(part, place, is_batched)
    if not isinstance(part, tuple | list) or len(part) != 2:
        raise DataError(f"{place} must give {FORMS}. Received: {type(part).__name__}.")
    x, y = part
    inputs = x if isinstance(x, Mapping) else {"x": x}
    labels = {} if y is None else {"y": y}
    return {f"{name}{suffix}": np.asarray(values) for name, values in {**inputs, **labels}.items()}


def _drawn(dataset: tf.data.Dataset, place: str, is_batched: Callable[[Any, Any], bool]) -> tuple[Any, Any]:
    """All elements of a dataset, as (x, y)."""
    if dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise DataError(f"{place} must give a dataset that ends. Received: one that repeats for ever.")
    spec = dataset.element_spec
    has_labels = isinstance(spec, tuple) and len(spec) == 2
    join = np.concatenate if is_batched(*spec if has_labels else (spec, None)) else np.stack
    elements = list(dataset.as_numpy_iterator())
    if not elements:
        raise DataError(f"{place} must give a dataset of samples. Received: an empty one.")
    xs = [element[0] if has_labels else element for element in elements]
    y = join([element[1] for element in elements]) if has_labels else None
    if isinstance(xs[0], Mapping):
        return {name: join([x[name] for x in xs]) for name in xs[0]}, y
    return join(xs), y
