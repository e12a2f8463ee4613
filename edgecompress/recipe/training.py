"""The `train:` block of a recipe, as far as a training without a teacher goes."""

from typing import Annotated, Literal

from pydantic import Field

from edgecompress.recipe.section import Section

PositiveWeight = Annotated[float, Field(gt=0)]


class Training(Section):
    """A training, the same object wherever something trains."""

    epochs: int = Field(ge=1, le=100_000, description="passes over the training samples", examples=[2])
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop"] = Field(
        default="adam", description="Keras optimizer, other settings at their defaults; sgd with momentum 0.9"
    )
    learning_rate: float = Field(default=1e-3, gt=0, description="of the optimizer, at the first step")
    schedule: Literal["constant", "cosine", "linear"] = Field(
        default="constant", description="of the learning rate, down to 0 at the last step"
    )
    early_stop: int | None = Field(
        default=None, ge=1, le=100_000,
        description="stop after so many epochs without a better validation metric, keep the best; absent: never. auc is approximate here",
    )  # fmt: skip
    freeze: list[str] = Field(default=[], description="layers that do not train: a name, a glob (conv*), re:REGEX or type:LayerClass")
    class_weights: Literal["balanced"] | dict[str, PositiveWeight] | None = Field(
        default=None,
        description="how much a sample counts in the loss, by class name (1 where absent); balanced: every class the same in all",
    )
    strategy: Literal["mirrored", "multi_worker"] | None = Field(
        default=None,
        description="share each batch, which keeps its size, among several devices (tf.distribute). mirrored: the GPUs of this machine; "
        "multi_worker: the machines of TF_CONFIG or --workers, each of which runs the same command; absent: one device",
    )
