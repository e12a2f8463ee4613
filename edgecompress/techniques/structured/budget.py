"""How much must go: a budget of the recipe as a limit on what is counted or measured, and the choice that meets it."""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass

from edgecompress.backend import keras
from edgecompress.errors import ModelError
from edgecompress.graph.channels import ChannelGraph, carry_out, channel_costs, plan_cut, removed_channels
from edgecompress.recipe.stages.budget import Budget
from edgecompress.recipe.stages.prune_channels import Removal
from edgecompress.rehearsal import Rehearsal
from edgecompress.techniques.structured.ranking import Choice, Ranking

MEASURED = ("size_kb", "latency_ms")
NUM_LEVELS = 64  # a measured budget is looked for among so many steps from nothing to all that may go: some 6 measurements
COARSE = 4  # levels between those that are measured before a measured budget is refused

Measure = Callable[[Choice], float]


@dataclass(frozen=True)
class Limit:
    """A budget as numbers of one unit.

    Attributes:
        kind: the field of the Config.
        before: of the model that the stage was given.
        target: what may be left in the end.
    """

    kind: str
    before: float
    target: float

    def at(self, share: float) -> float:
        """What may be left after this share of the way."""
        return self.target if share == 1 else self.before + share * (self.target - self.before)


def limit_of(budget: Budget, before: float) -> Limit:
    """The limit that a budget sets for a model of which this much is there."""
    if budget.kind == "fraction":
        return Limit("fraction", before, (1 - budget.amount) * before)
    is_share = budget.kind not in MEASURED and budget.amount <= 1
    return Limit(budget.kind, before, budget.amount * before if is_share else budget.amount)


def measure_of(kind: str, model: keras.Model, graph: ChannelGraph, num_channels: int, rehearsal: Rehearsal | None) -> Measure:
    """What would be left of `model` after a choice.

    Args:
        kind: a field of the Config.
        num_channels: of the groups that are worked on, for the kind "fraction".
        rehearsal: for what is measured.

    Raises:
        ModelError: MACs of a layer without a formula; a latency where nothing is timed.
    """
    if kind == "fraction":
        return lambda choice: num_channels - sum(len(channels) for channels in choice.values())
    if kind not in MEASURED:
        costs = channel_costs(model, graph)
        if kind == "macs" and not costs.macs_known:
            raise ModelError("macs must be a budget that can be counted. Received: a model with layers without a formula; use parameters.")
        return lambda choice: getattr(costs.after(removed_channels(graph, choice)), kind)
    if rehearsal is None or (kind == "latency_ms" and not rehearsal.knows_times):
        raise ModelError(f"{kind} must be a budget that can be measured or predicted. Received: a recipe whose benchmark is null.")

    known = dict[str, float]()

    def measure(choice: Choice) -> float:
        if (name := repr(choice)) not in known:  # rounding makes one choice of several levels, and a file takes seconds
            content = rehearsal.convert(carry_out(plan_cut(graph, choice), model))
            known[name] = len(content) / 1000 if kind == "size_kb" else rehearsal.expected_ms({"cut": content})["cut"]
        return known[name]

    return measure


def choose(ranking: Ranking, kind: str, wanted: float, measure: Measure, count: Measure) -> Choice | None:
    """The choice that leaves as much as it can, and no more than `wanted`; None where even all that may go leave more.

    Args:
        measure: of this kind.
        count: something cheap that falls with it, to choose among few measurements.
    """
    if kind in MEASURED:
        return _closest_measured(ranking, wanted, measure, count)
    return ranking.closest(measure, wanted)


def _closest_measured(ranking: Ranking, wanted: float, measure: Measure, count: Measure) -> Choice | None:
    """Bisects a few levels between nothing and all that may go.

    The shrink may leave a larger file of a smaller model, where it finds less to remove. So the level that is taken was measured itself;
    and where bisecting, which then may turn the wrong way, finds none, all levels are looked at coarsely.
    """
    whole, least = count({}), count(ranking.longest)

    def at(level: int) -> Choice:
        return ranking.closest(count, whole - (whole - least) * level / NUM_LEVELS) or ranking.longest

    def meets(level: int) -> bool:
        return measure(at(level)) <= wanted

    found = bisect_left(range(NUM_LEVELS + 1), True, key=meets)
    if found > NUM_LEVELS:  # no level that was measured meets it
        found = next(filter(meets, range(0, NUM_LEVELS, COARSE)), found)
    return at(found) if found <= NUM_LEVELS else None


def unreachable(limit: Limit, nearest: float, config: Removal) -> str:
    """The message for a limit that cannot be met, in the unit in which the recipe speaks, with what stands in its way."""
    if limit.kind == "fraction":
        asked, can = 1 - limit.target / limit.before, 1 - nearest / limit.before
    elif limit.kind in MEASURED:
        asked, can = limit.target, nearest
    else:
        asked, can = limit.target / limit.before, nearest / limit.before
    limits = (
        f"floor {config.floor:g}, round_to {config.round_to} and the layers that are left alone (see edgecompress plan) stand in the way"
    )
    return f"{limit.kind} must be a budget that can be reached: the nearest is {can:.4g}; {limits}. Received: {asked:.4g}."
