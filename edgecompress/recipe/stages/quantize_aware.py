"""Config of `quantize_aware`."""

from typing import Annotated, Literal

from pydantic import Field

from edgecompress.recipe.stages.config import Skip, StageConfig, Train


class QuantizeAware(StageConfig):
    """Trains with 8-bit quantization simulated (TF-MOT). Last stage: only `train` may follow; export as int8.

    Source: Jacob et al., Quantization and Training of Neural Networks (2018), section 3.
    """

    technique: Literal["quantize_aware"] = "quantize_aware"
    skip: Skip = []
    train: Annotated[Train, Field(description="training with quantization simulated")]
