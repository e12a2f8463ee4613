"""`prune_channels`: whole channels of convolutions are removed, with everything that depends on them."""

from edgecompress.backend import keras
from edgecompress.graph.channels import ChannelGroup
from edgecompress.recipe.stages import PruneChannels
from edgecompress.stage import Context, LayerRecord, StageResult
from edgecompress.techniques.structured.removal import plan_removal, remove


def apply(model: keras.Model, config: PruneChannels, context: Context) -> StageResult:
    """Removes channels of a copy of `model`; see `structured.removal`."""
    return remove(model, config, context, _belongs)


def plan(model: keras.Model, config: PruneChannels) -> tuple[keras.Model, list[LayerRecord]]:
    """The model cut by its present weights; of a measured budget, the model as it is."""
    return plan_removal(model, config, _belongs)


def _belongs(group: ChannelGroup) -> str | None:
    """Groups with a convolution among the layers that make their channels."""
    types = {part.type for part in group.slices if part.role == "makes"}
    return "made by Dense layers alone: prune_neurons removes neurons" if types == {"Dense"} else None
