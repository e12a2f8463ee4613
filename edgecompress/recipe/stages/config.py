"""What the Configs of all techniques share: strictness, the `train:` block, layer patterns."""

from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field

from edgecompress.recipe.distillation import Distillation, OrTrue
from edgecompress.recipe.training import Training

Layers = Annotated[
    list[str], Field(description="layers to work on: a name, a glob (conv*), re:REGEX or type:LayerClass; empty: all that fit")
]
Skip = Annotated[list[str], Field(description="layers to leave alone, written like `layers`")]


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Train(Training):
    """A training of a stage: teachers may help it."""

    distill: Annotated[
        Distillation | None,
        OrTrue(),
        Field(description="learn from teachers too; true: from the baseline, with the loss that fits the task. See the technique distill"),
    ] = None


RecoveryTrain = Annotated[Train | None, Field(description="training in this stage; absent: none", examples=[{"epochs": 2}])]


class StageConfig(Config):
    id: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$",
        description="names this stage for --set stages.ID.field",
        json_schema_extra={"$comment": "letters, digits and '_', the first not a digit"},
    )

    if TYPE_CHECKING:  # each Config declares its own, with the one value that it can have

        @property
        def technique(self) -> str: ...
