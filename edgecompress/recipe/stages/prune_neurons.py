"""Config of `prune_neurons`."""

from typing import Literal

from edgecompress.recipe.stages.prune_channels import Removal


class PruneNeurons(Removal):
    """Removes whole neurons of Dense layers, with what the next layers read of them; otherwise like `prune_channels`.

    Source: Hu et al., Network Trimming (2016), section 3; criteria: see `edgecompress.techniques.structured.criteria`.
    """

    technique: Literal["prune_neurons"] = "prune_neurons"
