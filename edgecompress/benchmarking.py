"""Latency on this machine: the device package's benchmark with a progress bar and report entries."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from edgecompress.device import DeviceFault
from edgecompress.device.benchmark import LONGEST_TIMEOUT_S, MOST_MINUTES, benchmark_models, check_settings
from edgecompress.device.child import run_job
from edgecompress.device.machine import thread_counts
from edgecompress.device.operators import measure_operators
from edgecompress.device.turn import holder, turn
from edgecompress.errors import DataError, ModelError
from edgecompress.inspection import has_tflite_content
from edgecompress.progress import Bar, Progress, visible_progress
from edgecompress.recipe.suggestions import near_path
from edgecompress.report.schema import BenchmarkEntry
from edgecompress.samples import Samples, each, names_in_file, ordered
from edgecompress.tflite import parse
from edgecompress.tflite.cut import cut_operators

if TYPE_CHECKING:
    from rich.table import Table

    from edgecompress.device.runtime import Kernels

RUN_FILES = {"final": "model.tflite", "plain": "plain.tflite", "baseline": "baseline.tflite"}
EDGE_TPU_FILE = "model_edgetpu.tflite"  # of `export: {edgetpu: true}`, where there is a compiler; for devices alone
GOLDEN_FILES = {"final": "golden.npz", "plain": "golden_plain.npz", "baseline": "golden_baseline.npz"}
RUNS = 200  # timed invokes, where nobody says otherwise
TIMEOUT_S = 900.0  # of one step of one model, such as a block of its runs


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What a benchmark measures of its models, and how long it may take.

    Attributes:
        threads: numbers of threads to sweep; "all": 1 to the cores of the machine that measures; None: the bundle's.
        runs: timed invokes per entry, at least 50; None: the bundle's.
        kernels: kernel families, timed in turns; None: the bundle's.
        timeout_s: seconds that one step of one model may work, beside what its runs need.
        minutes: then runs the first model so long without a pause.
        operators: then times the operators one by one, also where the bundle does not ask for it.
    """

    threads: Sequence[int] | Literal["all"] | None = None
    runs: int | None = None
    kernels: Sequence[Kernels] | None = None
    timeout_s: float = TIMEOUT_S
    minutes: float = 0.0
    operators: bool = False

    @property
    def counts(self) -> Sequence[int] | None:
        """Numbers of threads on this machine."""
        return thread_counts() if self.threads == "all" else self.threads

    def check(self) -> None:
        """Raises DataError for a time out of range, which also NaN is."""
        for name, value, least, most in (("timeout", self.timeout_s, 1.0, LONGEST_TIMEOUT_S), ("minutes", self.minutes, 0.0, MOST_MINUTES)):
            if not least <= value <= most:
                raise DataError(f"{name} must be from {least:g} to {most:g}. Received: {value:g}.")


def benchmark(
    model: str | Path | Mapping[str, str | Path], *, threads: Sequence[int] = (1,), runs: int = RUNS,
    kernels: Sequence[Kernels] = ("xnnpack",), timeout_s: float = TIMEOUT_S, minutes: float = 0.0, quiet: bool = False,
) -> list[BenchmarkEntry]:  # fmt: skip
    """Latency of a .tflite, of several interleaved, or of the files of a run folder, on this machine.

    Args:
        model: path of a .tflite or a run folder, or names to .tflite paths.
        threads: numbers of threads to sweep.
        runs: timed invokes per entry, at least 50; p95 needs 200, p99 needs 1000.
        kernels: "xnnpack" (the runtime's default), "builtin", or both, timed in turns.
        timeout_s: seconds that one step of one model may work, beside what its runs need; one that does not end is stopped then.
        minutes: then runs the first model so long without a pause; its first entry that did not fail has `sustained`.
        quiet: no progress bar.

    Returns:
        One entry per number of threads and model: percentiles in ms, peak memory, runtime, trust.

    Raises:
        ModelError: a path that is not there or is no .tflite.
    """
    progress = Progress() if quiet else visible_progress()
    measurement = Measurement(threads=threads, runs=runs, kernels=kernels, timeout_s=timeout_s, minutes=minutes)
    if not isinstance(model, Mapping):
        return benchmark_path(Path(model), measurement, progress)
    models = {name: Path(path) for name, path in model.items()}
    for path in models.values():
        _check_content(path)
    return _benchmark_models(models, measurement, progress)


