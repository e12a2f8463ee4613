"""What a search found, as plain data: every trial, the Pareto front, the trial that is chosen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from optuna.trial import FrozenTrial

from edgecompress.recipe.schema import LatencyGoal, Recipe
from edgecompress.recipe.space import search_of
from edgecompress.recipe.space_rules import objective_names
from edgecompress.search.front import Candidate, dominates
from edgecompress.search.loop import candidate, result_in
from edgecompress.search.queue import HARVESTED, WORKER, Slot
from edgecompress.search.trial import Result, result_of

LOST = "its workers died"


@dataclass(frozen=True)
class Tried:
    """One trial.

    Attributes:
        number: of its slot, from 0; Optuna counts every attempt at one. Those that others brought along are counted after all slots.
        kind: complete, rejected, stopped or failed.
        reason: why it is not complete.
        point: what was drawn.
        values: objective -> value; of the last short recovery for one that was stopped; empty where there is none.
        misses: limit -> how far it is missed, as `goals.violations` weighs it; at most 0 where it is met.
        on_front: complete, within all limits, and no other such trial is better in everything.
        seconds: of its last attempt; attempts: how many there were.
        worker: who ended it.
        file, stages: in the cache.
        latency: as measured in the trial.
        predicted: threads -> p50 in ms from the latency table.
        measured: the same, of a finalist, measured on the table's host in the end.
        harvested_from: number of the trial that brought it along; None for one of those that the recipe asks for.
        bytes: of its file; None where there is none.
        drop: loss of the first metric against its baseline in Keras, in its unit.
    """

    number: int
    kind: str
    reason: str
    point: dict[str, Any]
    values: dict[str, float]
    misses: dict[str, float]
    on_front: bool
    seconds: float
    attempts: int
    worker: str
    file: str = ""
    stages: Sequence[tuple[int, str, str]] = ()
    latency: Mapping[str, Any] = field(default_factory=dict)
    predicted: Mapping[str, float] = field(default_factory=dict)
    measured: Mapping[str, float] = field(default_factory=dict)
    harvested_from: int | None = None
    bytes: int | None = None
    drop: float | None = None

    @property
    def is_feasible(self) -> bool:
        return self.kind == "complete" and all(miss <= 0 for miss in self.misses.values())


@dataclass(frozen=True)
class Findings:
    """A search.

    Attributes:
        name: of the recipe.
        objectives: name -> whether more is better.
        limits: goal -> limit, of those that trials are judged by.
        num_wanted: trials that the recipe asks for.
        tried: those that have ended, by number, and what they brought along.
        chosen: number of the trial that is chosen; None where none is complete.
    """

    name: str
    objectives: dict[str, bool]
    limits: dict[str, float]
    num_wanted: int
    tried: list[Tried]
    chosen: int | None

    @property
    def front(self) -> list[Tried]:
        """Best of the first objective first."""
        name, more = next(iter(self.objectives.items()))
        return sorted(
            (trial for trial in self.tried if trial.on_front), key=lambda trial: -trial.values[name] if more else trial.values[name]
        )

    @property
    def choice(self) -> Tried | None:
        """The trial that is chosen."""
        return next((trial for trial in self.tried if trial.number == self.chosen), None)

    def to_dict(self) -> dict[str, Any]:
        """For `search.json`."""
        return {**asdict(self), "front": [trial.number for trial in self.front]}


def find(recipe: Recipe, slots: Sequence[Slot], harvested: Sequence[FrozenTrial] = ()) -> Findings:
    """Sums up a study.

    Args:
        recipe: of the search.
        slots: all that are taken.
        harvested: what trials brought along; a point that is tried already is left out.
    """
    ended = {number: slot for number, slot in enumerate(slots) if slot.done is not None or slot.is_given_up}
    parents: dict[int, int] = {}
    for trial, parent in _new(dict(ended), harvested, {slot.number: number for number, slot in enumerate(slots)}):
        number = len(slots) + len(parents)
        ended[number], parents[number] = Slot(trial.number, [trial]), parent
    results = {number: _result(slot) for number, slot in ended.items()}
    compared = {
        number: candidate(recipe, result.outcome)
        for number, result in results.items()
        if result.kind == "complete" and result.outcome is not None
    }
    feasible = {number: own for number, own in compared.items() if own.violation == 0}
    best = {number for number, own in feasible.items() if not any(_beats(other, theirs, number, own) for other, theirs in feasible.items())}
    tried = [_tried(recipe, number, slot, results[number], number in best, parents.get(number)) for number, slot in ended.items()]
    names = objective_names(recipe)
    limits = {name: float(limit.limit if isinstance(limit, LatencyGoal) else limit) for name, limit in recipe.goal if limit is not None}
    return Findings(
        recipe.name, {name: recipe.task.rises(name) for name in names}, limits, search_of(recipe).trials, tried, _choose(compared)
    )  # fmt: skip


def _new(
    ended: Mapping[int, Slot], harvested: Sequence[FrozenTrial], numbers: Mapping[int, int]
) -> Iterator[tuple[FrozenTrial, int]]:  # fmt: skip
    """What was brought along, once each, with the number of the trial that brought it. The order is the same whoever was faster."""
    seen = {repr(sorted(slot.done.params.items())) for slot in ended.values() if slot.done is not None}
    for trial in harvested:
        parent, point = numbers.get(trial.user_attrs[HARVESTED][0]), repr(sorted(trial.params.items()))
        if parent is not None and point not in seen:
            seen.add(point)
            yield trial, parent


def _beats(other: int, theirs: Candidate, number: int, own: Candidate) -> bool:
    """Of equal ones the first counts."""
    return dominates(theirs, own) or (theirs == own and other < number)


def _choose(compared: Mapping[int, Candidate]) -> int | None:
    """Within all limits the best by the first objective, then by the next; where none is, the one that misses least."""
    return min(compared, key=lambda number: (compared[number].violation, compared[number].losses, number), default=None)


def _result(slot: Slot) -> Result:
    """How a slot ended."""
    values = None if slot.done is None else result_in(slot.done)
    return Result("failed", LOST) if values is None else result_of(values)


def _tried(recipe: Recipe, number: int, slot: Slot, result: Result, on_front: bool, harvested_from: int | None) -> Tried:
    trial, outcome = slot.done or slot.attempts[-1], result.outcome
    found = Tried(
        number, result.kind, result.reason, dict(trial.params), {}, dict(result.misses), on_front, result.seconds,
        len(slot.attempts), str(trial.user_attrs.get(WORKER, "")), result.file, result.stages, harvested_from=harvested_from,
    )  # fmt: skip
    if outcome is None:
        return found
    values = {name: outcome.objective(name) for name in objective_names(recipe)}
    return replace(found, values=values, latency=outcome.latency, predicted=outcome.predicted, bytes=outcome.bytes, drop=outcome.drop)
