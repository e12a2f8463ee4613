"""Config of `prune_layers`."""

from typing import Literal

from pydantic import Field, model_validator

from edgecompress.recipe.stages.budget import Amount, check_share
from edgecompress.recipe.stages.config import Layers, RecoveryTrain, Skip, StageConfig

TARGETS = ("count", "macs", "parameters")


class PruneLayers(StageConfig):
    """Removes whole residual branches, and layers that keep the shape of their input: those that the validation metric misses least.

    After each removal all that is left is measured anew. What stays is a plain, shallower model.

    Source: Veit et al., Residual Networks Behave Like Ensembles (2016), section 4.1; Elkerdawy et al., To Filter Prune, or to Layer
    Prune (2020), section 3.
    """

    technique: Literal["prune_layers"] = "prune_layers"
    count: int | None = Field(default=None, ge=0, le=10_000, description="branches or layers that go", examples=[1])
    macs: Amount = Field(default=None, description="multiply-accumulates that may stay: a fraction of those before, in (0, 1], or a count")
    parameters: Amount = Field(default=None, description="parameters that may stay: a fraction of those before, in (0, 1], or a count")
    reestimate: bool = Field(default=True, description="take the statistics of BatchNormalization anew before each measurement")
    layers: Layers = []
    skip: Skip = []
    train: RecoveryTrain = None

    @property
    def target(self) -> str:
        """The field that says how much goes."""
        return next(name for name in TARGETS if getattr(self, name) is not None)

    @model_validator(mode="after")
    def _one_target(self) -> "PruneLayers":
        given = [name for name in TARGETS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"target must be exactly one of {', '.join(TARGETS)}. Received: {' and '.join(given) or 'none'}")
        check_share("macs", self.macs)
        check_share("parameters", self.parameters)
        return self
