"""Source `python`: samples that a function of the user's own gives, as arrays or tf.data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edgecompress.data.array_parts import ArrayParts
from edgecompress.data.given import part_arrays
from edgecompress.data.source import Source
from edgecompress.errors import DataError
from edgecompress.recipe import schema
from edgecompress.user_code import call_function

PARTS = ("train", "validation", "test")


def read(config: schema.Data, task: schema.Task, *, allow_code: bool) -> Source:
    """Calls the function that `path` names, without arguments, and holds what it gives in memory.

    It may give a pair or dataset as `part_arrays` takes them, which is split; a mapping of train, validation and test to such;
    or arrays by name, as an .npz has them. A dataset may be batched.

    Raises:
        DataError: code is not allowed, the function fails, or what it gives has none of these forms.
    """
    place = config.path or ""
    given = call_function(place, DataError, "data.path", allow_code=allow_code)
    label_rank = 0 if task.kind in ("classification", "autoencoder") else 1

    def is_batched(x: Any, y: Any) -> bool:
        """Labels of several samples have an axis more than one label; without labels, the number of samples is open."""
        if y is not None:
            return bool(y.shape.rank > label_rank)
        return any(spec.shape[0] is None for spec in (x.values() if isinstance(x, Mapping) else [x]))

    arrays: dict[str, np.ndarray] = {}
    for name, part in (given if isinstance(given, Mapping) else {"": given}).items():
        if name in ("", *PARTS):
            arrays |= part_arrays(part, f"_{name}" if name else "", f"data.path: {place}", is_batched)
        else:
            arrays[str(name)] = np.asarray(part)
    return ArrayParts(place, arrays, config, task).source()
