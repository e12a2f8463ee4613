"""The end of the line: from the last Keras model to files, test figures, latency and the report.

Three files are made and compared everywhere: `baseline` (the baseline as float32), `plain` (the baseline in the recipe's
own format, what the converter alone would have given) and `final`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from edgecompress import __version__, versions
from edgecompress.backend import keras
from edgecompress.benchmarking import EDGE_TPU_FILE, GOLDEN_FILES, RUN_FILES, benchmark_files, benchmark_operators, write_golden
from edgecompress.calibration.checks import check_statistics
from edgecompress.data import Data
from edgecompress.destination import LOCAL
from edgecompress.evaluation import Evaluation, class_changes, evaluate_keras, evaluate_tflite, verdict
from edgecompress.evaluation.parity_check import check_parity, compare_outputs
from edgecompress.export import Conversion, convert, edgetpu, finished_file
from edgecompress.export.chosen_layers import fitting
from edgecompress.export.compatibility import CALIBRATED
from edgecompress.export.layer_tensors import kernel_layers
from edgecompress.export.operator_layers import operator_reports
from edgecompress.goals import judge_goals
from edgecompress.keeps import Keep
from edgecompress.kernels_in_file import broken, layer_bytes, measure_keeps
from edgecompress.manifest import manifest
from edgecompress.progress import Progress
from edgecompress.recipe.schema import Benchmark, Export, Recipe
from edgecompress.report import HTML_FILE, MARKDOWN_FILE
from edgecompress.report.schema import REPORT_FILE, BenchmarkEntry, Report, StageReport
from edgecompress.samples import each
from edgecompress.shrinking import ShrunkExport
from edgecompress.store import RunFolder
from edgecompress.tflite import Rewritten, describe, parse
from edgecompress.tflite.c_array import c_array

if TYPE_CHECKING:
    from edgecompress.device.runtime import Kernels

NUM_GOLDEN_SAMPLES = 16
NUM_PARITY_SAMPLES = 8
C_FILES = ("model.h", "model.cc")  # of `export: {also: c_array}`
RESULTS = (
    REPORT_FILE, MARKDOWN_FILE, HTML_FILE, "manifest.json", *RUN_FILES.values(), *GOLDEN_FILES.values(), *C_FILES, EDGE_TPU_FILE,
)  # fmt: skip


@dataclass(frozen=True)
class Models:
    """What the files are made from: the baseline, the last model, and the promises that it must keep."""

    baseline: keras.Model
    final: keras.Model
    keeps: tuple[Keep, ...]


def deliver(
    recipe: Recipe, data: Data, models: Models, stages: Sequence[StageReport], store: RunFolder, progress: Progress, *,
    started_at: datetime, threads: int,
) -> Report:  # fmt: skip
    """Exports, evaluates, benchmarks and sums up.

    Raises:
        ConversionError: a model does not convert, or the target runtime is too old for the result.
    """
    store.remove(RESULTS)  # of an earlier call: they fit each other only
    doubts = check_statistics(models.baseline, data.calibration.arrays()[0]) if recipe.export.format in CALIBRATED else []
    conversions, shrunk = export_models(recipe, data, models, store, progress)
    files = {name: store.path / file for name, file in RUN_FILES.items()}
    golden, warnings = _golden(files, data, store.path)
    file = Rewritten(parse(conversions["final"].content), parse(shrunk.content), shrunk.kept)
    keeps = measure_keeps(models.final, models.keeps, file)
    evaluations = evaluate_models(recipe, data, models, files, progress)
    settings = recipe.benchmark
    entries = [] if settings is None or LOCAL not in settings.hosts else _benchmark(settings, files, golden, progress)
    on_edge_tpu = _edge_tpu(conversions["final"], store) if recipe.export.edgetpu else None
    artifact = {**_artifact(recipe, conversions, shrunk), "edgetpu": on_edge_tpu}
    validation = evaluate_tflite(files["final"], data.validation, recipe.task, progress=progress)
    parity, departures = _parity(recipe, data, models.final, conversions["final"], validation, progress)
    compared = evaluations["baseline", "keras"], evaluations["final", "tflite"]
    judged: dict[str, Any] = {"test": verdict(*compared, recipe.task, seed=recipe.seed), "classes": class_changes(*compared)}
    compiled = {"edgetpu": store.path / EDGE_TPU_FILE} if on_edge_tpu and on_edge_tpu["compiled"] else {}
    store.write("manifest.json", manifest(recipe, data, artifact, {**files, **compiled}))
    return Report.model_validate({
        "name": recipe.name, "seed": recipe.seed, "started_at": started_at.isoformat(timespec="seconds"),
        "seconds": (datetime.now(UTC) - started_at).total_seconds(), "edgecompress_version": __version__,
        "environment": versions.environment(threads), "recipe": recipe.model_dump(mode="json"), "data": _data_summary(data),
        "stages": [*stages[:-1], stages[-1].model_copy(update={"keeps": keeps})],
        "metrics": _metrics(evaluations), "verdict": _verdict(recipe, stages, validation, judged), "artifact": artifact,
        "conversion": {
            "rung": conversions["final"].rung, "refused": conversions["final"].refused,
            "weights": [asdict(weights) for weights in conversions["final"].weights],
        },
        "parity": parity, "layer_bytes": layer_bytes(models.baseline, models.final, file),
        "operators": operator_reports(file, conversions["final"].tensors, kernel_layers(models.final)),
        "benchmark": entries,
        "goals": judge_goals(recipe.goal, artifact, judged["test"]["drop"], entries, stages[-1].macs),
        "warnings": [
            *data.warnings, *doubts, *(warning for stage in stages for warning in stage.warnings), *conversions["final"].warnings,
            *shrunk.warnings, *(edgetpu.warn(on_edge_tpu) if on_edge_tpu else []), *warnings, *broken(keeps), *departures,
        ],
    })  # fmt: skip


def export_models(
    recipe: Recipe, data: Data, models: Models, store: RunFolder, progress: Progress
) -> tuple[dict[str, Conversion], ShrunkExport]:
    """Converts the three files and writes each under its final name once it has run. Only the final one is shrunk.

    Returns:
        The converter's results, and the bytes of the final file.

    Raises:
        ConversionError: a model does not convert, or the target runtime is too old for the result.
    """
    samples, runtime = data.calibration.arrays()[0], recipe.target.runtime
    final, shrunk = finished_file(models.final, recipe.export, calibration=samples, progress=progress, runtime=runtime)
    conversions = {"final": final}
    plain = fitting(recipe.export, models.baseline).model_copy(update={"ranges": "min_max"})
    is_another = recipe.stages or plain != recipe.export
    conversions["plain"] = convert(models.baseline, plain, calibration=samples, progress=progress) if is_another else final
    conversions["baseline"] = convert(models.baseline, Export(format="float32"), calibration=None, progress=progress)
    for name, conversion in conversions.items():
        store.write(RUN_FILES[name], shrunk.content if name == "final" else conversion.content)
    if recipe.export.also == "c_array":
        for name, text in c_array(shrunk.content, recipe.name).items():
            store.write(name, text)
    return conversions, shrunk


def _golden(files: Mapping[str, Path], data: Data, folder: Path) -> tuple[dict[str, Path], list[str]]:
    """Golden files by model name, and a warning for each that could not be made."""
    inputs = each(lambda values: values[:NUM_GOLDEN_SAMPLES], data.calibration.arrays()[0])
    golden, warnings = {}, []
    for name, path in files.items():
        stored = folder / GOLDEN_FILES[name]
        problem = write_golden(path, inputs, stored)
        if problem is None:
            golden[name] = stored
        else:
            warnings.append(problem)
    return golden, warnings


def evaluate_models(
    recipe: Recipe, data: Data, models: Models, files: Mapping[str, Path], progress: Progress
) -> dict[tuple[str, str], Evaluation]:
    """Looks at the test split, once: (baseline | plain | final, keras | tflite) to figures."""
    evaluations = {}
    for name, model in (("baseline", models.baseline), ("final", models.final)):
        evaluations[name, "keras"] = evaluate_keras(model, data.test, recipe.task, batch_size=data.batch_size, progress=progress)
    for name in ("baseline", "plain", "final"):
        evaluations[name, "tflite"] = evaluate_tflite(files[name], data.test, recipe.task, progress=progress)
    return evaluations


def _benchmark(settings: Benchmark, files: Mapping[str, Path], golden: Mapping[str, Path], progress: Progress) -> list[BenchmarkEntry]:
    """Latency on this machine, and where the recipe wants it that of each operator of the final file."""
    entries = benchmark_files(
        files, threads=settings.threads, runs=settings.runs, kernels=settings.kernels, progress=progress, golden=golden
    )
    first = next((place for place, entry in enumerate(entries) if entry.model == "final" and entry.error is None), None)
    if settings.operators and first is not None:
        kernels = cast("Kernels", entries[first].requested_kernels)
        found = benchmark_operators(files["final"], threads=entries[first].threads, kernels=kernels, progress=progress)
        entries[first] = entries[first].model_copy(update={"operators": found})
    return entries


def _parity(
    recipe: Recipe, data: Data, model: keras.Model, conversion: Conversion, validation: Evaluation, progress: Progress
) -> tuple[dict[str, Any], list[str]]:
    """The `parity` section: the last Keras model against the converter's file, and warnings."""
    before = evaluate_keras(model, data.validation, recipe.task, batch_size=data.batch_size, progress=progress)
    outputs = compare_outputs(before, validation, recipe.task, seed=recipe.seed)
    samples = data.validation.some(NUM_PARITY_SAMPLES)
    return check_parity(model, conversion.content, outputs, samples, conversion.tensors)


