"""What all sections of a recipe share: strictness, and the numbers that a user may write."""

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Threads = Annotated[int, Field(gt=0, le=1024)]
LAYER_PATTERN = "a layer name, a glob (conv*), re:REGEX or type:LayerClass"


class Section(BaseModel):
    """Common rules: unknown keys are errors, values are not coerced, numbers are finite, nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


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
