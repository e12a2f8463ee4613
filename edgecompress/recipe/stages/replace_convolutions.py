"""Config of `replace_convolutions`."""

from typing import Literal

from pydantic import Field

from edgecompress.recipe.stages.config import Config, Layers, RecoveryTrain, Skip, StageConfig


class Match(Config):
    """Training of the new layers alone, each towards the outputs of the layer in whose place it stands."""

    epochs: int = Field(default=1, ge=0, le=1000, description="passes over the training samples; 0: none")
    learning_rate: float = Field(default=1e-3, gt=0, description="of Adam; falls to 0 along a cosine")


class ReplaceConvolutions(StageConfig):
    """Replaces k x k convolutions by cheaper blocks that start as a fit to them and then learn their outputs.

    separable: depthwise k x k, then 1 x 1; fire: 1 x 1 to few channels, then 1 x 1 and k x k side by side. New layers are
    matched to the outputs of the old ones before `train` trains the whole model.

    Source: Howard et al., MobileNets (2017), section 3.1; Iandola et al., SqueezeNet (2016), section 3.2.
    """

    technique: Literal["replace_convolutions"] = "replace_convolutions"
    method: Literal["separable", "fire"] = Field(default="separable", description="the block")
    squeeze: float = Field(
        default=0.125,
        gt=0,
        le=1,
        description="fire: channels between, as a fraction of the convolution's input or output channels, the smaller",
    )
    match: Match = Field(default=Match(), description="layer-wise training before `train`")
    timed_as: Literal["float32", "int8"] | None = Field(
        default="int8",
        description="format in which a layer is timed before and after, and must be faster; by target.latency_table, or measured here "
        "without one; null: untimed",
    )
    layers: Layers = []
    skip: Skip = []
    train: RecoveryTrain = None
