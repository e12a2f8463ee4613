"""Config of `cluster_weights`."""

from typing import Literal

from pydantic import Field

from edgecompress.recipe.stages.config import Layers, RecoveryTrain, Skip, StageConfig


class ClusterWeights(StageConfig):
    """Shares a few values among the weights of each layer (TF-MOT): a file that compresses well in transport.

    Source: Han et al., Deep Compression (2016), section 3.
    """

    technique: Literal["cluster_weights"] = "cluster_weights"
    clusters: int = Field(default=16, ge=2, le=256, description="distinct values per layer", examples=[16])
    initialization: Literal["linear", "kmeans_plus_plus", "density", "random"] = Field(
        default="kmeans_plus_plus", description="where the distinct values start, as TF-MOT names it"
    )
    layers: Layers = []
    skip: Skip = []
    train: RecoveryTrain = None
