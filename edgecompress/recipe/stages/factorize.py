"""Config of `factorize`."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from edgecompress.recipe.stages.config import Layers, RecoveryTrain, Skip, StageConfig

RULES = ("rank", "energy", "ratio", "macs")
DEFAULT_METRIC_DROP = 0.01
NEED_A_SPECTRUM = ("energy", "macs")  # macs: unless what a rank loses is measured


class Factorize(StageConfig):
    """Replaces layers by chains of smaller ones that compute almost the same, where that makes them faster.

    One of rank, energy, ratio and macs chooses the ranks; macs may stand beside rank: sensitivity. A layer is left alone, with the
    reason, where its parameters, MACs or latency would not fall. The last layer of a chain has the name of the layer that it
    stands for.

    Source: Denton et al. (2014) and Zhang et al. (2016) for svd, Jaderberg et al. (2014) for spatial_svd, Kim et al. (2016) for
    tucker2 and vbmf, Lebedev et al. (2015) for cp.
    """

    technique: Literal["factorize"] = "factorize"
    method: Literal["svd", "spatial_svd", "tucker2", "cp"] = Field(
        default="svd",
        description="svd: any layer as two, a k x k convolution as k x k, then 1 x 1; spatial_svd: k x 1, then 1 x k; "
        "tucker2: 1 x 1, k x k, 1 x 1; cp: 1 x 1, depthwise k x 1, depthwise 1 x k, 1 x 1",
    )
    rank: Annotated[int, Field(ge=1)] | Literal["vbmf", "sensitivity"] | None = Field(
        default=None,
        description="channels between the factors, where the layer has more; vbmf: those that are signal, not noise; sensitivity: by the "
        "validation metric, measured with each layer alone at several ranks: what saves most MACs within `metric_drop`, or with `macs` "
        "what loses least",
    )
    metric_drop: float | None = Field(
        default=None,
        ge=0,
        description="with rank sensitivity and no macs: what the layers may lose of the metric together, before training; absent: 0.01",
    )
    energy: float | None = Field(
        default=None, gt=0, le=1, examples=[0.95], description="fraction of the kernel's sum of squares that must stay; not for cp"
    )
    ratio: float | None = Field(default=None, gt=0, lt=1, description="most parameters of the factors, as a fraction of the kernel's")
    macs: float | None = Field(
        default=None, gt=0, lt=1, description="most MACs of the whole model, as a fraction: what loses least per MAC goes; not for cp"
    )
    data_aware: bool = Field(
        default=False, description="measure what is lost on the layers' outputs for the calibration samples, not on their weights"
    )
    timed_as: Literal["float32", "int8"] | None = Field(
        default="int8",
        description="format in which a layer is timed before and after, and must be faster; by target.latency_table, or measured here "
        "without one; null: untimed",
    )
    time_limit_s: float = Field(
        default=60.0,
        gt=0,
        description="cp: seconds for one layer, which is left alone if they are not enough; one iteration ends in any case",
    )
    layers: Layers = []
    skip: Skip = []
    train: RecoveryTrain = None

    @model_validator(mode="after")
    def _one_rule(self) -> "Factorize":
        given = [name for name in RULES if getattr(self, name) is not None]
        if self.metric_drop is not None and (self.rank != "sensitivity" or self.macs is not None):
            where = "without rank: sensitivity" if self.rank != "sensitivity" else "with macs"
            raise ValueError(f"metric_drop must be absent {where}. Received: {self.metric_drop}")
        if self.rank == "sensitivity" and given == ["rank", "macs"]:
            return self
        if len(given) != 1:
            raise ValueError(f"factorize must have exactly one of {', '.join(RULES)}. Received: {' and '.join(given) or 'none of them'}")
        if self.method == "cp" and (given[0] in NEED_A_SPECTRUM or self.rank == "vbmf"):
            rule = "rank vbmf" if self.rank == "vbmf" else given[0]
            raise ValueError(f"method must be svd, spatial_svd or tucker2 with {rule}: cp has no spectrum. Received: 'cp'")
        return self
