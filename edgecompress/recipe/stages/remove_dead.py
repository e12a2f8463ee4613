"""Config of `remove_dead`."""

from typing import Literal

from edgecompress.recipe.stages.config import Layers, Skip, StageConfig


class RemoveDead(StageConfig):
    """Removes channels whose values no input of the model can change, and channels that nothing reads: exact.

    What such a channel adds to the layers that read it goes into their bias. Where it adds different values at different
    positions, such as at a padded border, it stays, and the report says so.

    Source: `edgecompress.graph.channels.constants`.
    """

    technique: Literal["remove_dead"] = "remove_dead"
    layers: Layers = []
    skip: Skip = []

    @property
    def train(self) -> None:
        """There is nothing to recover from."""
        return None
