"""The limits of a recipe's `goal:` as constraints of a search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from edgecompress.destination import LOCAL
from edgecompress.goals import ROUNDING
from edgecompress.recipe.goal_words import TIMES
from edgecompress.recipe.schema import Goal, LatencyGoal, Recipe, Task
from edgecompress.report.words import is_fraction_correct

if TYPE_CHECKING:
    from edgecompress.search.outcome import Outcome

LEAST_SCALE = 0.01  # of the metric: a drop is weighed against the limit, or against one hundredth of the metric where that is more


def latency_goals(goal: Goal) -> dict[str, LatencyGoal]:
    """Limits on a time, by name."""
    limits = {name: getattr(goal, name) for name in TIMES}
    return {name: limit for name, limit in limits.items() if limit is not None}


def local_goals(goal: Goal) -> dict[str, LatencyGoal]:
    """Those on this machine; those of other hosts are judged when the chosen recipe runs."""
    return {name: limit for name, limit in latency_goals(goal).items() if limit.host == LOCAL}


def predicted_goal(goal: Goal, host: str | None) -> LatencyGoal | None:
    """The limit on the median time, where it is of the host of the latency table."""
    return goal.p50_ms if goal.p50_ms is not None and goal.p50_ms.host == host else None


def left_to_the_run(recipe: Recipe, predicted_host: str | None = None) -> list[str]:
    """Names of the goals that no trial is judged by."""
    judged = set(local_goals(recipe.goal)) | ({"p50_ms"} if predicted_goal(recipe.goal, predicted_host) is not None else set())
    return [name for name in TIMES if getattr(recipe.goal, name) is not None and name not in judged]


def violations(recipe: Recipe, outcome: Outcome, measured: Mapping[str, float | None] | None = None) -> dict[str, float]:
    """How far each limit is missed, as a fraction of it; at most 0 where it is met.

    A drop is weighed instead: its limit may be 0, or less than one sample of the split, and to miss that must not count for more than a
    file of twice the size. `report.words.missed_text` says by how much the limit itself is missed.

    Args:
        recipe: its limits and its task.
        outcome: of a trial.
        measured: values of the limits on time and process memory, by name, of whatever host; absent: those in `outcome`.
    """
    found, goal = {}, recipe.goal
    if goal.metric_drop is not None:
        found["metric_drop"] = (outcome.drop - goal.metric_drop) / max(abs(goal.metric_drop), LEAST_SCALE * _whole(recipe.task, outcome))
    values: dict[str, tuple[float | None, float | None]] = {
        "size_kb": (goal.size_kb, outcome.bytes / 1000),
        "arena_kb": (goal.arena_kb, None if outcome.arena_bytes is None else outcome.arena_bytes / 1000),
        "macs": (goal.macs, outcome.macs),
        "peak_rss_kb": (goal.peak_rss_kb, _peak(outcome) if measured is None else measured.get("peak_rss_kb")),
    }
    for name, limit in (local_goals(goal) if measured is None else latency_goals(goal)).items():
        value = outcome.latency.get(str(limit.threads), {}).get(name) if measured is None else measured.get(name)
        values[name] = (limit.limit, value)
    if measured is None and (predicted := predicted_goal(goal, outcome.predicted_host)) is not None:
        values["p50_ms"] = (predicted.limit, outcome.predicted.get(str(predicted.threads)))
    for name, (wanted, value) in values.items():
        if wanted is not None:
            found[name] = 1.0 if value is None else value / wanted - 1
    return {name: 0.0 if abs(value) < ROUNDING else value for name, value in found.items()}


def _whole(task: Task, outcome: Outcome) -> float:
    """What stands for "all of the metric": 1 for fractions of right answers, else its size at the baseline."""
    metric = task.metrics[0]
    if is_fraction_correct(metric) or metric not in outcome.metrics:
        return 1.0
    return max(abs(outcome.metrics[metric] + (outcome.drop if task.rises(metric) else -outcome.drop)), 1e-12)


def _peak(outcome: Outcome) -> float | None:
    peaks = [times["peak_rss_kb"] for times in outcome.latency.values() if times["peak_rss_kb"] is not None]
    return max(peaks, default=None)
