"""`train`: fine-tuning, or recovery between two lossy stages. Keeps of earlier stages hold."""

from edgecompress.backend import keras
from edgecompress.models.copying import copy_model
from edgecompress.recipe.stages import TrainStage
from edgecompress.stage import Context, LayerRecord, StageResult
from edgecompress.training import fit


def apply(model: keras.Model, config: TrainStage, context: Context) -> StageResult:
    """Trains a copy of `model` on the training split."""
    trained = copy_model(model)
    epochs = fit(trained, config.train, context, keeps=context.keeps)
    return StageResult(trained, keeps=context.keeps, training=epochs)


def plan(model: keras.Model, config: TrainStage) -> tuple[keras.Model, list[LayerRecord]]:
    """Training changes no layer's shape or type."""
    return model, []
