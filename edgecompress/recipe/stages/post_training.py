"""Configs of `equalize`, `correct_bias` and `round_weights`: a float model is made ready for quantization, without training."""

from typing import Annotated, Literal

from pydantic import Field

from edgecompress.recipe.stages.config import Layers, Skip, StageConfig

Kernels = Annotated[
    Literal["per_channel", "per_tensor"],
    Field(description="how the file will quantize kernels: a scale per output channel, or one for each kernel"),
]


class PostTraining(StageConfig):
    """What these stages share."""

    kernels: Kernels = "per_channel"
    layers: Layers = []
    skip: Skip = []

    @property
    def train(self) -> None:
        """They work without training, on the calibration samples."""
        return None


class Equalize(PostTraining):
    """Folds BatchNormalization, then makes channels that share a scale equally large; the outputs stay the same.

    A channel is divided by a factor where a layer gives it, and multiplied where the next layer reads it. With kernels per channel the
    ranges of activations are made equal, with kernels per tensor those of both kernels. Then what a channel always exceeds goes from
    its bias into the next one's.

    Source: Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction (2019), sections 4.1 and 4.1.3; for
    activations Xiao et al., SmoothQuant (2023), section 4.
    """

    technique: Literal["equalize"] = "equalize"
    strength: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="kernels per channel: how much of the inequality a next layer takes that sums over channels; a depthwise one takes all",
    )
    relu6: Literal["keep", "replace"] = Field(
        default="keep",
        description="keep: factors that leave a ReLU6 as it is on the calibration samples; replace: a ReLU in its place, as in the source",
    )
    absorb: bool = Field(default=True, description="move what a channel always exceeds on the calibration samples into the next bias")


class CorrectBias(PostTraining):
    """Moves biases so that rounding the kernels to int8 leaves the mean of each output where it was.

    The Keras model itself is then off by as much: it is the file that gains. Put it after `equalize`, right before the export.

    Source: Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction (2019), section 4.2, appendices C and D.
    """

    technique: Literal["correct_bias"] = "correct_bias"
    method: Literal["calibration", "analytic"] = Field(
        default="calibration",
        description="calibration: means measured layer after layer, behind rounded ones; analytic: from BatchNormalization, no data",
    )


class RoundWeights(PostTraining):
    """Rounds each weight up or down, not to the nearest integer, so that what its layer gives changes least; then corrects its bias.

    Kernels of Dense, Conv2D and DepthwiseConv2D then lie on the grid of the int8 file, which takes them as they are. Layers are rounded one
    after the other, behind those that are rounded already. Put it after `equalize`, right before the export.

    Source: Nagel et al., Up or Down? Adaptive Rounding for Post-Training Quantization (2020); for coordinate_descent Frantar et al., GPTQ
    (2022), section 3.
    """

    technique: Literal["round_weights"] = "round_weights"
    method: Literal["adaround", "coordinate_descent"] = Field(
        default="adaround",
        description="adaround: up or down, chosen by gradient descent; coordinate_descent: one weight after the other, as far as it helps",
    )
    bits: dict[str, Literal[8, 4, 2]] = Field(
        default={},
        description="of the kernels of single layers, which export.layers must name too; their scales are searched. Others have 8",
        examples=[{"re:conv2d.*": 4}],
    )
    iterations: int = Field(default=500, ge=1, le=100_000, description="adaround: steps of Adam for each layer")
