"""Source `python`: samples that a function of the user's own gives, as arrays or tf.data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from edgecompress.backend import tf
from edgecompress.data.array_parts import ArrayParts
from edgecompress.data.source import Source
from edgecompress.errors import DataError
from edgecompress.recipe import schema
from edgecompress.user_code import call_function

PARTS = ("train", "validation", "test")
FORMS = "(x, y), a tf.data.Dataset of such pairs, a mapping of train, validation and test to one of these, or arrays by name as in an .npz"


def read(config: schema.Data, task: schema.Task, *, allow_code: bool) -> Source:
    """Calls the function that `path` names, without arguments, and holds what it gives in memory.

    x is an array [n, ...], or a mapping of the names of `inputs` to arrays; y an array [n, ...], or None for an autoencoder.
    A dataset may be batched; it must end.

    Raises:
        DataError: code is not allowed, the function fails, or what it gives has none of these forms.
    """
    place = config.path or ""
    given = call_function(place, DataError, "data.path", allow_code=allow_code)
    parts = given if isinstance(given, Mapping) else {"": given}
    arrays: dict[str, np.ndarray] = {}
    for name, part in parts.items():
        if name in ("", *PARTS):
            arrays |= _part_arrays(part, f"_{name}" if name else "", place, task)
        else:
            arrays[str(name)] = np.asarray(part)
    return ArrayParts(place, arrays, config, task).source()


def _part_arrays(part: Any, suffix: str, place: str, task: schema.Task) -> dict[str, np.ndarray]:
    """Inputs and labels of one part, by the names that an .npz would give them."""
    if isinstance(part, tf.data.Dataset):
        part = _drawn(part, place, task)
    if not isinstance(part, tuple | list) or len(part) != 2:
        raise DataError(f"data.path: {place} must give {FORMS}. Received: {type(part).__name__}.")
    x, y = part
    inputs = x if isinstance(x, Mapping) else {"x": x}
    labels = {} if y is None else {"y": y}
    return {f"{name}{suffix}": np.asarray(values) for name, values in {**inputs, **labels}.items()}


def _drawn(dataset: tf.data.Dataset, place: str, task: schema.Task) -> tuple[Any, Any]:
    """All elements of a dataset, as (x, y)."""
    if dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise DataError(f"data.path: {place} must give a dataset that ends. Received: one that repeats for ever.")
    spec = dataset.element_spec
    has_labels = isinstance(spec, tuple) and len(spec) == 2
    join = np.concatenate if _is_batched(spec, has_labels, task) else np.stack
    elements = list(dataset.as_numpy_iterator())
    if not elements:
        raise DataError(f"data.path: {place} must give a dataset of samples. Received: an empty one.")
    xs = [element[0] if has_labels else element for element in elements]
    y = join([element[1] for element in elements]) if has_labels else None
    if isinstance(xs[0], Mapping):
        return {name: join([x[name] for x in xs]) for name in xs[0]}, y
    return join(xs), y


def _is_batched(spec: Any, has_labels: bool, task: schema.Task) -> bool:
    """Whether an element is several samples: its labels have an axis more than one label has, or its first size is open."""
    if has_labels:
        return bool(spec[1].shape.rank > (0 if task.kind in ("classification", "autoencoder") else 1))
    first: Iterable[Any] = spec.values() if isinstance(spec, Mapping) else [spec]
    return any(tensor.shape[0] is None for tensor in first)
