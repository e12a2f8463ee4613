"""Which trial is next, when any number of workers ask and any of them may die at any moment.

A search has `trials` slots. Each is filled by a trial; where its worker died, by another attempt at the same point. Every worker
sees the same list of trials, in the order of their numbers, and concludes the same from it, so nobody has to be in charge:
of two live attempts at one slot the earlier counts, and a trial beyond the last slot is given up at once.

What a trial brings along (`harvest.py`) fills no slot: it is told before the trial itself, so that where a worker dies between, another
attempt finds what is there and adds what is missing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from edgecompress.recipe.schema import Recipe
from edgecompress.recipe.space import label, search_of
from edgecompress.search.sampling import make_sampler
from edgecompress.search.study import Study

SLOT, GIVEN, WORKER, SURPLUS, RETURNED = "slot", "given", "worker", "surplus", "returned"  # attributes of trials
RESULT, HARVESTED = "result", "harvested"  # how a trial ended; (slot whose trial brought it along, which one)
MOST_ATTEMPTS = 4  # at one slot: a recipe that kills every worker, for lack of memory say, must not do so for ever
LIVE = (TrialState.WAITING, TrialState.RUNNING)
DONE = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True)
class Slot:
    """One of the trials that the recipe asks for. `number` is that of its first attempt."""

    number: int
    attempts: list[FrozenTrial] = field(default_factory=list)

    @property
    def done(self) -> FrozenTrial | None:
        """The attempt that counts, if one has ended."""
        return next((trial for trial in self.attempts if trial.state in DONE), None)

    @property
    def is_lost(self) -> bool:
        """Nobody works on it or will, and it has not ended."""
        return not any(trial.state in LIVE + DONE for trial in self.attempts)

    def reached(self, rung: str) -> Any:
        """What the last attempt stored under the name of a rung; None: none got so far."""
        return next((trial.user_attrs[rung] for trial in reversed(self.attempts) if rung in trial.user_attrs), None)

    @property
    def is_given_up(self) -> bool:
        return self.is_lost and sum(RETURNED not in trial.user_attrs for trial in self.attempts) >= MOST_ATTEMPTS


@dataclass(frozen=True)
class Ending:
    """How a trial ended.

    Attributes:
        values: one per objective; None: it did not run in full.
        constraints: limit -> how far it is missed.
        result: all of it, as the study stores it.
    """

    values: Sequence[float] | None
    constraints: Mapping[str, float]
    result: Mapping[str, Any]


class Queue:
    """The slots of a study, as one worker sees and fills them."""

    def __init__(self, study: Study, recipe: Recipe, worker: str) -> None:
        self._study, self._storage, self._heartbeat = study.study, study.storage, study.heartbeat
        self._num_slots = search_of(recipe).trials
        self._first = [{name: label(value) for name, value in point.items()} for point in search_of(recipe).first]
        self._worker = worker
        self._silent_since: dict[int, float] = {}
        self._study.sampler = make_sampler(recipe, self._given, lambda trial: self._rank(_slot(trial)))

    def slots(self) -> list[Slot]:
        """All slots that are taken so far, in their order."""
        slots: dict[int, Slot] = {}
        for trial in self._study.get_trials(deepcopy=False):
            if not trial.user_attrs.get(SURPLUS) and HARVESTED not in trial.user_attrs:
                number = _slot(trial)
                slots.setdefault(number, Slot(number)).attempts.append(trial)
        return [slots[number] for number in sorted(slots)][: self._num_slots]

    def harvested(self) -> list[FrozenTrial]:
        """What trials brought along, by their slots; where two attempts brought the same, once."""
        found: dict[tuple[int, int], FrozenTrial] = {}
        for trial in self._study.get_trials(deepcopy=False, states=DONE):
            if HARVESTED in trial.user_attrs:
                found.setdefault(tuple(trial.user_attrs[HARVESTED]), trial)
        return [found[place] for place in sorted(found)]

    def take(self) -> optuna.Trial | None:
        """The next trial for this worker; None where there is nothing to take now. `is_over` says whether there will be."""
        self._bury_the_dead()
        slots = self.slots()
        for slot in slots:
            if slot.is_lost and not slot.is_given_up:
                self._try_again(slot)
        waiting = any(trial.state == TrialState.WAITING for slot in self.slots() for trial in slot.attempts)
        if not waiting and len(slots) >= self._num_slots:
            return None
        trial = self._study.ask()
        self._storage.record_heartbeat(self._id(trial.number))
        trial.set_user_attr(WORKER, self._worker)  # after the first sign of life: who has the attribute has a heartbeat
        if self._counts(trial.number):
            return trial
        trial.set_user_attr(SURPLUS, True)
        self._study.tell(trial, state=TrialState.FAIL)
        return None

    def is_over(self) -> bool:
        """Whether every slot has ended."""
        slots = self.slots()
        return len(slots) >= self._num_slots and all(slot.done is not None or slot.is_given_up for slot in slots)

    def is_first(self, trial: optuna.Trial) -> bool:
        """Whether the point of a trial stands in the recipe."""
        return self.number(trial) < len(self._first)

    def number(self, trial: optuna.Trial) -> int:
        """Position of a trial's slot, from 0."""
        return self._rank(_slot(trial))

    def known(self, point: Mapping[str, Any], *, in_full: bool) -> dict[str, Any] | None:
        """How a point ended that was tried already.

        Args:
            point: what was drawn.
            in_full: an end after a short recovery does not count.
        """
        for trial in self._study.get_trials(deepcopy=False, states=DONE):
            result: dict[str, Any] | None = trial.user_attrs.get(RESULT)
            if result is not None and trial.params == point and not (in_full and result["kind"] == "stopped"):
                return result
        return None

    def bring_along(self, trial: optuna.Trial, order: int, point: Mapping[str, Any], ending: Ending) -> None:
        """Stores what a trial brings along as a trial of its own, unless an earlier attempt did.

        Args:
            trial: under way.
            order: which of those that it brings, from 0.
            point: its fields are among those that the trial drew.
            ending: how it ended.
        """
        place = [_slot(trial), order]
        if any(other.user_attrs[HARVESTED] == place for other in self.harvested()):
            return
        distributions = {name: trial.distributions[name] for name in point}
        self._study.add_trial(create_trial(
            state=TrialState.PRUNED if ending.values is None else TrialState.COMPLETE, values=ending.values, params=dict(point),
            distributions=distributions, constraints=dict(ending.constraints),
            user_attrs={RESULT: dict(ending.result), HARVESTED: place, WORKER: self._worker},
        ))  # fmt: skip

    def give_back(self, trial: optuna.Trial) -> None:
        """Leaves a trial for another attempt, such as after an interrupt."""
        trial.set_user_attr(RETURNED, True)
        self._study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)

    def tell(self, trial: optuna.Trial, ending: Ending) -> None:
        """Ends a trial: with its values, or as one that was not run in full.

        Raises:
            UpdateFinishedTrialError: it was taken for dead meanwhile.
        """
        trial.set_user_attr(RESULT, dict(ending.result))
        for name, miss in ending.constraints.items():
            trial.set_constraint(name, miss)
        values = ending.values
        try:
            self._study.tell(trial, values, state=TrialState.PRUNED if values is None else TrialState.COMPLETE)
        except ValueError as error:  # what Optuna says of a trial that is not running any more
            if self._storage.get_trial(self._id(trial.number)).state.is_finished():
                raise optuna.exceptions.UpdateFinishedTrialError(str(error)) from error
            raise

    @contextmanager
    def alive(self, trial: optuna.Trial) -> Iterator[None]:
        """Gives signs of life from entry to exit."""
        over, identifier = threading.Event(), self._id(trial.number)

        def beat() -> None:
            while not over.wait(self._heartbeat.interval_s):
                try:
                    self._storage.record_heartbeat(identifier)
                except Exception:  # a database that is away for a moment: the next sign may reach it
                    continue

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _bury_the_dead(self) -> None:
        """Marks trials as failed whose workers gave no sign of life for too long, or never gave one."""
        optuna.storages.fail_stale_trials(self._study)
        now = time.monotonic()
        running = [
            trial for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)) if WORKER not in trial.user_attrs
        ]
        self._silent_since = {trial.number: self._silent_since.get(trial.number, now) for trial in running}
        for number, since in self._silent_since.items():
            if now - since > self._heartbeat.grace_s:
                self._fail(number)

    def _fail(self, number: int) -> None:
        try:
            self._storage.set_trial_state_values(self._id(number), TrialState.FAIL)
        except optuna.exceptions.UpdateFinishedTrialError:
            return

    def _try_again(self, slot: Slot) -> None:
        """Puts the point of a lost slot on the list once more; where two workers do so, the later attempt is surplus."""
        values = dict(slot.attempts[0].user_attrs.get(GIVEN) or {})
        for attempt in slot.attempts:
            values.update(attempt.params)
        self._study.add_trial(create_trial(state=TrialState.WAITING, user_attrs={SLOT: slot.number, GIVEN: values}))

    def _counts(self, number: int) -> bool:
        """Whether a trial fills a slot that nobody before it fills."""
        slots = self.slots()
        own = next((slot for slot in slots if any(trial.number == number for trial in slot.attempts)), None)
        if own is None:
            return False
        return not any(trial.number < number and trial.state in LIVE + DONE for trial in own.attempts)

    def _rank(self, number: int) -> int:
        """Position of a slot among all."""
        return next((rank for rank, slot in enumerate(self.slots()) if slot.number == number), self._num_slots)

    def _given(self, trial: FrozenTrial) -> Mapping[str, Any] | None:
        """The point that a trial must try: of the recipe's list, and what an earlier attempt had drawn before it was lost."""
        rank = self._rank(_slot(trial))
        first = self._first[rank] if rank < len(self._first) else {}
        return {**first, **trial.user_attrs.get(GIVEN, {})} or None

    def _id(self, number: int) -> int:
        """The storage's own name of a trial."""
        study = self._storage.get_study_id_from_name(self._study.study_name)
        return self._storage.get_trial_id_from_study_id_trial_number(study, number)


def _slot(trial: optuna.Trial | FrozenTrial) -> int:
    """Number of the slot that a trial is an attempt at."""
    return int(trial.user_attrs.get(SLOT, trial.number))
