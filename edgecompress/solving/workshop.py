"""Runs the steps of a solve: each an ordinary recipe, its stages from a cache that all steps share, its figures kept in a journal."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from edgecompress.data import Data
from edgecompress.errors import DeviceError, EdgeCompressError, ModelError, RecipeError, StorageError
from edgecompress.latency.forecast import forecast_of
from edgecompress.pipeline import run_baseline
from edgecompress.progress import Bar, Progress
from edgecompress.recipe import check_recipe
from edgecompress.recipe.schema import Goal, Recipe
from edgecompress.recipe.space import Space
from edgecompress.recipe.stages import Factorize
from edgecompress.report.schema import StageReport
from edgecompress.search.goals import latency_goals, violations
from edgecompress.search.outcome import Outcome
from edgecompress.search.prediction import MARGIN
from edgecompress.search.stage_cache import StageCache
from edgecompress.search.trial import Laboratory, is_of_recipe, trial_recipe, unforeseen
from edgecompress.solving.clock import Clock
from edgecompress.solving.design import Design, Parts, patterns_of_factors, recipe_of
from edgecompress.solving.journal import Journal
from edgecompress.solving.parts import find_parts, kernel_sizes, order_of_bits
from edgecompress.solving.question import HARD, Question, machine_of
from edgecompress.solving.steps import Step
from edgecompress.stage import State
from edgecompress.store import content_key
from edgecompress.techniques.baseline import bring_model, file_hash
from edgecompress.techniques.low_bits.sensitivity import measure_bits


class Workshop:
    """What all steps of a solve share.

    Args:
        question: what is asked.
        folder: of the solve.
        journal: of earlier calls.
        clock: times files.
        progress: where bars and lines go.
        allow_code: as for a run.
    """

    def __init__(
        self, question: Question, folder: Path, journal: Journal, clock: Clock, progress: Progress, *, allow_code: bool
    ) -> None:  # fmt: skip
        self._question, self._folder, self._journal, self._clock = question, folder, journal, clock
        self._progress, self._allow_code = progress, allow_code
        self.recipes: dict[str, Recipe] = {}  # of the steps that were asked for, by their keys
        self.cache = StageCache(folder / "cache")
        space = Space(question.recipe, {}, frozenset(), (), ())
        self._laboratory = Laboratory(space, self.cache, allow_code=allow_code)
        with progress.task("loading data"):
            self._data: Data = self._laboratory.data(question.recipe)
        self._content = [self._data.fingerprint, file_hash(question.recipe.model)]

    def check_limits(self) -> dict[str, float]:
        """Cuts all that can be from the untrained model: what even that misses, nothing else needs to try.

        Returns:
            Limit -> its least value; in weights of 4 bits for the size, in int8 for all else. What is only predicted is left out. Low
            rank is looked at only where the others miss a limit.

        Raises:
            RecipeError: a limit below that.
            EdgeCompressError: data or model that a run would refuse, a host that is away.
        """
        recipe = self._question.recipe
        made = bring_model(recipe.model, recipe.task, self._data, seed=recipe.seed, allow_code=self._allow_code).model
        surroundings = self._laboratory.surroundings(recipe, Progress())
        outlook = surroundings.context(0, "floor", made, (), self._folder, self._progress.say).outlook
        parts = find_parts(made, outlook, recipe.export, recipe.task.metrics[0], 1.0, speed=self._wants_speed)
        untrained = recipe.model_copy(update={"model": recipe.model.model_copy(update={"train": None})})
        question = Question(untrained, self._question.epochs)
        layers = tuple(kernel_sizes(made)) if parts.low_bits and recipe.goal.size_kb is not None else ()
        found, low_rank = self._floor(question, parts, layers), ""
        if parts.low_rank and any(_contradicts(recipe.goal, name, least) for name, least in found.items()):
            lower, low_rank = self._floor(question, parts, layers, rank_one=True), ", with or without low rank"
            found = {name: min(least, lower[name]) for name, least in found.items() if name in lower}
        for name, least in found.items():
            if _contradicts(recipe.goal, name, least):
                form = "4 bits" if name == "size_kb" else "int8"
                words = f"at least {least:.4g}, what is left in {form} where all channels are cut that can be{low_rank}"
                limit = _limit(recipe.goal, name)
                raise RecipeError(f"goal.{name}: the limit contradicts the model; it must be {words}. Received: {limit:g}.")
        return found

    def _floor(self, question: Question, parts: Parts, layers: tuple[str, ...], *, rank_one: bool = False) -> dict[str, float]:
        """Limit -> its value with everything cut, and every layer that can be in factors of rank 1 if that is asked for."""
        found: dict[str, float] = {}
        low = patterns_of_factors(layers) if rank_one else layers
        for bits in [(), low] if low else [()]:
            design = Design(cut=1.0, four_bits=bits)
            recipe = recipe_of(design, question, parts)
            if rank_one:  # after the cut, which the climb has the other way round: factors may be too narrow for all of it
                recipe = recipe.model_copy(update={"stages": [*recipe.stages, Factorize(method="svd", rank=1, timed_as=None)]})
            step = self._take(recipe, design)
            for name in HARD if not bits else ("size_kb",):
                value = step.value(name) if step.runs and getattr(recipe.goal, name) is not None else None
                if value is not None and name not in step.predicted:
                    found[name] = min(value, found.get(name, value))
        return found

    @property
    def _wants_speed(self) -> bool:
        goal = self._question.recipe.goal
        return any(getattr(goal, name) is not None for name in HARD if name not in ("size_kb", "arena_kb"))

    @cached_property
    def _baseline(self) -> tuple[State, StageReport]:
        """Trained or loaded, once."""
        return run_baseline(self._laboratory.surroundings(trial_recipe(self._question.recipe), Bars(self._progress)))

    @property
    def baseline(self) -> float:
        """The metric of the baseline on the validation split."""
        return float(self._baseline[1].metrics["validation"][self._question.recipe.task.metrics[0]])

    @cached_property
    def parts(self) -> Parts:
        """What of the baseline can be worked on."""
        recipe, surroundings = self._question.recipe, self._laboratory.surroundings(self._question.recipe, Progress())
        model = self._baseline[0].model
        outlook = surroundings.context(0, "solve", model, (), self._folder, self._progress.say).outlook
        return find_parts(model, outlook, recipe.export, recipe.task.metrics[0], self.baseline, speed=self._wants_speed)

    @property
    def sizes(self) -> dict[str, int]:
        """Weights of the layers that could have 4 bits."""
        return kernel_sizes(self._baseline[0].model)

    def bits(self) -> list[tuple[str, float]]:
        """Layer -> what the metric loses with it alone in 4 bits, the least per byte first; measured once."""
        state, _ = self._baseline
        surroundings = self._laboratory.surroundings(self._question.recipe, self._progress)
        context = surroundings.context(0, "sensitivity", state.model, state.keeps, self._folder, self._progress.say)
        return order_of_bits(measure_bits(state.model, context), self.sizes)

    def run(self, design: Design) -> Step:
        """One step, or what the journal holds of it."""
        recipe = recipe_of(design, self._question, self.parts)
        step = self._take(recipe, design)
        self.recipes[step.key] = recipe
        return step

    def is_known(self, design: Design) -> bool:
        """Whether the journal holds the step."""
        return self._known(recipe_of(design, self._question, self.parts)) is not None

    def _key(self, recipe: Recipe) -> str:
        """Of what a step's figures depend on: not on how large the limits are, but on where and how times are measured."""
        goal = recipe.goal
        timed = [(name, limit.host, limit.threads) for name, limit in latency_goals(goal).items()]
        forecast = forecast_of(recipe.target)
        digest = None if forecast is None else forecast.digest
        how = [timed, goal.peak_rss_kb is not None, recipe.benchmark is not None, digest, machine_of(goal)]
        values = recipe.model_dump(mode="json", exclude={"goal": True, "benchmark": True, "target": {"latency_table"}})
        return content_key(values, how, self._content)

    def _known(self, recipe: Recipe) -> Step | None:
        """A step of the journal, judged by the limits of today. One that keeps them by prediction alone is still to be measured."""
        known = self._journal.step(self._key(recipe))
        if known is None or not known.runs:
            return known
        step = replace(known, misses=violations(recipe, _outcome(recipe, known), known.measured))
        return None if step.predicted and step.met else step

    def _take(self, recipe: Recipe, design: Design) -> Step:
        """The step of a recipe. One that cannot run is a step too, with its reason, whatever that is.

        Raises:
            StorageError, DeviceError: what has nothing to do with the recipe, and no other step would change.
        """
        if (known := self._known(recipe)) is not None:
            return known
        started = time.monotonic()
        try:
            values = self._figures(recipe)
        except (StorageError, DeviceError):
            raise
        except EdgeCompressError as error:
            values = {"reason": " ".join(str(error).split())}
        except Exception as error:
            if not is_of_recipe(error):
                raise
            values = {"reason": unforeseen(error)}
        step = Step(0, design.words(), self._key(recipe), design.trains, time.monotonic() - started, **values)
        self._journal.add(step)
        return step

    def _figures(self, recipe: Recipe) -> dict[str, Any]:
        """Runs a recipe as a trial, and times its file."""
        check_recipe(recipe)
        outcome, result = self._laboratory.run_line(trial_recipe(recipe), Bars(self._progress))
        if not math.isfinite(outcome.drop):
            raise ModelError(f"{recipe.task.metrics[0]} of the file is no number")
        times = self._clock.read(Path(result.file))
        misses = violations(recipe, outcome, times.measured)
        if times.predicted and not any(miss > 0 for miss in misses.values()):  # what would end the climb must be true
            times = self._clock.read(Path(result.file), for_real=True)
            misses = violations(recipe, outcome, times.measured)
        return {
            "bytes": outcome.bytes, "metric": outcome.metrics[recipe.task.metrics[0]], "drop": outcome.drop, "macs": outcome.macs,
            "arena_bytes": outcome.arena_bytes, "p50_ms": times.p50_ms, "measured": times.measured, "predicted": list(times.predicted),
            "misses": misses, "stages": tuple(result.stages), "file": Path(result.file).relative_to(self._folder).as_posix(),
        }  # fmt: skip


def _limit(goal: Goal, name: str) -> float:
    limit = getattr(goal, name)
    return float(getattr(limit, "limit", limit))


def _contradicts(goal: Goal, name: str, least: float) -> bool:
    """Whether a limit is missed for certain."""
    return least > (1 + MARGIN) * _limit(goal, name)


def _outcome(recipe: Recipe, step: Step) -> Outcome:
    """The figures of a step that runs, as a trial has them."""
    metrics = {} if step.metric is None else {recipe.task.metrics[0]: step.metric}
    return Outcome(metrics, step.drop, step.bytes or 0, step.macs, step.arena_bytes)


class Bars(Progress):
    """The bars of a step without its lines: a solve says one line of each step."""

    def __init__(self, outer: Progress) -> None:
        self._outer = outer

    @contextmanager
    def task(self, name: str, total: float | None = None) -> Iterator[Bar]:
        with self._outer.task(name, total) as bar:
            yield bar
