"""What all sections of a recipe share: strictness, and the numbers that a user may write."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo

from edgecompress.recipe.suggestions import received

Threads = Annotated[int, Field(gt=0, le=1024)]
LAYER_PATTERN = "a layer name, a glob (conv*), re:REGEX or type:LayerClass"


class Section(BaseModel):
    """Common rules: unknown keys are errors, values are not coerced, numbers are finite, nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def _without_nul(path: str, info: ValidationInfo) -> str:
    """No file can be called so, and nothing that opens files says it well."""
    if "\0" in path:
        raise ValueError(f"{info.field_name} must be a path without NUL characters.{received(path)}")
    return path


FilePath = Annotated[str, AfterValidator(_without_nul)]

_FRACTION = r"^\s*-?([0-9]+\.?[0-9]*|\.[0-9]+)\s*/\s*([0-9]+\.?[0-9]*|\.[0-9]+)\s*$"


def parse_number(value: Any) -> Any:
    """Accepts fractions such as `1/255` where a number is expected: the one arithmetic of a recipe."""
    if isinstance(value, str) and re.fullmatch(_FRACTION, value):
        numerator, denominator = (float(part) for part in value.split("/"))
        if denominator:
            return numerator / denominator
    return value


_Fraction = Annotated[str, Field(pattern=_FRACTION, json_schema_extra={"$comment": "a fraction such as 1/255"})]
Number = Annotated[float, BeforeValidator(parse_number, json_schema_input_type=float | _Fraction)]
PositiveNumber = Annotated[
    float, Field(gt=0), BeforeValidator(parse_number, json_schema_input_type=Annotated[float, Field(gt=0)] | _Fraction)
]
