"""What a solve has tried, as plain data: each step with its figures, and what they say together about the limits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from edgecompress.recipe.schema import Goal
from edgecompress.solving.question import HARD

Status = Literal["met", "budget spent", "nothing left"]


@dataclass(frozen=True)
class Step:
    """One recipe that was tried.

    Attributes:
        number: its place in the climb, from 0.
        name: the step in words.
        key: of its recipe and the samples.
        trained: whether it cost a training.
        seconds: that it took when it was done first.
        reason: why it could not run; then there are no figures.
        bytes, metric, drop, macs, arena_bytes: of its file, on the validation split; `drop` is the metric's loss in its own unit.
        p50_ms: on this machine, one thread; None where nothing is timed.
        measured: limit on a time or on process memory -> its value.
        predicted: those of them that a latency table gave.
        misses: limit -> how far it is missed, as `search.goals.violations` weighs it; at most 0 where it is kept.
        file: of the .tflite, in the folder of the solve.
        stages: (index, technique, key) of its stages in the cache.
    """

    number: int
    name: str
    key: str
    trained: bool
    seconds: float
    reason: str = ""
    bytes: int | None = None
    metric: float | None = None
    drop: float = math.inf
    macs: int | None = None
    arena_bytes: int | None = None
    p50_ms: float | None = None
    measured: Mapping[str, float | None] = field(default_factory=dict)
    predicted: Sequence[str] = ()
    misses: Mapping[str, float] = field(default_factory=dict)
    file: str = ""
    stages: Sequence[tuple[int, str, str]] = ()

    @property
    def runs(self) -> bool:
        return not self.reason

    @property
    def missed(self) -> list[str]:
        """Names of the limits that it does not keep."""
        return [name for name, miss in self.misses.items() if miss > 0]

    @property
    def met(self) -> bool:
        return self.runs and not self.missed

    @property
    def violation(self) -> float:
        """Sum of what is missed; infinite for a step that could not run."""
        return sum(max(0.0, miss) for miss in self.misses.values()) if self.runs else math.inf

    def hard_miss(self) -> float:
        """The limit on the file that is missed most, as the logarithm of value / limit; below 0 where all are kept."""
        if not self.runs:
            return math.inf
        return max((math.log1p(max(miss, -0.999)) for name, miss in self.misses.items() if name in HARD), default=-math.inf)

    def value(self, name: str) -> float | None:
        """The value of a limit, in its own unit."""
        if name == "metric_drop":
            return self.drop
        own = {"size_kb": self.bytes, "arena_kb": self.arena_bytes}
        if name in own:
            number = own[name]
            return None if number is None else number / 1000
        return self.macs if name == "macs" else self.measured.get(name)

    def to_dict(self) -> dict[str, Any]:
        """For the journal."""
        values = asdict(self)
        return values | {"drop": None if math.isinf(self.drop) else self.drop}


def step_of(values: Mapping[str, Any]) -> Step:
    """A step from what the journal holds."""
    stages = tuple((int(index), str(name), str(key)) for index, name, key in values["stages"])
    return Step(**{**values, "drop": math.inf if values["drop"] is None else values["drop"], "stages": stages})


def nearest(steps: Sequence[Step]) -> Step | None:
    """The first step that keeps all limits; where none does, the one that misses least in sum, then loses least."""
    found = [step for step in steps if step.runs]
    met = [step for step in found if step.met]
    return met[0] if met else min(found, key=lambda step: (step.violation, step.drop, step.number), default=None)


def instead(steps: Sequence[Step], goal: Goal) -> dict[str, float]:
    """For each limit that binds: the best value of it among steps that keep all others. What has none is not the only one that binds."""
    limits = [name for name, limit in goal if limit is not None]
    found = {}
    for name in limits:
        keeps_others = [step for step in steps if step.runs and set(step.missed) <= {name}]
        known = [value for value in (step.value(name) for step in keeps_others) if value is not None]
        if known:
            found[name] = min(known)
    return found


@dataclass(frozen=True)
class Solution:
    """A solve.

    Attributes:
        name: of what it started from.
        metric: that decides, on the validation split.
        rises: whether more of it is better.
        limits: goal -> limit.
        baseline: the metric of the model as it was given or trained.
        status: why it ended.
        steps: all of them, in their order.
        chosen: number of the step that is chosen; None where none could run.
        binding: limits that the chosen step misses.
        instead: limit -> the best value of it that was found with all others kept.
        floor: limit -> its least value, all cut that can be: found before any training.
    """

    name: str
    metric: str
    rises: bool
    limits: dict[str, float]
    baseline: float | None
    status: Status
    steps: list[Step]
    chosen: int | None
    binding: list[str]
    instead: dict[str, float]
    floor: dict[str, float]

    @property
    def choice(self) -> Step | None:
        """The step that is chosen."""
        return next((step for step in self.steps if step.number == self.chosen), None)

    def to_dict(self) -> dict[str, Any]:
        """For `solve.json`: each step also with the values of all limits."""

        def values(step: Step) -> dict[str, float | None]:
            return {name: step.value(name) if step.runs else None for name in self.limits}

        return {**asdict(self), "steps": [step.to_dict() | {"values": values(step)} for step in self.steps]}


def solution_of(values: Mapping[str, Any]) -> Solution:
    """A solution from what `to_dict` gave."""
    steps = [step_of({name: value for name, value in step.items() if name != "values"}) for step in values["steps"]]
    return Solution(**{**values, "steps": steps})
