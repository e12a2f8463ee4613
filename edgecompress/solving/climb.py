"""The climb from cheap to costly: which step comes next, given what those before it reached.

First the ways that keep the limits on the file are found by probes, which train nothing; then trainings are spent on them, longer and
longer, on fewer and fewer. It only decides: whoever drives it runs the steps, and ends it when all limits are kept or the budget is spent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from edgecompress.solving.design import Design, Finish, Format, Parts, patterns_of_factors
from edgecompress.solving.steps import Step
from edgecompress.solving.strength import least_strength

Climb: TypeAlias = Generator[Design, Step, None]

LEAST_LOSS, MOST_LOSS = 0.002, 0.6  # of the metric, before any training: what low rank may lose at strength 0 and 1
MENDABLE = 5.0  # times the allowed drop: so much a finish without training may still mend
NEARLY = 2.0  # times the allowed drop: a way so near goes on at once
SURVIVORS = (3, 2, 1, 1)  # ways that get the first training, the second, ...
BACK_OFFS = 2  # steps back from a way that keeps the limits on the file towards one that keeps the metric
MUCH = 1.0  # logarithm of value / limit from which on mixtures come first
OVERHEAD = 1.03  # a file that is predicted to be larger than its limit by less may still keep it
NUDGE = 0.04  # of the strength, where a training has moved a file over its limit
SIZE, LOW_RANK = "size_kb", "low rank"

Level: TypeAlias = tuple[int, Finish]  # recovery, finish
RECOVERED: tuple[Level, ...] = ((1, "none"), (2, "none"), (3, "none"))
FOUR_BITS: tuple[Level, ...] = ((0, "aware"), (0, "aware_longer"))
RECOVERED_FOUR_BITS: tuple[Level, ...] = ((1, "aware"), (2, "aware"), (3, "aware"), (3, "aware_longer"))


@dataclass(frozen=True)
class Means:
    """What the climb knows of the model, and may ask for.

    Attributes:
        parts: what can be worked on.
        drop: how much of the metric may be lost, in its own unit.
        bits: gives layer -> what the metric loses with its weights alone in 4 bits, the least loss per byte first.
        sizes: weights of the layers that could have 4 bits.
        hurried: whether probes have had their part of the budget, so that the ways that were found must do.
    """

    parts: Parts
    drop: float
    bits: Callable[[], Sequence[tuple[str, float]]]
    sizes: Mapping[str, int] = field(default_factory=dict)
    hurried: Callable[[], bool] = lambda: False

    @property
    def cheap(self) -> float:
        """A loss that is small enough to take without a thought."""
        return max(self.drop, LEAST_LOSS * self.parts.scale)


@dataclass(frozen=True)
class Way:
    """A mixture with one strength, from 0 (nothing) to 1.

    Attributes:
        name: in words.
        design: strength -> the step, without any training.
        start: guess of the strength from the miss of the plain file, a logarithm of value / limit.
        levels: its trainings, each costlier than the one before.
        finish: what may mend it without training.
        mixed: whether it is a mixture of several techniques.
    """

    name: str
    design: Callable[[float], Design]
    start: Callable[[float], float]
    levels: tuple[Level, ...]
    finish: Finish
    mixed: bool = False


@dataclass
class Found:
    """A way at a strength, and the best step that was made of it: one within the limits on the file, if any, that loses least."""

    way: Way
    strength: float
    best: Step
    done: int = -1  # number of its last level

    @property
    def level(self) -> Level:
        return (0, "none") if self.done < 0 else self.way.levels[self.done]

    def take(self, step: Step) -> None:
        if step.runs and (step.hard_miss() > 0, step.drop) < (self.best.hard_miss() > 0, self.best.drop):
            self.best = step

    def design(self) -> Design:
        """The step at its present level."""
        recovery, finish = self.level
        return self.way.design(self.strength).with_(recovery=recovery, finish=finish)


def climb(means: Means) -> Climb:
    """Steps from the model as it is to the costliest; ends where nothing is left to try."""
    if means.parts.float_io:
        yield Design("float32")
    base, plain = Design(), (yield Design())
    if not plain.runs and means.parts.float_io:
        base, plain = Design("dynamic"), (yield Design("dynamic"))
    if not plain.runs:
        return
    if plain.hard_miss() <= 0:
        yield from _mend(means.parts)
        return
    found: list[Found] = []
    closest: Found | None = None
    for way in ways(means, base, plain):
        if found and means.hurried():
            break
        own = yield from _probe(way, plain)
        if own is not None and own.best.hard_miss() <= 0:
            found.append(own)
        elif own is not None and (closest is None or own.best.hard_miss() < closest.best.hard_miss()):
            closest = own
    if found:
        yield from _finish_without_training(found, means)
        yield from _train(found, means)
    elif closest is not None:  # no way keeps the limits on the file; what comes nearest shall at least be as good as it can
        for number in range(2):
            yield from _recover(closest, number)


def ways(means: Means, base: Design, plain: Step) -> list[Way]:
    """What can be tried for the limits that the plain file misses: simple ways first, mixtures first where much must go."""
    parts, much = means.parts, plain.hard_miss() > MUCH
    cuts = parts.can_cut
    levels: tuple[Level, ...] = (*RECOVERED, (3, "aware")) if base.format == "int8" else RECOVERED
    finish: Finish = "equalized" if base.format == "int8" else "none"
    found: list[Way] = []
    if cuts:
        found.append(Way("structured", lambda s: base.with_(cut=s), _of_width, levels, finish))
    if parts.low_rank:
        found.append(Way(LOW_RANK, lambda s: base.with_(low_rank=_loss(s, parts)), lambda miss: 0.6, levels, finish))
    if parts.low_rank and cuts:
        within = means.cheap
        found.append(Way(f"structured, {LOW_RANK}", lambda s: base.with_(cut=s, low_rank=within), _of_width, levels, finish, mixed=True))
    if SIZE in plain.missed and parts.low_bits:
        bits = _bit_ways(means, base, plain, cuts=cuts)
        # 4 bits save no time, and cost some on most processors.
        found = [*found, *bits[1:]] if set(plain.missed) - {SIZE, "metric_drop"} else [*bits[:1], *found, *bits[1:]]
    found = [way for way in found if way.start(plain.hard_miss()) < math.inf]
    return sorted(found, key=lambda way: not way.mixed) if much else found


def _of_width(miss: float) -> float:
    """A width that shrinks by a fraction takes the square of it from weights and MACs."""
    return 1 - math.exp(-miss / 2)


def _bit_ways(means: Means, base: Design, plain: Step, *, cuts: bool) -> list[Way]:
    """4 bits alone, then with a cut, then with low rank."""
    layers = means.bits()
    if not layers:
        return []
    names = [name for name, _ in layers]
    cheap = [name for name, loss in layers if loss <= means.cheap] or names[:1]
    finish: Finish = "rounded" if base.format == "int8" else "none"

    def some(strength: float) -> Design:
        return base.with_(four_bits=tuple(names[: math.ceil(strength * len(names))]))

    def enough(miss: float) -> float:
        """The part of the layers that leaves a file within the limit, counted by their weights; infinite where not even all do."""
        left = [plain.bytes or 0]
        for name in names:
            left.append(left[-1] - means.sizes.get(name, 0) // 2)
        limit = left[0] * math.exp(-miss)
        return next((count / len(names) for count, size in enumerate(left) if size <= OVERHEAD * limit), math.inf)

    found = [Way("low bits", some, enough, FOUR_BITS, finish)]
    if cuts:
        fixed = base.with_(four_bits=tuple(cheap))
        name = "structured, low bits"
        found.append(Way(name, lambda s: fixed.with_(cut=s), _of_width, RECOVERED_FOUR_BITS, finish, mixed=True))
    if means.parts.low_rank:
        both = base.with_(four_bits=patterns_of_factors(cheap))
        name = f"{LOW_RANK}, low bits"
        found.append(
            Way(name, lambda s: both.with_(low_rank=_loss(s, means.parts)), lambda miss: 0.5, RECOVERED_FOUR_BITS, finish, mixed=True)
        )
    return found


def _loss(strength: float, parts: Parts) -> float:
    """What low rank may lose at a strength: evenly on a logarithmic scale."""
    return parts.scale * LEAST_LOSS * (MOST_LOSS / LEAST_LOSS) ** strength


def _probe(way: Way, plain: Step) -> Generator[Design, Step, Found | None]:
    """The least strength of a way that keeps the limits on the file; else the probe that came nearest; None where none could run."""
    probes: dict[float, Step] = {}
    search = least_strength(way.start(plain.hard_miss()), plain.hard_miss())
    strength = next(search)
    while True:
        probes[strength] = yield way.design(strength)
        try:
            strength = search.send(probes[strength].hard_miss())
        except StopIteration as end:
            found = end.value
            break
    steps = {at: step for at, step in probes.items() if step.runs}
    if found is None and not steps:
        return None
    at = min(steps, key=lambda own: steps[own].hard_miss()) if found is None else found
    return Found(way, at, steps[at])


def _mend(parts: Parts) -> Climb:
    """Only the metric is missed: other ways to few bits without training, then with it."""
    without_training: tuple[Finish, ...] = ("ranges", "equalized", "rounded")
    for finish in without_training:
        yield Design(finish=finish)
    other: tuple[Format, ...] = ("dynamic", "float16") if parts.float_io else ()
    for form in other:
        yield Design(form)
    trained: tuple[Finish, ...] = ("aware", "aware_longer")
    for finish in trained:
        yield Design(finish=finish)


def _finish_without_training(found: list[Found], means: Means) -> Climb:
    """What lost little may need no training at all."""
    for own in _best(found, SURVIVORS[0]):
        if own.way.finish != "none" and own.best.drop <= MENDABLE * means.cheap:
            own.take((yield own.way.design(own.strength).with_(finish=own.way.finish)))


def _train(found: list[Found], means: Means) -> Climb:
    """Trainings on the best ways, longer and longer; then steps back from the best, to show what its strength costs."""
    for number, survivors in enumerate(SURVIVORS):
        for own in _best(found, survivors):
            yield from _recover(own, number)
            while own.best.drop <= NEARLY * means.cheap and own.done + 1 < len(own.way.levels):
                yield from _recover(own, own.done + 1)
    (best,) = _best(found, 1)
    kept, lost = 0.0, best.strength
    for _ in range(BACK_OFFS):
        best.strength = (kept + lost) / 2
        step = yield best.design()
        kept, lost = (best.strength, lost) if step.misses.get("metric_drop", 1.0) <= 0 else (kept, best.strength)


def _recover(own: Found, number: int) -> Climb:
    """The next training of a way; a little stronger where it has moved the file over a limit that the probe kept."""
    if number <= own.done or number >= len(own.way.levels):
        return
    own.done = number
    step = yield own.design()
    if step.runs and step.hard_miss() > 0 >= own.best.hard_miss() and own.strength < 1:
        own.strength = min(1.0, own.strength + NUDGE)
        step = yield own.design()
    own.take(step)


def _best(found: Sequence[Found], number: int) -> list[Found]:
    """The ways that have lost least so far."""
    return sorted(found, key=lambda own: own.best.drop)[:number]
