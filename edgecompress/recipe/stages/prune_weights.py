"""Config of `prune_weights`."""

from typing import Literal

from pydantic import Field, model_validator

from edgecompress.recipe.stages.config import Layers, RecoveryTrain, Skip, StageConfig


class PruneWeights(StageConfig):
    """Sets the weights of least magnitude to zero, gradually while training (TF-MOT) or at once (without `train`).

    Gzip-size and later stages gain; latency on a CPU does not.

    Source: Zhu & Gupta, To prune, or not to prune (2017), section 3.
    """

    technique: Literal["prune_weights"] = "prune_weights"
    sparsity: float = Field(ge=0, lt=1, description="fraction of zeros in the kernels", examples=[0.6])
    scope: Literal["layer", "global"] = Field(
        default="layer", description="layer: `sparsity` holds in each kernel; global: in all of them together"
    )
    schedule: Literal["polynomial", "constant"] = Field(default="polynomial", description="how sparsity rises while training")
    initial_sparsity: float = Field(default=0.0, ge=0, lt=1, description="where the polynomial schedule starts")
    begin: float = Field(default=0.0, ge=0, description="epoch at which pruning starts")
    end: float | None = Field(default=None, gt=0, description="epoch at which `sparsity` is reached; absent: two thirds of the epochs")
    layers: Layers = []
    skip: Skip = []
    train: RecoveryTrain = None

    @property
    def end_epoch(self) -> float:
        """The epoch at which `sparsity` is reached."""
        return self.end if self.end is not None else (self.train.epochs * 2 / 3 if self.train else 0.0)

    @model_validator(mode="after")
    def _schedule_fits(self) -> "PruneWeights":
        if self.schedule == "constant" and self.initial_sparsity:
            raise ValueError(f"initial_sparsity must be 0 with the schedule constant. Received: {self.initial_sparsity}.")
        if self.initial_sparsity > self.sparsity:
            raise ValueError(f"initial_sparsity must be at most sparsity ({self.sparsity}). Received: {self.initial_sparsity}")
        if self.train is None and (self.begin or self.end is not None or self.initial_sparsity):
            raise ValueError("train must be given with begin, end or initial_sparsity. Received: nothing")
        if self.train is not None and not self.begin < self.end_epoch <= self.train.epochs:
            received = f"begin {self.begin}, end {self.end_epoch:g}, epochs {self.train.epochs}"
            raise ValueError(f"epochs must be such that begin < end <= train.epochs. Received: {received}")
        return self
