"""`prune_neurons`: whole neurons of Dense layers are removed, with what the next layers read of them."""

from edgecompress.backend import keras
from edgecompress.graph.channels import ChannelGroup
from edgecompress.recipe.stages import PruneNeurons
from edgecompress.stage import Context, LayerRecord, StageResult
from edgecompress.techniques.structured.removal import plan_removal, remove


def apply(model: keras.Model, config: PruneNeurons, context: Context) -> StageResult:
    """Removes neurons of a copy of `model`; see `structured.removal`."""
    return remove(model, config, context, _belongs)


def plan(model: keras.Model, config: PruneNeurons) -> tuple[keras.Model, list[LayerRecord]]:
    """The model cut by its present weights; of a measured budget, the model as it is."""
    return plan_removal(model, config, _belongs)


def _belongs(group: ChannelGroup) -> str | None:
    """Groups that Dense layers alone make."""
    types = {part.type for part in group.slices if part.role == "makes"}
    return None if types == {"Dense"} else "made by convolutions: prune_channels removes channels"
