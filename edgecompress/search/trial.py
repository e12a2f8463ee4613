"""One trial: the recipe of a point, run as far as it is worth it. Stages come from the cache that all trials share."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any, Literal

from edgecompress.backend import set_threads
from edgecompress.causes import root_cause
from edgecompress.data import Data, load_data
from edgecompress.errors import EdgeCompressError, StorageError
from edgecompress.latency.forecast import forecast_of
from edgecompress.pipeline import Surroundings, run_baseline, run_technique
from edgecompress.progress import Progress
from edgecompress.recipe.schema import Recipe
from edgecompress.recipe.space import Point, Space, search_of
from edgecompress.report.schema import StageReport
from edgecompress.search.goals import predicted_goal, violations
from edgecompress.search.halving import is_worth_it, shortened
from edgecompress.search.outcome import Outcome, latency_threads, measure_outcome
from edgecompress.search.prediction import certain_limits, is_foreseen, is_sized, predict, predicted_violations
from edgecompress.search.stage_cache import StageCache
from edgecompress.stage import State
from edgecompress.stage_keys import baseline_key, technique_key
from edgecompress.store import STORAGE_ERRORS, content_key

Kind = Literal["complete", "rejected", "stopped", "failed"]
GoesOn = Callable[[int, Outcome], bool]  # (rung, what was reached there) -> whether the trial gets more


@dataclass(frozen=True)
class Result:
    """How a trial ended.

    Attributes:
        kind: complete: run in full; rejected: its prediction misses a limit; stopped: hopeless after a short recovery; failed:
            a recipe that cannot run, see `reason`.
        reason: one sentence; "" for complete ones.
        outcome: of the full recipe, or of the last rung of one that was stopped.
        misses: limits that are missed, as fractions of them.
        stages: (index, technique, key) of the stages in the cache.
        file: path of the .tflite, in the cache.
        seconds: wall time.
    """

    kind: Kind
    reason: str = ""
    outcome: Outcome | None = None
    misses: Mapping[str, float] = field(default_factory=dict)
    stages: Sequence[tuple[int, str, str]] = ()
    file: str = ""
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def result_of(values: Mapping[str, Any]) -> Result:
    """A result from what a study stores."""
    outcome = None if values["outcome"] is None else Outcome(**values["outcome"])
    return Result(**{**values, "outcome": outcome, "stages": tuple((int(i), str(t), str(k)) for i, t, k in values["stages"])})


class Laboratory:
    """What all trials of a process share: data, threads, cache.

    Args:
        space: of the search.
        cache: where stages are kept.
        allow_code: as for a run.
    """

    def __init__(self, space: Space, cache: StageCache, *, allow_code: bool) -> None:
        self.space, self.cache, self._allow_code = space, cache, allow_code
        self._threads = set_threads(space.recipe.threads)
        self._data: tuple[str, Data] | None = None
        self._forecast = forecast_of(space.recipe.target)
        self._timed = [] if space.recipe.search is None else latency_threads(space.recipe, self._forecast)

    def data(self, recipe: Recipe) -> Data:
        """The samples, loaded again only where a trial reads them in another way."""
        key = content_key(recipe.data.model_dump(mode="json"))
        if self._data is None or self._data[0] != key:
            self._data = (key, load_data(recipe.data, recipe.task, seed=recipe.seed, allow_code=self._allow_code))
        return self._data[1]

    def run(self, point: Point, goes_on: GoesOn, progress: Progress, *, in_full: bool) -> Result:
        """Runs the recipe of a point, as far as it is worth it.

        Args:
            point: what the space draws.
            goes_on: asked after each short recovery.
            progress: where bars and lines go.
            in_full: no short recoveries.

        Raises:
            StorageError: the cache cannot be written, which no other trial would change.
        """
        started = time.monotonic()
        try:
            recipe = self.space.recipe_at(point)
            result = self._judge(trial_recipe(recipe), goes_on, progress, in_full=in_full)
        except StorageError:
            raise
        except EdgeCompressError as error:
            result = Result("failed", " ".join(str(error).split()))
        return Result(**{**vars(result), "seconds": time.monotonic() - started})

    def _judge(self, recipe: Recipe, goes_on: GoesOn, progress: Progress, *, in_full: bool) -> Result:
        """Cheap first: prediction, short recoveries, the whole recipe."""
        search = search_of(self.space.recipe)
        surroundings = self.surroundings(recipe, progress)
        state, report = self._baseline(surroundings)
        if missed := self._missed_for_certain(recipe, state, surroundings.data):
            words = ", ".join(f"{name} {1 + miss:.2f} times the limit" for name, miss in missed.items())
            return Result("rejected", f"predicted before training: {words}", misses=missed)
        halves = search.halving is not None and not in_full and is_worth_it(recipe, len(surroundings.data.train))
        rungs = search.halving.rungs if search.halving is not None and halves else []
        for number, fraction in enumerate(rungs):
            short = shortened(recipe, fraction)
            if short == recipe:
                break
            outcome, result = self._run_stages(short, state, report, progress)
            if not goes_on(number, outcome):
                return Result(**{**vars(result), "kind": "stopped", "reason": f"hopeless after {fraction:g} of the epochs"})
        return self._run_stages(recipe, state, report, progress)[1]

    def _missed_for_certain(self, recipe: Recipe, baseline: State, data: Data) -> dict[str, float]:
        """Limits that the prediction misses; a plan costs seconds, so there is one only where a limit asks for it."""
        goal, forecast = certain_limits(self.space.recipe.goal, recipe), self._forecast
        limit = predicted_goal(goal, forecast.table.host) if forecast is not None and is_foreseen(recipe) else None
        if (goal.size_kb is None and goal.macs is None and limit is None) or not is_sized(recipe):
            return {}
        asked = None if forecast is None or limit is None else replace(forecast, threads=limit.threads)
        prediction = predict(recipe, baseline.model, data, allow_code=self._allow_code, forecast=asked)
        return predicted_violations(goal, prediction, None if limit is None else limit.limit)

    def run_line(self, recipe: Recipe, progress: Progress) -> tuple[Outcome, Result]:
        """A recipe from its baseline to its file, without any judgement on the way.

        Raises:
            EdgeCompressError: what a run would refuse.
        """
        return self._run_stages(recipe, *self._baseline(self.surroundings(recipe, progress)), progress)

    def _baseline(self, surroundings: Surroundings) -> tuple[State, StageReport]:
        """What all trials begin with."""
        return self.cache.recent.take(baseline_key(surroundings), lambda: run_baseline(surroundings))

    def _run_stages(self, recipe: Recipe, baseline: State, first: StageReport, progress: Progress) -> tuple[Outcome, Result]:
        """All stages, then the file."""
        surroundings, state, reports = self.surroundings(recipe, progress), baseline, [first]
        keys = [(0, "baseline", baseline.key)]
        for index, config in enumerate(recipe.stages, start=1):
            work = partial(run_technique, surroundings, index, config, state, baseline.model)
            state, report = self.cache.recent.take(technique_key(surroundings, index, config, state), work)
            reports.append(report)
            keys.append((index, report.technique, state.key))
        outcome, file = measure_outcome(self.space.recipe, surroundings, state, reports, self._timed, self.cache)
        return outcome, Result("complete", outcome=outcome, misses=violations(self.space.recipe, outcome), stages=keys, file=str(file))

    def surroundings(self, recipe: Recipe, progress: Progress) -> Surroundings:
        """What the stages of a recipe share."""
        return Surroundings(recipe, self.data(recipe), self.cache, progress, self._threads, self._allow_code, None, is_trial=True)


def is_of_recipe(error: BaseException) -> bool:
    """Whether an error belongs to the recipe that met it, and is not what any other would meet too, as an interrupt or a full disk."""
    if isinstance(error, OSError) and error.errno in STORAGE_ERRORS and error.errno != errno.ENOENT:  # what is missing may be the recipe's
        return False
    return isinstance(error, Exception) and not isinstance(error, StorageError)


def unforeseen(error: BaseException) -> str:
    """Why a recipe failed that met what nobody foresaw, such as a lack of memory; the log says where."""
    logging.getLogger(__name__).error("a recipe failed", exc_info=error)
    kind, cause = type(error).__name__, root_cause(error)
    return kind if cause == kind else f"{kind}: {cause}"


def trial_recipe(recipe: Recipe) -> Recipe:
    """Stages of a trial time nothing while others may train, but where their budget is a time; format auto stays at its first rung.

    What a trial left is lent to the last run of its search, though that has times: see `stage_keys.lent_keys`.
    """
    recipe = recipe.model_copy(update={"export": recipe.export.start})
    needs_time = any(getattr(stage, "latency_ms", None) is not None for stage in recipe.stages)
    return recipe if needs_time else recipe.model_copy(update={"benchmark": None})
