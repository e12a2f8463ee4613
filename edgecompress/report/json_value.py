"""Any measured value in terms of JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel


def json_value(value: Any) -> Any:
    """`value` in terms of JSON: NumPy numbers and arrays as Python's, tuples as lists, NaN and infinity as None.

    Models of pydantic are left as they are: they were cleaned when they were made.
    """
    if isinstance(value, BaseModel | str | bool | int | None):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None  # float(): NumPy's float64 is a float too
    if isinstance(value, Mapping):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [json_value(item) for item in value]
    if hasattr(value, "tolist"):  # NumPy's arrays and scalars, without importing NumPy
        return json_value(value.tolist())
    return str(value) if isinstance(value, Path) else value
