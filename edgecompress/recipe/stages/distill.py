"""Config of `distill`."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from edgecompress.recipe.distillation import RESPONSE, BaselineTeacher, Distillation
from edgecompress.recipe.model import AnyModel
from edgecompress.recipe.section import Section
from edgecompress.recipe.stages.config import StageConfig
from edgecompress.recipe.training import Training


class Scaled(Section):
    """The first teacher's graph with every width scaled."""

    source: Literal["scale"] = "scale"
    scale: float = Field(gt=0, le=4, description="factor on filters and units of every layer but the last")


class _WrittenScale(Section):
    """`{scale: 0.5}`."""

    scale: float = Field(gt=0, le=4, description="factor on filters and units of every layer but the last")


def _scale(value: Any) -> Any:
    """`{scale: 0.5}` is short for `{source: scale, scale: 0.5}`."""
    return {"source": "scale", **value} if isinstance(value, dict) and "scale" in value and "source" not in value else value


Student = Annotated[Scaled | AnyModel, Field(discriminator="source")]


class Distill(Distillation, StageConfig):
    """Trains a student to do what teachers do; the student goes on, the teachers stay behind.

    The student is a model of its own, the teacher's graph with every width scaled, or the model as it stands: then it recovers.

    Source: Hinton et al., Distilling the Knowledge in a Neural Network (2015); each loss names its own.
    """

    technique: Literal["distill"] = "distill"
    student: Annotated[
        Student | None, BeforeValidator(_scale, json_schema_input_type=_WrittenScale | Student | None)
    ] = Field(
        default=None, examples=[{"scale": 0.5}],
        description="{scale: 0.5}: the first teacher's graph, widths scaled; or a model as under `model:`; absent: the model as it is",
    )  # fmt: skip
    generations: int = Field(
        default=1, ge=1, le=100, description="born again: the student of each generation teaches the next, which starts where it did"
    )
    mutual: int | None = Field(
        default=None, ge=2, le=8, description="so many students train together and teach each other; the best on validation goes on"
    )
    train: Training = Field(description="training of the student")

    @model_validator(mode="after")
    def _student_fits(self) -> "Distill":
        if getattr(self.student, "train", None) is not None:
            raise ValueError("student.train must be absent: the stage's own train trains it. Received: a training")
        if self.mutual is None:
            return self
        if self.student is None:
            raise ValueError("student must be given with mutual: copies of the model as it is would be alike. Received: nothing")
        if self.student.source == "file":
            raise ValueError("student must be a builder or {scale: ...} with mutual: models of one file would be alike. Received: a file")
        if self.generations > 1:
            raise ValueError(f"generations must be 1 with mutual. Received: {self.generations}")
        if self.train.freeze:
            raise ValueError(f"train.freeze must be absent with mutual. Received: {self.train.freeze}")
        if self.teacher != [BaselineTeacher()]:
            raise ValueError("teacher must be absent with mutual: the students teach each other. Received: a teacher")
        if inside := [loss.name for loss in self.losses.chosen if loss.name not in RESPONSE]:
            raise ValueError(f"losses must be of {', '.join(RESPONSE)} with mutual. Received: {', '.join(inside)}")
        return self
