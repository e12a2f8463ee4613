"""`edgecompress search`: draws points, tries their recipes, and shows what was found."""

from __future__ import annotations

import gc
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import optuna
from optuna.trial import FrozenTrial
from sqlalchemy.exc import SQLAlchemyError

from edgecompress.progress import Bar, Progress
from edgecompress.recipe.schema import Recipe
from edgecompress.recipe.space import Point, make_space, search_of
from edgecompress.recipe.space_rules import objective_names
from edgecompress.search.front import Candidate
from edgecompress.search.goals import violations
from edgecompress.search.halving import RUNG, goes_on
from edgecompress.search.harvest import siblings
from edgecompress.search.outcome import Outcome
from edgecompress.search.queue import RESULT, Ending, Queue, Slot
from edgecompress.search.sampling import OptunaChooser
from edgecompress.search.stage_cache import StageCache
from edgecompress.search.study import Study
from edgecompress.search.trial import GoesOn, Laboratory, Result, is_of_recipe, result_of, unforeseen

FAILED = 1e3  # the constraint of a recipe that cannot run: worse than any limit that is missed
POLL_S = 1.0
# What ends a worker, not a trial: another trial would meet it too.
ABOVE_TRIALS = (optuna.exceptions.UpdateFinishedTrialError, optuna.exceptions.StorageInternalError, SQLAlchemyError)


class Worker:
    """One process that fills slots of a study until there are none left.

    Args:
        recipe: of the search.
        study: opened.
        cache: where stages are kept.
        allow_code: as for a run.
    """

    def __init__(self, recipe: Recipe, study: Study, cache: StageCache, *, allow_code: bool) -> None:
        self._recipe, self._study = recipe, study
        self._queue = Queue(study, recipe, f"{socket.gethostname()}-{os.getpid()}")
        self._laboratory = Laboratory(make_space(recipe), cache, allow_code=allow_code)

    def work(self, progress: Progress) -> None:
        """Takes trials until all are done, or the recipe's minutes are over.

        Raises:
            StorageError: the cache cannot be written.
            KeyboardInterrupt: the trial under way is left for another attempt.
        """
        search, started = search_of(self._recipe), time.monotonic()
        with progress.task("searching", total=search.trials) as bar, settled():
            shown = 0
            while search.minutes is None or time.monotonic() - started < 60 * search.minutes:
                trial = self._queue.take()
                if trial is not None:
                    self._try(trial, Beside(progress, bar, f"trial {self._queue.number(trial)}"))
                elif self._queue.is_over():
                    return
                else:
                    bar.describe("waiting for other workers")
                    time.sleep(min(POLL_S, self._study.heartbeat.interval_s))
                done = sum(slot.done is not None for slot in self._queue.slots())
                bar.advance(done - shown)
                shown = done

    def slots(self) -> list[Slot]:
        """What the study holds by now."""
        return self._queue.slots()

    def harvested(self) -> list[FrozenTrial]:
        """What trials brought along by now, in the order of their slots."""
        return self._queue.harvested()

    def _try(self, trial: optuna.Trial, progress: Beside) -> None:
        """Runs a trial and stores how it ended, unless it was taken for dead meanwhile: then another attempt counts."""
        try:
            with self._queue.alive(trial):
                result = self._run(trial, progress)
                self._queue.tell(trial, ending(self._recipe, result))
        except optuna.exceptions.UpdateFinishedTrialError:
            progress.say(f"{progress.name}: dropped; it gave no sign of life for too long, and another attempt counts")
        else:
            progress.say(f"{progress.name}: {in_words(self._recipe, result)}")

    def _run(self, trial: optuna.Trial, progress: Beside) -> Result:
        """How a trial ends, and what it brings along."""
        try:
            point = self._laboratory.space.draw(OptunaChooser(trial))
            in_full = self._queue.is_first(trial)
            result = self._result(point, lambda rung, outcome: self._goes_on(trial, rung, outcome), progress, in_full=in_full)
            if result.kind == "complete":
                self._harvest(trial, point, progress)
            return result
        except BaseException as error:
            if is_of_trial(error):
                return failure(error)
            with suppress(optuna.exceptions.UpdateFinishedTrialError):
                self._queue.give_back(trial)
            raise

    def _result(self, point: Point, goes_on: GoesOn, progress: Progress, *, in_full: bool) -> Result:
        """What a point reaches; one that was tried already is not run again."""
        started = time.monotonic()
        known = self._queue.known(point, in_full=in_full)
        if known is not None:
            return replace(result_of(known), seconds=time.monotonic() - started)
        try:
            return self._laboratory.run(point, goes_on, progress, in_full=in_full)
        except Exception as error:
            if not is_of_trial(error):
                raise
            return replace(failure(error), seconds=time.monotonic() - started)

    def _harvest(self, trial: optuna.Trial, point: Point, progress: Beside) -> None:
        """Tries the points that cost no training after this one."""
        for order, other in enumerate(siblings(self._laboratory.space, point, search_of(self._recipe).harvest)):
            result = self._result(other, lambda *_: True, progress, in_full=True)
            self._queue.bring_along(trial, order, other, ending(self._recipe, result))
            progress.say(f"{progress.name}, harvested: {in_words(self._recipe, result)}")

    def _goes_on(self, trial: optuna.Trial, rung: int, outcome: Outcome) -> bool:
        """Compares a trial with those that reached the same rung, and lets later ones know of it."""
        name, number = f"{RUNG}{rung}", self._queue.number(trial)
        own = candidate(self._recipe, outcome)
        reached = [slot.reached(name) for place, slot in enumerate(self._queue.slots()) if place != number]
        others = [Candidate(tuple(other["losses"]), other["violation"]) for other in reached if other is not None]
        trial.set_user_attr(name, {"losses": own.losses, "violation": own.violation})
        halving = search_of(self._recipe).halving
        return halving is None or goes_on(own, others, halving.keep)


