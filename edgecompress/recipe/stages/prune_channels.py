"""Config of `prune_channels`, and what `prune_neurons` shares with it."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from edgecompress.recipe.stages.budget import Budget
from edgecompress.recipe.stages.config import Config, Layers, RecoveryTrain, Skip, Train

Criterion = Literal[
    "l1", "l2", "batch_norm_scale", "taylor", "fisher", "activation", "apoz", "geometric_median", "lamp", "random",
]  # fmt: skip


class SparseTraining(Config):
    """A training before the cut that drives whole channels towards zero, so that less is lost with them.

    Source: Wen et al., Learning Structured Sparsity (2016), equation 2 (group_lasso); Liu et al., Network Slimming (2017),
    equation 1 (batch_norm).
    """

    penalty: Literal["group_lasso", "batch_norm"] = Field(
        default="group_lasso", description="group_lasso: on the norm of each filter; batch_norm: on the scales of BatchNormalization"
    )
    strength: float = Field(default=1e-4, gt=0, description="of the penalty, beside the loss")
    train: Annotated[Train, Field(description="the training before the cut")]


class Removal(Budget):
    """The fields of a technique that removes channels or neurons."""

    criterion: Criterion = Field(
        default="taylor", description="what a channel is worth; taylor, fisher, activation and apoz look at the calibration samples"
    )
    scope: Literal["global", "layer"] = Field(
        default="global", description="global: the least of all layers go; layer: the same fraction of each"
    )
    ratios: Literal["scores", "sensitivity"] = Field(
        default="scores",
        description="what decides how much of each layer goes: scores: `scope`; sensitivity: the validation metric, measured with each "
        "layer cut alone, so that all lose about as much of it",
    )
    round_to: int = Field(
        default=8, ge=1, le=1024, description="channels left are a multiple of this, or all; smaller layers are left alone by the default"
    )
    floor: float = Field(default=0.1, ge=0, lt=1, description="fraction of its channels that each layer keeps, whatever they are worth")
    steps: int = Field(default=1, ge=1, le=100, description="cuts on the way to the budget, with the whole `train` after each")
    sparse: Annotated[SparseTraining | None, Field(description="training before the first cut; absent: none")] = None
    reestimate: bool = Field(
        default=True, description="take the statistics of BatchNormalization anew after each cut, from the calibration samples"
    )
    layers: Layers = []
    skip: Skip = []
    train: RecoveryTrain = None

    @model_validator(mode="after")
    def _ratios_fit(self) -> "Removal":
        if self.ratios == "sensitivity" and self.scope == "layer":
            raise ValueError("scope must be absent or global with ratios: sensitivity. Received: 'layer', the same fraction of each layer")
        return self


class PruneChannels(Removal):
    """Removes whole channels of convolutions, with everything that depends on them: smaller, and faster on any device.

    Layers that an addition, a multiplication or a depthwise convolution ties together lose the same channels. What must stay is
    left alone, with the reason. The result is a plain, smaller model.

    Source: Li et al., Pruning Filters (2017), section 3; groups of coupled layers: Fang et al., DepGraph (2023), section 3;
    criteria: see `edgecompress.techniques.structured.criteria`.
    """

    technique: Literal["prune_channels"] = "prune_channels"
