"""edgecompress: from a Keras model to a small, fast, proven TFLite model.

Public names are loaded when first used: `import edgecompress` loads neither TensorFlow nor pydantic.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "run": "edgecompress.runs",
    "compress": "edgecompress.runs",
    "Run": "edgecompress.runs",
    "measure_sensitivity": "edgecompress.baseline_study",
    "run_search": "edgecompress.search",
    "ablate": "edgecompress.search",
    "solve": "edgecompress.solving",
    "check_calibration": "edgecompress.baseline_study",
    "debug_run": "edgecompress.debugging",
    "benchmark": "edgecompress.benchmarking",
    "learn_latency": "edgecompress.latency.learn",
    "predict_latency": "edgecompress.latency",
    "load_recipe": "edgecompress.recipe",
    "Recipe": "edgecompress.recipe.schema",
    "Train": "edgecompress.recipe.stages",
    "TrainStage": "edgecompress.recipe.stages",
    "PruneChannels": "edgecompress.recipe.stages",
    "PruneLayers": "edgecompress.recipe.stages",
    "PruneNeurons": "edgecompress.recipe.stages",
    "PruneWeights": "edgecompress.recipe.stages",
    "ClusterWeights": "edgecompress.recipe.stages",
    "Factorize": "edgecompress.recipe.stages",
    "ReplaceConvolutions": "edgecompress.recipe.stages",
    "MergeLinear": "edgecompress.recipe.stages",
    "RemoveDead": "edgecompress.recipe.stages",
    "Equalize": "edgecompress.recipe.stages",
    "CorrectBias": "edgecompress.recipe.stages",
    "RoundWeights": "edgecompress.recipe.stages",
    "QuantizeAware": "edgecompress.recipe.stages",
    "Distill": "edgecompress.recipe.stages",
    "Distiller": "edgecompress.techniques.distill",
    "Distillation": "edgecompress.recipe.distillation",
    "Losses": "edgecompress.recipe.distillation",
    "KD": "edgecompress.recipe.distillation",
    "DKD": "edgecompress.recipe.distillation",
    "HardLabels": "edgecompress.recipe.distillation",
    "MSE": "edgecompress.recipe.distillation",
    "Hints": "edgecompress.recipe.distillation",
    "AttentionTransfer": "edgecompress.recipe.distillation",
    "Gram": "edgecompress.recipe.distillation",
    "FSP": "edgecompress.recipe.distillation",
    "RKDDistance": "edgecompress.recipe.distillation",
    "RKDAngle": "edgecompress.recipe.distillation",
    "SimilarityPreserving": "edgecompress.recipe.distillation",
    "CorrelationCongruence": "edgecompress.recipe.distillation",
    "Report": "edgecompress.report.schema",
    "EdgeCompressError": "edgecompress.errors",
}

__all__ = ["__version__", *sorted(_HOMES)]  # noqa: PLE0604  # strings, from the table


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'edgecompress' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
