"""The best trials of a search whose latencies were predicted, timed for real on the host of the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from edgecompress.benchmarking import Measurement
from edgecompress.destination import LOCAL
from edgecompress.errors import DeviceError, EdgeCompressError, ModelError
from edgecompress.host_benchmark import benchmark_places, has_answered
from edgecompress.latency.forecast import Forecast
from edgecompress.lease import measuring
from edgecompress.progress import Progress
from edgecompress.recipe.schema import Recipe
from edgecompress.search.findings import Findings, Tried
from edgecompress.search.goals import predicted_goal
from edgecompress.search.outcome import RUNS, predicted_threads

MOST = 8  # trials


def measure_finalists(
    recipe: Recipe, findings: Findings, forecast: Forecast | None, progress: Progress, *, ssh_config: Path | None = None
) -> Findings:
    """Times the chosen trial and others of the front, and chooses again among them by what was measured.

    One whose file the host does not run is a failed trial from then on.

    Args:
        recipe: of the search.
        findings: by predictions.
        forecast: that made them; None: nothing was predicted.
        progress: gets bars, and a sentence about a host that is away or does not run a file.
        ssh_config: how to reach the host, handed to `ssh -F`.

    Returns:
        The findings with `measured` in the finalists; unchanged where nothing could be measured.
    """
    threads = [] if forecast is None else predicted_threads(recipe, forecast)
    finalists = [trial for trial in _in_order(findings) if trial.file and Path(trial.file).exists()][:MOST]
    if forecast is None or not threads or not finalists:
        return findings
    times: dict[int, dict[str, float]] = {}
    refused: dict[int, str] = {}
    for trial in finalists:
        try:
            times[trial.number] = _p50_ms(Path(trial.file), forecast.table.host, threads, ssh_config, progress)
        except ModelError as error:
            refused[trial.number] = str(error)
            progress.say(f"warning: trial {trial.number} is passed over: {error}")
        except EdgeCompressError as error:
            progress.say(f"warning: trial {trial.number} could not be timed on {forecast.table.host}, so its prediction stands: {error}")
            break
    return _judged(recipe, findings, forecast, times, refused) if times or refused else findings


def _in_order(findings: Findings) -> list[Tried]:
    """The chosen one first."""
    chosen = findings.choice
    return list({trial.number: trial for trial in ([] if chosen is None else [chosen]) + findings.front}.values())


def _p50_ms(path: Path, host: str, threads: Sequence[int], ssh_config: Path | None, progress: Progress) -> dict[str, float]:
    """Threads -> median time. A host that is not this machine has turns of its own.

    Raises:
        ModelError: the host does not run the file.
        DeviceError: the host is away.
    """
    with measuring(progress.say) if host == LOCAL else nullcontext():
        entries = benchmark_places(path, [host], Measurement(threads=threads, runs=RUNS), ssh_config=ssh_config, progress=progress)
    for entry in entries:
        if entry.p50_ms is None and has_answered(entry):
            raise ModelError(f"the file does not run on {host}: {entry.error}")
        if entry.p50_ms is None:
            raise DeviceError(entry.error or "no time came back")
    return {str(entry.threads): entry.p50_ms for entry in entries if entry.p50_ms is not None}


def _judged(
    recipe: Recipe, findings: Findings, forecast: Forecast, times: Mapping[int, Mapping[str, float]], refused: Mapping[int, str]
) -> Findings:  # fmt: skip
    """The findings with what was measured: values, misses, choice."""
    limit = predicted_goal(recipe.goal, forecast.table.host)

    def with_times(trial: Tried) -> Tried:
        if trial.number in refused:
            return replace(trial, kind="failed", reason=refused[trial.number], on_front=False)
        if trial.number not in times:
            return trial
        measured, values, misses = dict(times[trial.number]), dict(trial.values), dict(trial.misses)
        if "latency" in values:
            values["latency"] = measured[str(forecast.threads)]
        if limit is not None:
            misses["p50_ms"] = measured[str(limit.threads)] / limit.limit - 1
        keeps_limits = all(miss <= 0 for miss in misses.values())
        return replace(trial, measured=measured, values=values, misses=misses, on_front=trial.on_front and keeps_limits)

    tried = [with_times(trial) for trial in findings.tried]

    def rank(trial: Tried) -> tuple[float, ...]:
        losses = [-trial.values[name] if more else trial.values[name] for name, more in findings.objectives.items()]
        return (sum(max(0.0, miss) for miss in trial.misses.values()), *losses, trial.number)

    candidates = [trial for trial in tried if trial.measured] or [trial for trial in tried if trial.kind == "complete"]
    chosen = min(candidates, key=rank, default=None)
    return replace(findings, tried=tried, chosen=None if chosen is None else chosen.number)
