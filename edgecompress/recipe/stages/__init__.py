"""The Config of every technique, one file each, and the table that maps a recipe name to its code. Free of TensorFlow."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from edgecompress.recipe.stages.cluster_weights import ClusterWeights
from edgecompress.recipe.stages.config import StageConfig, Train
from edgecompress.recipe.stages.distill import Distill
from edgecompress.recipe.stages.factorize import Factorize
from edgecompress.recipe.stages.merge_linear import MergeLinear
from edgecompress.recipe.stages.post_training import CorrectBias, Equalize, RoundWeights
from edgecompress.recipe.stages.prune_channels import PruneChannels
from edgecompress.recipe.stages.prune_layers import PruneLayers
from edgecompress.recipe.stages.prune_neurons import PruneNeurons
from edgecompress.recipe.stages.prune_weights import PruneWeights
from edgecompress.recipe.stages.quantize_aware import QuantizeAware
from edgecompress.recipe.stages.remove_dead import RemoveDead
from edgecompress.recipe.stages.replace_convolutions import Match, ReplaceConvolutions
from edgecompress.recipe.stages.train import TrainStage

__all__ = [
    "TECHNIQUES",
    "ClusterWeights",
    "CorrectBias",
    "Distill",
    "Equalize",
    "Factorize",
    "Match",
    "MergeLinear",
    "PruneChannels",
    "PruneLayers",
    "PruneNeurons",
    "PruneWeights",
    "QuantizeAware",
    "RemoveDead",
    "ReplaceConvolutions",
    "RoundWeights",
    "Stage",
    "StageConfig",
    "Technique",
    "Train",
    "TrainStage",
]


@dataclass(frozen=True)
class Technique:
    """Where a technique lives, and what it asks of the rest of a recipe, as data that `rules` checks.

    `module` is imported when first needed. It holds `apply(model, config, context) -> StageResult`, and
    `plan(model, config) -> (model, records)`, which says without training what `apply` would do.
    """

    config: type[StageConfig]
    module: str
    version: int  # enters the cache key: raise it when the same config would give another model
    followers: tuple[str, ...] | None = None  # the only techniques that may stand after it; None: any
    releases: tuple[str, ...] = ()  # techniques whose result it undoes in part
    shares_training: bool = True  # its training is an ordinary one, so `train.strategy` may share it among devices; see `strategy_rules`
    plans_with_outlook: bool = False  # its plan is `plan(model, config, outlook)`: it also looks at data, task and baseline


TECHNIQUES: dict[str, Technique] = {
    "train": Technique(TrainStage, "edgecompress.techniques.train", 1),
    "prune_channels": Technique(PruneChannels, "edgecompress.techniques.prune_channels", 4),
    "prune_layers": Technique(PruneLayers, "edgecompress.techniques.prune_layers", 3),
    "prune_neurons": Technique(PruneNeurons, "edgecompress.techniques.prune_neurons", 4),
    "prune_weights": Technique(
        PruneWeights, "edgecompress.techniques.prune_weights", 2, releases=("cluster_weights",), shares_training=False
    ),
    "cluster_weights": Technique(ClusterWeights, "edgecompress.techniques.cluster_weights", 1, shares_training=False),
    "distill": Technique(Distill, "edgecompress.techniques.distill", 1, shares_training=False, plans_with_outlook=True),
    "factorize": Technique(
        Factorize, "edgecompress.techniques.factorize", 1, releases=("prune_weights", "cluster_weights"), plans_with_outlook=True
    ),
    "replace_convolutions": Technique(
        ReplaceConvolutions, "edgecompress.techniques.replace_convolutions", 1, releases=("prune_weights", "cluster_weights")
    ),
    "merge_linear": Technique(MergeLinear, "edgecompress.techniques.merge_linear", 2, releases=("prune_weights", "cluster_weights")),
    "remove_dead": Technique(RemoveDead, "edgecompress.techniques.remove_dead", 1),
    "equalize": Technique(Equalize, "edgecompress.techniques.post_training.equalize", 1, releases=("cluster_weights",)),
    "round_weights": Technique(
        RoundWeights, "edgecompress.techniques.post_training.round_weights", 2, followers=("correct_bias",), releases=("cluster_weights",)
    ),
    "correct_bias": Technique(CorrectBias, "edgecompress.techniques.post_training.correct_bias", 1),
    "quantize_aware": Technique(QuantizeAware, "edgecompress.techniques.quantize_aware", 3, followers=("train",), shares_training=False),
}

Stage = Annotated[
    TrainStage
    | PruneChannels
    | PruneLayers
    | PruneNeurons
    | PruneWeights
    | ClusterWeights
    | Distill
    | Factorize
    | ReplaceConvolutions
    | MergeLinear
    | RemoveDead
    | Equalize
    | CorrectBias
    | RoundWeights
    | QuantizeAware,
    Field(discriminator="technique"),
]
