"""The `model:` section of a recipe: built here, one of tf_keras.applications, or a model of the user's own."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, JsonValue, model_validator

from edgecompress.recipe.applications import APPLICATIONS, WITH_ALPHA
from edgecompress.recipe.section import FilePath, Section
from edgecompress.recipe.suggestions import did_you_mean, received
from edgecompress.recipe.training import Training

Size = Annotated[int, Field(gt=0, le=100_000)]
TrainField = Annotated[Training | None, Field(description="absent: the model is used as it is")]


def _known_application(name: str) -> str:
    """The 71 names are too many to list in a message."""
    if name not in APPLICATIONS:
        expected = "a network of tf_keras.applications, such as MobileNetV2"
        raise ValueError(f"name must be {expected}.{received(name)}{did_you_mean(name, APPLICATIONS)}")
    return name


class BuilderModel(Section):
    """A model built by edgecompress; outputs are logits."""

    source: Literal["builder"]
    name: Literal["cnn", "ds_cnn", "mobilenet_v1", "resnet8", "mlp", "autoencoder"] = Field(description="the architecture")
    width: int | None = Field(default=None, gt=0, le=4096, description="channels of the first layer; absent: the builder's own")
    train: TrainField = None


class ApplicationModel(Section):
    """A network of tf_keras.applications; its last activation fits the task."""

    source: Literal["application"]
    name: Annotated[str, AfterValidator(_known_application)] = Field(
        description="as tf_keras.applications calls it", examples=["MobileNetV2"], json_schema_extra={"enum": list[JsonValue](APPLICATIONS)}
    )
    weights: FilePath | None = Field(
        default=None,
        min_length=1,
        description="null: random; imagenet: published ones, downloaded once; or a file of weights, with or without the last layer",
    )
    input_shape: Annotated[list[Size], Field(min_length=3, max_length=3)] | None = Field(
        default=None, description="[height, width, channels]; absent: that of the data", examples=[[96, 96, 3]]
    )
    classes: int | None = Field(default=None, gt=0, le=10**6, description="outputs; absent: those of the data")
    alpha: float | None = Field(default=None, gt=0, le=10, description=f"width multiplier of {', '.join(WITH_ALPHA)}; absent: 1")
    train: TrainField = None

    @model_validator(mode="after")
    def _alpha_fits(self) -> "ApplicationModel":
        if self.alpha is not None and self.name not in WITH_ALPHA:
            raise ValueError(f"alpha must be absent for {self.name}; it works with {', '.join(WITH_ALPHA)}. Received: {self.alpha}")
        return self


class FileModel(Section):
    """A model of the user's own: .h5 or .keras (of Keras 2 or 3), or a SavedModel folder (--allow-code)."""

    source: Literal["file"]
    path: FilePath = Field(min_length=1, description="file, or SavedModel folder")
    input_shape: Annotated[list[Size], Field(min_length=1, max_length=6)] | None = Field(
        default=None, description="of one sample, for a model whose own is not known or not fixed", examples=[[96, 96, 3]]
    )
    train: TrainField = None


class PythonModel(Section):
    """What a function of your own gives, called without arguments: a model of tf_keras or Keras 3 (--allow-code)."""

    source: Literal["python"]
    path: FilePath = Field(min_length=1, description="file.py:function, or module.path:function", examples=["my_models.py:make"])
    input_shape: Annotated[list[Size], Field(min_length=1, max_length=6)] | None = Field(
        default=None, description="of one sample, for a model whose own is not known or not fixed"
    )
    train: TrainField = None


AnyModel = BuilderModel | ApplicationModel | FileModel | PythonModel
Model = Annotated[AnyModel, Field(discriminator="source")]