def write_golden(model: Path, inputs: Samples, path: Path) -> str | None:
    """Stores what `model` gives for `inputs` under each kernel family; a device is compared with it before it is timed.

    Args:
        model: a .tflite.
        inputs: float32 [n, ...], preprocessed samples; by name for a model of several inputs.
        path: the .npz to write.

    Returns:
        None, or why a family could not run the model (then no file is written).
    """
    with TemporaryDirectory(prefix="edgecompress-") as folder:
        stored = Path(folder) / "inputs.npz"
        names = names_in_file(model, each(lambda values: values.shape[1:], inputs))
        np.savez(stored, **{f"input_{position}": values for position, values in enumerate(ordered(inputs, names))})
        try:
            run_job({"job": "golden", "model": str(model), "inputs": str(stored), "output": str(path)}, timeout_s=TIMEOUT_S)
        except DeviceFault as fault:
            return f"{model.name}: no golden outputs: {fault.reason}"
    return None


def steps_on(bar: Bar) -> Callable[..., None]:
    """What a measurement calls with (steps done, steps in all, what is being done), so that a bar knows the time left.

    Several hosts that measure at once give their name behind that, from several threads: the bar then counts the steps of all of them.
    What comes after the timing, such as the operators, counts from 0 again.
    """
    lock, steps, position = Lock(), dict[str, tuple[int, int]](), 0

    def show(done: int, total: int, doing: str, host: str = "") -> None:
        nonlocal position
        with lock:
            if total:
                steps[host] = (done, total)
                now = sum(own for own, _ in steps.values())
                bar.advance(now - position)  # before the total: rich forgets the speed of other steps where that changes
                bar.total(sum(own for _, own in steps.values()))
                position = now
            bar.describe(f"{host}: {doing}" if host else doing)

    return show


@contextmanager
def own_turn(progress: Progress) -> Iterator[None]:
    """This machine for one benchmark, from entry to exit, as long as another one may take; says for whom it waits.

    A search takes its lease (`lease.measuring`) first, then the turn; nothing that holds the turn asks for a lease, or for a turn again.
    """
    with ExitStack() as held:
        with ExitStack() as waiting:

            def say() -> None:
                words = f"waiting for another benchmark on this machine: {holder()}"
                progress.say(words)
                waiting.enter_context(progress.task(words))  # a search shows tasks, not lines

            held.enter_context(turn(limit_s=math.inf, on_wait=say))
        yield


def benchmark_files(
    models: Mapping[str, Path], *, threads: Sequence[int], runs: int, progress: Progress, golden: Mapping[str, Path] | None = None,
    kernels: Sequence[Kernels] = ("xnnpack",),
) -> list[BenchmarkEntry]:  # fmt: skip
    """Times models interleaved, each in a process of its own; one that fails has an entry with `error`.

    Args:
        models: name (final, plain, baseline) to .tflite.
        threads: numbers of threads to sweep.
        runs: timed invokes per entry, at least 50.
        golden: name to golden file; a model that does not give its golden outputs is not timed.
        kernels: as in `benchmark`.
    """
    return _benchmark_models(models, Measurement(threads=threads, runs=runs, kernels=kernels), progress, golden)


