"""Config of `merge_linear`."""

from typing import Literal

from edgecompress.recipe.stages.config import Layers, Skip, StageConfig


class MergeLinear(StageConfig):
    """Merges layers that are linear together into one: exact, and the inverse of `factorize` (but for `cp`).

    BatchNormalization goes into the layer before it. Of two layers with nothing between, one is made where it has no more
    parameters and no more MACs.

    Source: Jacob et al., Quantization and Training of Neural Networks (2018), section 3.2, for BatchNormalization.
    """

    technique: Literal["merge_linear"] = "merge_linear"
    layers: Layers = []
    skip: Skip = []

    @property
    def train(self) -> None:
        """There is nothing to recover from."""
        return None
