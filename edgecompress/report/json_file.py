"""Measured values as a JSON file that any reader understands, and back."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from edgecompress.errors import DataError
from edgecompress.recipe.suggestions import near_path

Model = TypeVar("Model", bound=BaseModel)


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


def json_text(model: BaseModel) -> str:
    """`model` as JSON: keys in the order of its fields, two spaces, no NaN."""
    return json.dumps(model.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def read_json(path: Path, kind: type[Model]) -> Model:
    """The model of class `kind` that a JSON file holds.

    Raises:
        DataError: the file is missing, is not JSON, or misses something that every `kind` has.
    """
    try:
        return kind.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        near = "" if path.parent.exists() else near_path(path.parent)
        raise DataError(f"{path}: a run folder must hold a readable report. Received: {error.strerror or error}.{near}") from error
    except ValidationError as error:
        raise DataError(f"{path}: {_first_fault(error)}") from error
    except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, nested without end
        raise DataError(f"{path}: the report must be JSON. Received: {error}") from error


def _first_fault(error: ValidationError) -> str:
    """One line about the first key that is missing or wrong."""
    fault = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in fault["loc"]) or "the report"
    received = "nothing" if fault["type"] == "missing" else f"{fault['input']!r:.100}"
    return f"{key} must be as edgecompress writes it ({fault['msg']}). Received: {received}"
