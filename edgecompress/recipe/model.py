"""The `model:` section of a recipe: built here, or a file of the user's own."""

from typing import Annotated, Literal

from pydantic import Field

from edgecompress.recipe.section import Section
from edgecompress.recipe.training import Training


class BuilderModel(Section):
    """A model built by edgecompress; outputs are logits."""

    source: Literal["builder"]
    name: Literal["cnn", "ds_cnn", "mobilenet_v1", "resnet8", "mlp", "autoencoder"] = Field(description="the architecture")
    width: int | None = Field(default=None, gt=0, le=4096, description="channels of the first layer; absent: the builder's own")
    train: Training | None = Field(default=None, description="absent: the model is used as it is")


class FileModel(Section):
    """A model of the user's own: .h5, .keras (Keras 2), or a SavedModel folder (--allow-code)."""

    source: Literal["file"]
    path: str = Field(min_length=1, description="file, or SavedModel folder")
    train: Training | None = Field(default=None, description="absent: the model is used as it is")


AnyModel = BuilderModel | FileModel
Model = Annotated[AnyModel, Field(discriminator="source")]
