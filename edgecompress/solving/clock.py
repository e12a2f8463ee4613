"""How long a step's file takes, wherever a limit speaks of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgecompress.benchmarking import Measurement, benchmark_files
from edgecompress.bundle import model_bundle
from edgecompress.destination import LOCAL
from edgecompress.errors import DeviceError, ModelError
from edgecompress.host_benchmark import benchmark_hosts, has_answered
from edgecompress.latency.forecast import Forecast
from edgecompress.lease import measuring
from edgecompress.progress import Progress
from edgecompress.recipe.schema import Recipe
from edgecompress.report.schema import BenchmarkEntry
from edgecompress.search.goals import latency_goals
from edgecompress.solving.question import RUNS, hosts_of


@dataclass(frozen=True)
class Times:
    """Of one file.

    Attributes:
        p50_ms: on this machine, one thread; None where nothing is timed here.
        measured: limit on a time or on process memory -> its value.
        predicted: those of them that come from a table.
    """

    p50_ms: float | None = None
    measured: dict[str, float | None] = field(default_factory=dict)
    predicted: tuple[str, ...] = ()


@dataclass(frozen=True)
class Clock:
    """Measures files, or predicts their times where there is a table of the host.

    Attributes:
        recipe: says which limits there are, and whether anything is timed.
        progress: gets bars.
        ssh_config: handed to `ssh -F`.
        forecast: by a table of one host, whose times are predicted until a file is to be measured for real.
    """

    recipe: Recipe
    progress: Progress
    ssh_config: Path | None = None
    forecast: Forecast | None = None

    def read(self, file: Path, *, for_real: bool = False) -> Times:
        """Times a file here, while nothing of a search trains on this machine, then on every other host.

        Args:
            file: a .tflite.
            for_real: predict nothing.

        Raises:
            ModelError: the file does not run here, or on another host.
            DeviceError: another host is away.
        """
        if self.recipe.benchmark is None:
            return Times()
        limits = latency_goals(self.recipe.goal)
        known = {} if for_real or self.forecast is None else self._predicted(file, self.forecast)
        here = [] if LOCAL in known and self.recipe.goal.peak_rss_kb is None else self._here(file)
        entries = [*here, *self._elsewhere(file, [host for host in hosts_of(self.recipe) if host not in known])]
        measured = {
            name: known[limit.host][name] if limit.host in known else _value(entries, name, limit.host, limit.threads)
            for name, limit in limits.items()
        }
        if self.recipe.goal.peak_rss_kb is not None:
            peaks = [entry.peak_rss_kb for entry in here if entry.peak_rss_kb is not None]
            measured["peak_rss_kb"] = max(peaks, default=None)
        return Times(_value(here, "p50_ms", LOCAL, 1), measured, tuple(name for times in known.values() for name in times))

    def _predicted(self, file: Path, forecast: Forecast) -> dict[str, dict[str, float | None]]:
        """Host of the table -> its limits with their values. For p95, of which a table knows nothing, the upper end of the prediction."""
        times: dict[str, float | None] = {}
        for name, limit in latency_goals(self.recipe.goal).items():
            if limit.host == forecast.table.host:
                found = forecast.predict(file.read_bytes(), limit.threads)
                times[name] = found.p50_ms if name == "p50_ms" else found.high_ms
        return {forecast.table.host: times} if times else {}

    def _here(self, file: Path) -> list[BenchmarkEntry]:
        with measuring(self.progress.say):
            entries = benchmark_files({"final": file}, threads=self._threads(LOCAL), runs=RUNS, progress=self.progress)
        for entry in entries:
            if entry.error:
                raise ModelError(f"the file does not run on this machine: {entry.error}")
        return entries

    def _elsewhere(self, file: Path, hosts: Sequence[str]) -> list[BenchmarkEntry]:
        entries: list[BenchmarkEntry] = []
        for host in hosts:
            wanted = Measurement(threads=self._threads(host), runs=RUNS)
            found = benchmark_hosts(model_bundle(file), [host], wanted, ssh_config=self.ssh_config, progress=self.progress)
            for entry in found:
                if entry.error and not has_answered(entry):
                    raise DeviceError(f"{host}: {entry.error}")
                if entry.error:
                    raise ModelError(f"the file does not run on {host}: {entry.error}")
            entries += found
        return entries

    def _threads(self, host: str) -> Sequence[int]:
        """Numbers of threads that a host is asked for; here one thread always comes first."""
        wanted = [limit.threads for limit in latency_goals(self.recipe.goal).values() if limit.host == host]
        return list(dict.fromkeys([1, *wanted] if host == LOCAL else wanted))


def _value(entries: Sequence[BenchmarkEntry], name: str, host: str, threads: int) -> float | None:
    return next((getattr(entry, name) for entry in entries if (entry.host, entry.threads) == (host, threads)), None)
