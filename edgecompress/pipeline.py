"""The line of the whole tool: baseline -> stage -> stage -> ... -> delivery.

A stage takes a Keras model and gives a Keras model. Finished stages are kept in the run folder under a key of all that
they depend on, so the same command continues a run that died, and a changed recipe repeats only what the change touches.
"""

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from edgecompress import versions
from edgecompress.backend import keras, set_threads
from edgecompress.calibration.checks import check_calibration_data
from edgecompress.data import Data, load_data
from edgecompress.delivery import RESULTS, Models, deliver
from edgecompress.evaluation import evaluate_keras
from edgecompress.export.compatibility import CALIBRATED
from edgecompress.keeps import Keep
from edgecompress.ladder_means import climb_ladder
from edgecompress.latency.forecast import forecast_of
from edgecompress.models import LoadedModel
from edgecompress.plan import plan_stages
from edgecompress.progress import Progress
from edgecompress.recipe.schema import Recipe
from edgecompress.recipe.stages import TECHNIQUES, StageConfig
from edgecompress.record import load_stage, save_stage, stage_report
from edgecompress.rehearsal import Rehearsal
from edgecompress.report.artifact_schema import LadderRung
from edgecompress.report.schema import Report, StageReport
from edgecompress.stage import Context, Share, StageResult, State
from edgecompress.stage_keys import baseline_key, lent_keys, technique_key
from edgecompress.store import RunFolder, StageFolder, Stages, stage_name
from edgecompress.techniques import baseline as baseline_stage
from edgecompress.techniques.baseline import bring_model
from edgecompress.techniques.distill import teach


@dataclass(frozen=True)
class Surroundings:
    """What all stages of one run share.

    Attributes:
        stages: where they are kept.
        loaded: the model of a file, before anything was done to it.
        share: a training with strategy multi_worker, on all workers.
        is_trial: of a search or an ablation, whose stages a run may take, and whose stages may be taken from a run.
    """

    recipe: Recipe
    data: Data
    stages: Stages
    progress: Progress
    threads: int
    allow_code: bool
    loaded: LoadedModel | None
    share: Share | None = None
    is_trial: bool = False

    def evaluate(self, model: keras.Model) -> dict[str, Any]:
        """Metrics on the validation split, the one that decides."""
        batch_size = self.data.batch_size
        return evaluate_keras(model, self.data.validation, self.recipe.task, batch_size=batch_size, progress=self.progress).metrics

    def context(
        self, index: int, technique: str, baseline: keras.Model | None, keeps: tuple[Keep, ...], folder: Path, warn: Callable[[str], None]
    ) -> Context:  # fmt: skip
        """What one stage is given."""
        seed = int(np.random.SeedSequence([self.recipe.seed, index]).generate_state(1)[0])
        return Context(
            f"{index:02d} {technique}", self.data, self.recipe.task, seed, baseline, keeps, folder, self.progress, self.evaluate,
            self.allow_code, teach, warn, self.rehearsal, self.stages.sensitivities, self.share,
        )  # fmt: skip

    @property
    def rehearsal(self) -> Rehearsal:
        """Makes the file of any model on the way; times it where the recipe has a benchmark, predicts where it names a table."""
        times, forecast = self.recipe.benchmark is not None, forecast_of(self.recipe.target)
        return Rehearsal(self.recipe.export, self.data, self.progress, times, forecast, self.recipe.target.runtime)


def run_line(recipe: Recipe, store: RunFolder, progress: Progress, *, allow_code: bool, share: Share | None = None) -> Report:
    """Runs a recipe in an open run folder; everything is written there but the report itself.

    Args:
        share: a training with strategy multi_worker, on all workers; None: there are none.

    Raises:
        EdgeCompressError: the narrowest kind. Missed goals and failed devices are in the report, not raised.
    """
    started_at = datetime.now(UTC)
    surroundings = replace(prepare(recipe, store, progress, allow_code=allow_code), share=share)
    store.lock_recipe(versions.lock(recipe, surroundings.data.fingerprint, surroundings.threads), RESULTS)
    state, stage = run_baseline(surroundings)
    baseline, stages = state.model, [stage]
    for index, config in enumerate(recipe.stages, start=1):
        state, stage = run_technique(surroundings, index, config, state, baseline)
        stages.append(stage)
    ladder: tuple[LadderRung, ...] = ()
    if recipe.export.format == "auto":
        climbed = climb_ladder(
            surroundings, recipe.export, state, stages, lambda index, config, at: run_technique(surroundings, index, config, at, baseline)
        )  # fmt: skip
        recipe, state, ladder = climbed.recipe(recipe), climbed.step.state, climbed.tried
        stages = [*stages, *climbed.step.reports]
        store.lock_recipe(versions.lock(recipe, surroundings.data.fingerprint, surroundings.threads), RESULTS)
    store.keep_only({stage_name(stage.index, stage.technique) for stage in stages})
    report = deliver(
        recipe, surroundings.data, Models(baseline, state.model, state.keeps), stages, store, progress, started_at=started_at,
        threads=surroundings.threads,
    )  # fmt: skip
    return report.model_copy(update={"ladder": list(ladder)})


