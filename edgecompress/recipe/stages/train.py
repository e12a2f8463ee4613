"""Config of `train`."""

from typing import Literal

from edgecompress.recipe.stages.config import StageConfig, Train


class TrainStage(Train, StageConfig):
    """Trains the model: fine-tuning, or recovery between two lossy stages."""

    technique: Literal["train"] = "train"

    @property
    def train(self) -> Train:
        """The training itself, without the stage around it."""
        return Train.model_validate(self.model_dump(include=set(Train.model_fields)))
