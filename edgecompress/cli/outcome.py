"""What a finished run's report means for the exit code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgecompress.errors import DeviceError, GoalMissed

if TYPE_CHECKING:
    from edgecompress.report.schema import BenchmarkEntry, Report


def raise_for_outcome(report: Report) -> None:
    """A failed device wins over a missed goal.

    Raises:
        DeviceError: a model that a device could not run.
        GoalMissed: a limit of the recipe that was not met.
    """
    from edgecompress.report.words import number_text

    raise_for_devices(report.benchmark)
    missed = [
        f"{goal.name} {'not measured' if goal.value is None else number_text(goal.value)}, limit {number_text(goal.limit)}"
        for goal in report.goals
        if not goal.met
    ]
    if missed:
        raise GoalMissed(f"A goal was missed: {'; '.join(missed)}.")


def raise_for_devices(entries: Sequence[BenchmarkEntry]) -> None:
    """Turns failed benchmarks into the error that they are.

    Raises:
        DeviceError: a model that a device could not run.
    """
    from edgecompress.device.table import find_failures

    failed = dict.fromkeys(
        f"{entry.model} on {entry.host}: {reason.rstrip('.')}" for entry in entries for reason in find_failures(entry.model_dump())
    )
    if failed:
        raise DeviceError(f"A device failed: {'; '.join(failed)}.")