def _benchmark_models(
    models: Mapping[str, Path], wanted: Measurement, progress: Progress, golden: Mapping[str, Path] | None = None
) -> list[BenchmarkEntry]:
    """`benchmark_files` of all that can be wanted of files."""
    threads = (1,) if wanted.counts is None else wanted.counts
    runs = RUNS if wanted.runs is None else wanted.runs
    kernels = ("xnnpack",) if wanted.kernels is None else wanted.kernels
    check_settings(threads, runs, kernels, wanted.timeout_s, wanted.minutes)
    with own_turn(progress), progress.task("benchmark") as bar:
        rows = benchmark_models(
            models, threads=threads, runs=runs, golden=golden, kernels=kernels, timeout_s=wanted.timeout_s, minutes=wanted.minutes,
            on_progress=steps_on(bar),
        )  # fmt: skip
    return [BenchmarkEntry.model_validate(row) for row in rows]


def benchmark_operators(
    model: Path, *, threads: int, kernels: Kernels = "xnnpack", progress: Progress, timeout_s: float = TIMEOUT_S
) -> dict[str, Any]:
    """Times each operator of a file alone, as a one-operator model; see `device.operators.measure_operators`.

    Args:
        model: a .tflite.
        threads: of the runtime.
        kernels: the kernel family.
        progress: gets a bar.
        timeout_s: for each.
    """
    with own_turn(progress), TemporaryDirectory(prefix="edgecompress-") as folder, progress.task("operators") as bar:
        pieces = {}
        for number, content in cut_operators(model.read_bytes()).items():
            pieces[number] = Path(folder) / f"{number}.tflite"
            pieces[number].write_bytes(content)
        return measure_operators(model, pieces, threads=threads, kernels=kernels, timeout_s=timeout_s, on_progress=steps_on(bar))


def benchmark_path(path: Path, measurement: Measurement, progress: Progress) -> list[BenchmarkEntry]:
    """Times a .tflite, whatever its name, or the three files of a run folder with their golden outputs; no operators.

    Raises:
        ModelError: neither is there.
    """
    check_path(path)
    models, golden = {path.stem: path}, {}
    if path.is_dir():
        models = {name: path / file for name, file in RUN_FILES.items() if (path / file).exists()}
        golden = {name: path / GOLDEN_FILES[name] for name in models if (path / GOLDEN_FILES[name]).exists()}
    return _benchmark_models(models, measurement, progress, golden)


def check_path(path: Path) -> None:
    """Refuses what is no .tflite and no run folder.

    Raises:
        ModelError: with what is there.
    """
    if not path.is_dir():
        _check_content(path)
    elif not any((path / file).exists() for file in RUN_FILES.values()):
        raise ModelError(f"{path}: a run folder must hold {', '.join(RUN_FILES.values())}. Received: none of them.")


def _check_content(path: Path) -> None:
    """Raises ModelError for what is no .tflite: that is no failure of the device."""
    if not path.is_file():
        received = "a folder." if path.is_dir() else f"nothing is there.{near_path(path)}"
        raise ModelError(f"{path}: must be a .tflite file or a run folder. Received: {received}")
    if not has_tflite_content(path):
        raise ModelError(f"{path}: must be a .tflite file. Received: a file of another format, or a damaged one.")
    parse(path.read_bytes(), path)


def benchmark_table(entries: Sequence[BenchmarkEntry]) -> Table:
    """Benchmark entries for the terminal, the doubts below each."""
    from rich.table import Table
    from rich.text import Text

    table = Table("model", "host", "threads", "p50 ms", "p95 ms", "min ms", "max ms", "peak memory kB", "runtime", "trusted")
    for entry in entries:
        times = (_number(value, 4) for value in (entry.p50_ms, entry.p95_ms, entry.min_ms, entry.max_ms))
        trust = entry.error or ("yes" if entry.trusted else "no: " + "; ".join(entry.distrust_reasons))
        runtime = f"{entry.runtime} {entry.runtime_version} ({entry.kernels})" if entry.runtime else ""
        cells = (entry.model, entry.host, str(entry.threads), *times, _number(entry.peak_rss_kb, 0), runtime, trust)
        table.add_row(*(Text(cell) for cell in cells))
    return table


def _number(value: float | None, digits: int) -> str:
    """A number, or nothing where it was not measured."""
    return "" if value is None else f"{value:,.{digits}f}"
