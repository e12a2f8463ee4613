"""Config of `prune_weights`."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from edgecompress.recipe.stages.config import Layers, RecoveryTrain, Skip, StageConfig


class PruneWeights(StageConfig):
    """Sets the weights of least magnitude to zero, gradually while training (TF-MOT) or at once (without `train`).

    Gzip-size and later stages gain; latency on a CPU does not. Patterns are for runtimes with kernels for them: 2:4 leaves at most two of
    each four consecutive input channels of an output, block zeroes blocks of output and input channels. Input channels are the innermost
    axis of weights in a .tflite.

    Source: Zhu & Gupta, To prune, or not to prune (2017), section 3; 2:4: Mishra et al., Accelerating Sparse Deep Neural Networks (2021).
    """

    technique: Literal["prune_weights"] = "prune_weights"
    sparsity: float = Field(ge=0, lt=1, description="fraction of zeros in the kernels; 0.5 with the pattern 2:4", examples=[0.6])
    pattern: Literal["unstructured", "2:4", "block"] = Field(default="unstructured", description="which weights go together")
    block_shape: Annotated[list[Annotated[int, Field(ge=1, le=4096)]], Field(min_length=2, max_length=2)] | None = Field(
        default=None, description="pattern block: [output channels, input channels] of a block; absent: [1, 4]"
    )
    block_score: Literal["average", "max"] | None = Field(
        default=None, description="pattern block: the magnitude in a block that counts; absent: average"
    )
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
    def _pattern_fits(self) -> "PruneWeights":
        if self.pattern == "2:4" and self.sparsity != 0.5:
            raise ValueError(f"sparsity must be 0.5 with the pattern 2:4. Received: {self.sparsity}")
        if self.pattern == "2:4" and self.scope == "global":
            raise ValueError("scope must be layer with the pattern 2:4. Received: 'global'")
        given = [name for name in ("block_shape", "block_score") if getattr(self, name) is not None]
        if given and self.pattern != "block":
            raise ValueError(f"pattern must be block with {' and '.join(given)}. Received: {self.pattern!r}")
        return self

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
