"""What all sections of a report have in common."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from edgecompress.report.json_file import json_value


class Section(BaseModel):
    """Common rules: more keys are allowed, nothing changes after it was made (`model_copy(update=...)` makes another)."""

    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _as_json(cls, values: Any) -> Any:
        return json_value(values)