class Beside(Progress):
    """Progress of one trial, shown as words beside the bar of the search."""

    def __init__(self, outer: Progress, bar: Bar, name: str) -> None:
        self._outer, self._bar, self.name = outer, bar, name

    @contextmanager
    def task(self, name: str, total: float | None = None) -> Iterator[Bar]:
        self._bar.describe(f"{self.name}: {name}")
        yield Bar()

    def say(self, line: str) -> None:
        if line.startswith("trial "):
            self._outer.say(line)


@contextmanager
def settled() -> Iterator[None]:
    """What is loaded by now is no garbage until the exit: every stage collects its own, and would look through all of TensorFlow for it."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def is_of_trial(error: BaseException) -> bool:
    """Whether an error ends the trial that met it, and not the whole search, as an interrupt or a full disk does."""
    return is_of_recipe(error) and not isinstance(error, ABOVE_TRIALS)


def failure(error: BaseException) -> Result:
    """How a trial ends that met what nobody foresaw."""
    return Result("failed", unforeseen(error))


def candidate(recipe: Recipe, outcome: Outcome) -> Candidate:
    """An outcome as fronts compare it."""
    losses = tuple(-outcome.objective(name) if recipe.task.rises(name) else outcome.objective(name) for name in objective_names(recipe))
    return Candidate(losses, sum(max(0.0, miss) for miss in violations(recipe, outcome).values()))


def ending(recipe: Recipe, result: Result) -> Ending:
    """A result as the study stores it."""
    constraints = dict(result.misses)
    if result.kind == "failed":
        constraints["runs"] = FAILED
    outcome = result.outcome if result.kind == "complete" else None
    values = None if outcome is None else [outcome.objective(name) for name in objective_names(recipe)]
    return Ending(values, constraints, result.to_dict())


def in_words(recipe: Recipe, result: Result) -> str:
    """A trial in one line of the terminal."""
    if result.outcome is None or result.kind != "complete":
        return f"{result.kind}: {result.reason}"
    values = ", ".join(f"{name} {result.outcome.objective(name):.6g}" for name in objective_names(recipe))
    missed = [name for name, miss in result.misses.items() if miss > 0]
    return f"{values}{f'; misses {chr(44).join(missed)}' if missed else ''}  ({result.seconds:.1f} s)"


def result_in(trial: FrozenTrial) -> dict[str, Any] | None:
    """What a trial stored."""
    values: dict[str, Any] | None = trial.user_attrs.get(RESULT)
    return values