def prepare(recipe: Recipe, store: RunFolder, progress: Progress, *, allow_code: bool) -> Surroundings:
    """Loads the data, and refuses at once what a later stage would refuse."""
    recipe = recipe.model_copy(update={"export": recipe.export.start})
    forecast = forecast_of(recipe.target)  # a bad table shows before any training
    threads = set_threads(recipe.threads)
    with progress.task("loading data and model"):
        data = load_data(recipe.data, recipe.task, seed=recipe.seed, allow_code=allow_code)
        made = bring_model(recipe.model, recipe.task, data, seed=recipe.seed, allow_code=allow_code)
        plan_stages(recipe, made.model, data, allow_code=allow_code)
        if recipe.export.format in CALIBRATED:
            data = replace(data, warnings=(*data.warnings, *check_calibration_data(data)))
        if forecast is not None and forecast.doubt:
            data = replace(data, warnings=(*data.warnings, forecast.doubt))
    loaded = made if recipe.model.source == "file" else None  # others are made of a stage's own seed
    return Surroundings(recipe, data, store, progress, threads, allow_code, loaded)


def run_baseline(surroundings: Surroundings) -> tuple[State, StageReport]:
    """Stage 00: the model of the recipe, built or loaded, and trained where the recipe says so."""
    work = partial(baseline_stage.apply, surroundings.recipe.model, allow_code=surroundings.allow_code, loaded=surroundings.loaded)
    return _run_stage(surroundings, 0, "baseline", None, baseline_key(surroundings), work, (), None)


def run_technique(
    surroundings: Surroundings, index: int, config: StageConfig, state: State, baseline: keras.Model
) -> tuple[State, StageReport]:
    """One stage of the recipe, on the model that the stage before it left."""
    name = config.technique
    apply: Callable[..., StageResult] = import_module(TECHNIQUES[name].module).apply
    key = _key_of(surroundings, index, config, state)
    return _run_stage(surroundings, index, name, config.id, key, partial(apply, state.model, config), state.keeps, baseline)


def _key_of(surroundings: Surroundings, index: int, config: StageConfig, state: State) -> str:
    """The key of a stage, or the one under which it was lent."""
    key, name = technique_key(surroundings, index, config, state), config.technique
    keys = [key, *lent_keys(surroundings, index, config, state)]
    return next((each for each in keys if surroundings.stages.stage(index, name, each).finished() is not None), key)


def _run_stage(
    surroundings: Surroundings, index: int, technique: str, identifier: str | None, key: str,
    work: Callable[[Context], StageResult], keeps: tuple[Keep, ...], baseline: keras.Model | None,
) -> tuple[State, StageReport]:  # fmt: skip
    """Does the work of one stage, or takes what an earlier call did."""
    with surroundings.stages.stage(index, technique, key).claimed() as folder:
        return _stage_in(folder, surroundings, index, technique, identifier, work, keeps, baseline)


def _stage_in(
    folder: StageFolder, surroundings: Surroundings, index: int, technique: str, identifier: str | None,
    work: Callable[[Context], StageResult], keeps: tuple[Keep, ...], baseline: keras.Model | None,
) -> tuple[State, StageReport]:  # fmt: skip
    """The same, in a folder of its own."""
    progress = surroundings.progress
    if (kept := load_stage(folder, allow_code=surroundings.allow_code)) is not None:
        report, model, kept_keeps = kept
        report = report.model_copy(update={"id": identifier})
        progress.say(f"{_one_line(report)}  (kept from an earlier run)")
        return State(model, kept_keeps, folder.key), report
    started = time.monotonic()
    warnings: list[str] = []

    def warn(warning: str) -> None:
        warnings.append(warning)
        progress.say(f"warning: {warning}")

    context = surroundings.context(index, technique, baseline, keeps, folder.begin(), warn)
    keras.utils.set_random_seed(context.seed)
    keras.backend.reset_uids()  # names such as quantize_layer_3 would count what this process did before, and stand in the file
    result = work(context)
    metrics = surroundings.evaluate(result.model)
    report = stage_report(index, technique, identifier, result, metrics, time.monotonic() - started)
    report = report.model_copy(update={"warnings": warnings})
    save_stage(folder, result, report)
    gc.collect()  # the graphs and the optimizer of a training are cyclic garbage
    progress.say(_one_line(report))
    return State(result.model, result.keeps, folder.key), report


def _one_line(report: StageReport) -> str:
    """A stage in one line of the terminal."""
    metric, value = next((name, value) for name, value in report.metrics["validation"].items() if isinstance(value, float))
    zeros = 1 - report.nonzero_parameters / max(1, report.parameters)
    return (
        f"{report.index:02d} {report.technique:<16} validation {metric} {value:.4f}  {report.parameters:>11,} parameters"
        f"  {zeros:4.0%} zeros  {report.seconds:6.1f} s"
    )