def _artifact(recipe: Recipe, conversions: Mapping[str, Conversion], shrunk: ShrunkExport) -> dict[str, Any]:
    """The `artifact` section."""
    sizes = {name: len(conversion.content) for name, conversion in conversions.items()}
    return {
        **describe(shrunk.content), "path": RUN_FILES["final"], "format": recipe.export.format, "shrink": shrunk.facts,
        "baseline_bytes": sizes["baseline"], "plain_bytes": sizes["plain"], "ratio": sizes["baseline"] / len(shrunk.content),
    }  # fmt: skip


def _edge_tpu(conversion: Conversion, store: RunFolder) -> dict[str, Any]:
    """What the Edge TPU would take of the converter's file; the compiled file too, where there is a compiler."""
    found = edgetpu.judge(conversion.content, conversion.tensors)
    compiled = edgetpu.run_compiler(conversion.content)
    if compiled is not None:
        store.write(EDGE_TPU_FILE, compiled[0])
    return {**found, "compiled": compiled[1] if compiled is not None else None}


def _metrics(evaluations: Mapping[tuple[str, str], Evaluation]) -> dict[str, dict[str, Any]]:
    """The `metrics` section."""
    metrics: dict[str, dict[str, Any]] = {"baseline": {}, "plain": {}, "final": {}}
    for (name, kind), evaluation in evaluations.items():
        metrics[name][kind] = evaluation.metrics
    return metrics


def _verdict(recipe: Recipe, stages: Sequence[StageReport], validation: Evaluation, judged: Mapping[str, Any]) -> dict[str, Any]:
    """The `verdict` section."""
    metric = recipe.task.metrics[0]
    before, after = stages[0].metrics["validation"][metric], validation.metrics[metric]
    rises = recipe.task.rises(metric)
    on_validation = {"baseline": before, "final": after, "drop": before - after if rises else after - before}
    return {"metric": metric, "direction": "rises" if rises else "falls", "validation": on_validation, **judged}


def _data_summary(data: Data) -> dict[str, Any]:
    """The `data` section."""
    splits = {f"num_{name}": len(getattr(data, name)) for name in ("train", "validation", "test", "calibration")}
    if data.unlabelled is not None:
        splits["num_unlabelled"] = len(data.unlabelled)
    return {"source": data.source, **splits, "fingerprint": data.fingerprint, "class_names": data.class_names}
