"""What a trial reached: its last model as a file, measured on the validation split."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edgecompress.benchmarking import benchmark_files
from edgecompress.errors import DeviceError
from edgecompress.evaluation import evaluate_tflite
from edgecompress.export import finished_file
from edgecompress.latency.forecast import Forecast
from edgecompress.lease import measuring, training
from edgecompress.pipeline import Surroundings
from edgecompress.recipe.schema import Recipe
from edgecompress.recipe.space_rules import objective_names
from edgecompress.report.schema import StageReport
from edgecompress.search.goals import local_goals, predicted_goal
from edgecompress.search.stage_cache import StageCache
from edgecompress.stage import State
from edgecompress.store import content_key
from edgecompress.tflite import parse
from edgecompress.tflite.arena import plan_arena

VERSION = 1  # raise it when the same model would give other figures
FILE = "model.tflite"
RUNS = 200  # timed invokes


@dataclass(frozen=True)
class Outcome:
    """Figures of one recipe.

    Attributes:
        metrics: of the .tflite on the validation split.
        drop: loss of the first metric against the trial's own baseline in Keras, in its unit.
        bytes: of the .tflite.
        macs: of the last Keras model; None where a layer has no formula.
        arena_bytes: memory of the tensors; None: too many to plan.
        latency: threads -> {p50_ms, p95_ms, peak_rss_kb}, measured on this machine; empty where nobody asked.
        predicted: threads -> p50 in ms on the host of the latency table; the target's threads first.
        predicted_host: that host; None without a table.
    """

    metrics: dict[str, float]
    drop: float
    bytes: int
    macs: int | None
    arena_bytes: int | None
    latency: dict[str, dict[str, float | None]] = field(default_factory=dict)
    predicted: dict[str, float] = field(default_factory=dict)
    predicted_host: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def objective(self, name: str) -> float:
        """The value of one objective, in its own unit."""
        if name in self.metrics:
            return self.metrics[name]
        values = {"size": self.bytes, "macs": self.macs, "arena": self.arena_bytes, "latency": self._latency()}
        value = values[name]
        return float("inf") if value is None else float(value)

    def _latency(self) -> float | None:
        return next(iter(self.predicted.values()), next((times["p50_ms"] for times in self.latency.values()), None))


def measure_outcome(
    search: Recipe, surroundings: Surroundings, state: State, stages: Sequence[StageReport], threads: Sequence[int], cache: StageCache
) -> tuple[Outcome, Path]:
    """Converts, shrinks, evaluates and, where latency is wanted, times the last model or predicts it; or takes what is known already.

    Args:
        search: says what is wanted.
        surroundings: of the trial.
        state: what the last stage left.
        stages: reports of all stages, the baseline first.
        threads: numbers of threads to time the file with; none: it is not timed.
        cache: where the outcome is kept.

    Returns:
        The figures, and the .tflite.

    Raises:
        ConversionError: the model does not convert.
        DeviceError: the file does not run here.
    """
    recipe, forecast = surroundings.recipe, surroundings.rehearsal.forecast
    foreseen = [] if forecast is None else predicted_threads(search, forecast)
    key = content_key(
        "outcome", VERSION, state.key, recipe.export.model_dump(mode="json"), recipe.target.runtime, recipe.data.calibration,
        recipe.task.model_dump(mode="json"), list(threads),
        platform.node() if threads else "",  # a time holds for the machine that it was measured on
        *([] if forecast is None else [forecast.digest, foreseen]),
    )  # fmt: skip
    with cache.place(key, trains=False).claimed() as folder:  # it is timed in the end, which no training may disturb, this one included
        record = folder.finished()
        if record is not None and (folder.final / FILE).exists():
            return Outcome(**record["outcome"]), folder.final / FILE
        path = folder.begin() / FILE
        with training():
            content = _file(surroundings, state)
            path.write_bytes(content)
            found = evaluate_tflite(path, surroundings.data.validation, recipe.task, progress=surroundings.progress)
        plan = plan_arena(parse(content))
        metric = recipe.task.metrics[0]
        before, after = stages[0].metrics["validation"][metric], found.metrics[metric]
        outcome = Outcome(
            metrics={name: float(found.metrics[name]) for name in recipe.task.metrics},
            drop=float(before - after if recipe.task.rises(metric) else after - before),
            bytes=len(content), macs=stages[-1].macs, arena_bytes=None if plan is None else plan.total,
            latency=time_file(path, threads, surroundings),
            predicted={} if forecast is None else {str(count): forecast.predict(content, count).p50_ms for count in foreseen},
            predicted_host=None if forecast is None else forecast.table.host,
        )  # fmt: skip
        folder.commit({"outcome": json.loads(json.dumps(outcome.to_dict()))})
        return outcome, folder.final / FILE


def latency_threads(search: Recipe, forecast: Forecast | None = None) -> list[int]:
    """Numbers of threads that a trial is timed with: those that a goal or an objective speaks of, and that nothing predicts."""
    limits = local_goals(search.goal)
    if forecast is not None and predicted_goal(search.goal, forecast.table.host) is not None:
        limits.pop("p50_ms", None)
    wanted = {limit.threads for limit in limits.values()}
    is_timed = "latency" in objective_names(search) and forecast is None
    if (is_timed or search.goal.peak_rss_kb is not None) and search.benchmark is not None:
        wanted |= {search.benchmark.threads[0]}
    return sorted(wanted)


def predicted_threads(search: Recipe, forecast: Forecast) -> list[int]:
    """Numbers of threads that are predicted for a trial: the target's first, where latency is an objective; and those of a goal.

    Raises:
        RecipeError: a goal on the table's host with threads that the table cannot predict with.
    """
    limit = predicted_goal(search.goal, forecast.table.host)
    if limit is not None:
        forecast.check_threads(limit.threads, "goal.p50_ms.threads")
    wanted = [forecast.threads] if search.search is not None and "latency" in objective_names(search) else []
    return list(dict.fromkeys([*wanted, *([] if limit is None else [limit.threads])]))


def time_file(path: Path, threads: Sequence[int], surroundings: Surroundings) -> dict[str, dict[str, float | None]]:
    """Times of one file, while nothing else of a search works on this machine.

    Raises:
        DeviceError: it does not run here.
    """
    if not threads:
        return {}
    with measuring(surroundings.progress.say):
        entries = benchmark_files({"final": path}, threads=threads, runs=RUNS, progress=surroundings.progress)
    for entry in entries:
        if entry.error:
            raise DeviceError(f"{path.name}: the file must run on this machine. Received: {entry.error}")
    return {
        str(entry.threads): {"p50_ms": entry.p50_ms, "p95_ms": entry.p95_ms, "peak_rss_kb": entry.peak_rss_kb} for entry in entries
    }  # fmt: skip


def _file(surroundings: Surroundings, state: State) -> bytes:
    """The .tflite as a run would make it."""
    recipe, samples = surroundings.recipe, surroundings.data.calibration.arrays()[0]
    return finished_file(
        state.model, recipe.export, calibration=samples, progress=surroundings.progress, runtime=recipe.target.runtime
    )[1].content  # fmt: skip
