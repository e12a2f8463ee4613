"""The end of the line: from the last Keras model to files, test figures, latency and the report.

Three files are made and compared everywhere: `baseline` (the baseline as float32), `plain` (the baseline in the recipe's
own format, what the converter alone would have given) and `final`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgecompress import __version__, versions
from edgecompress.backend import keras
from edgecompress.benchmarking import benchmark_files, golden_outputs
from edgecompress.data import Data
from edgecompress.errors import ConversionError
from edgecompress.evaluation import Evaluation, evaluate_keras, evaluate_tflite, verdict
from edgecompress.export import Conversion, convert
from edgecompress.export.manifest import manifest
from edgecompress.goals import judge_goals
from edgecompress.keeps import Keep
from edgecompress.progress import Progress
from edgecompress.recipe.schema import METRIC_RISES, Export, Recipe
from edgecompress.record import keep_reports
from edgecompress.report.schema import KeepReport, Report, StageReport
from edgecompress.store import RunFolder
from edgecompress.tflite import describe, parse, refuses
from edgecompress.tflite.weights import find_kernel

FILES = {"final": "model.tflite", "plain": "plain.tflite", "baseline": "baseline.tflite"}


@dataclass(frozen=True)
class Models:
    """The two Keras models that the files are made from."""

    baseline: keras.Model
    final: keras.Model
    keeps: tuple[Keep, ...]


def deliver(
    recipe: Recipe, data: Data, models: Models, stages: Sequence[StageReport], store: RunFolder, progress: Progress, threads: int
) -> Report:
    """Exports, evaluates and benchmarks; returns the whole report but for its times.

    Raises:
        ConversionError: a model does not convert, or the target runtime is too old for the result.
    """
    conversions = export_models(recipe, data, models, store, progress)
    content = conversions["final"].content
    paths = {name: store.path / file for name, file in FILES.items()}
    golden = golden_outputs(paths, data.calibration.arrays()[0][:GOLDEN_SAMPLES], store.path / "golden.npz")
    keeps = measure_keeps(models, content)
    evaluations = evaluate_models(recipe, data, models, paths, progress)
    entries = benchmark_files(paths, recipe.benchmark, golden, progress) if recipe.benchmark is not None else []
    artifact = _artifact(recipe, conversions)
    metric = recipe.task.metrics[0]
    judged = verdict(evaluations["baseline keras"], evaluations["final tflite"], recipe.task, seed=recipe.seed)
    store.write("manifest.json", manifest(recipe, data, artifact, paths))
    return Report.model_validate({
        "name": recipe.name, "seed": recipe.seed, "started_at": "", "seconds": 0.0, "edgecompress_version": __version__,
        "environment": versions.environment(threads), "recipe": recipe.model_dump(mode="json"), "data": _data_summary(data),
        "stages": [stage.model_dump() for stage in _with_final_keeps(stages, keeps)],
        "metrics": _metrics(evaluations),
        "verdict": {
            "metric": metric, "direction": "rises" if METRIC_RISES[metric] else "falls", "test": judged,
            "validation": {"baseline": stages[0].metrics["validation"][metric], "final": stages[-1].metrics["validation"][metric]},
        },
        "artifact": artifact, "conversion": {"rung": conversions["final"].rung, "refused": conversions["final"].refused},
        "benchmark": entries, "goals": judge_goals(recipe.goal, artifact, judged, entries),
        "warnings": conversions["final"].warnings + _broken_keeps(keeps),
    })  # fmt: skip
