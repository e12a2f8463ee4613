"""Latency of several models side by side, each in a child process of its own.

Models are timed in blocks, A B C A B C ...: every model gets its share of whatever happens on the machine while the benchmark runs.
Not one invoke each in turn: then each model finds the caches full of the others. That made the int8 autoencoder of MLPerf Tiny 1.6 times
slower (4.2 against 2.7 us), while blocks show what a program sees that runs this model alone.
One child process per model keeps a crash, a hang and the peak memory of one model away from the others.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from .child import Child, run_job
from .fault import DeviceFault
from .golden import FAMILIES
from .machine import Snapshot, describe_cpu, distrust_reasons, is_throttled, take_snapshot
from .sustained import measure_sustained
from .timing import SLACK, split_runs, summarize

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .runtime import Kernels

    Paths = Mapping[str, "str | os.PathLike[str]"]

LONGEST_TIMEOUT_S, MOST_MINUTES = 86_400.0, 1440.0  # a day
_MINIMUM_RUNS = 50
_MOST_BLOCKS = 20
_SMALLEST_BLOCK = 5
_WIDE_INTERVAL = 0.05  # of p50
_UNTIMED_STEPS = 4  # check, load, warm up, close
_TIMES = (
    "runs", "load_ms", "allocate_ms", "init_ms", "first_ms",
    "mean_ms", "std_ms", "min_ms", "p50_ms", "p90_ms", "p95_ms", "p99_ms", "p999_ms", "max_ms",
    "p50_interval_ms", "peak_rss_kb",
)  # fmt: skip


@dataclass
class _Contender:
    """One model with one number of threads and one kernel family: its child process, and what is known about it so far.

    `is_double`: another one showed that it measures the same thing.
    """

    name: str
    path: str
    golden: str | None
    threads: int
    kernels: Kernels = "xnnpack"
    child: Child | None = None
    error: str | None = None
    is_double: bool = False
    known: dict[str, Any] = field(default_factory=dict)
    blocks_ns: list[list[int]] = field(default_factory=list)

    def check(self, timeout_s: float) -> None:
        """Compares the golden outputs, where there are some, in a process of its own: they are no part of the peak memory."""
        if self.golden is not None:
            answer = run_job({**self._job(), "job": "check"}, timeout_s=timeout_s)
            if answer["mismatch"] is not None:
                raise DeviceFault(answer["mismatch"])
            self.known["golden"] = {key: value for key, value in answer.items() if key != "mismatch"}

    def load(self, timeout_s: float) -> None:
        """Starts the process, loads the model and runs it once."""
        self.child = Child({**self._job(), "job": "benchmark"}, timeout_s=timeout_s)
        self.known.update(self.child.receive())

    def _job(self) -> dict[str, Any]:
        """What every job of it says."""
        return {"model": self.path, "golden": self.golden, "threads": self.threads, "kernels": self.kernels}

    def warm_up(self) -> None:
        """Runs until the latency is stable."""
        self.known.update(self._ask({"step": "warm_up"}))

    def time_block(self, num_runs: int) -> None:
        """One block of timed invokes. By what an invoke took last it has time for them all: many runs are no hang."""
        invoke_s = sum(self.blocks_ns[-1]) / len(self.blocks_ns[-1]) / 1e9 if self.blocks_ns else self.known["first_ms"] / 1e3
        answer = self._ask({"step": "time", "runs": num_runs}, more_s=SLACK * num_runs * invoke_s)
        self.blocks_ns.append(answer["durations_ns"])

    def finish(self) -> None:
        """Asks for the peak memory and lets the process end by itself, which shows a model that spoiled its memory."""
        self.known.update(self._ask({"step": "finish"}))
        if self.child is not None:
            self.child.finish()

    def stop(self) -> None:
        """Ends the process, whatever it does."""
        if self.child is not None:
            self.child.close()

    def _ask(self, command: Mapping[str, Any], *, more_s: float = 0.0) -> dict[str, Any]:
        """Sends a command and waits for its answer."""
        if self.child is None:
            raise DeviceFault("the model was not loaded")
        self.child.send(command)
        return self.child.receive(more_s=more_s)


def benchmark_models(
    models: Paths,
    *,
    threads: Sequence[int],
    runs: int,
    golden: Paths | None = None,
    timeout_s: float,
    kernels: Sequence[Kernels] = ("xnnpack",),
    minutes: float = 0.0,
    on_progress: Callable[[int, int, str], None] | None = None,
) -> list[dict[str, Any]]:
    """Times models against each other, once per number of threads.

    Per number of threads: golden outputs are compared, each model is loaded and warmed up in its own process, then `runs` invokes of each
    are timed in interleaved blocks. A model that fails gets an entry with `error`, the others go on.

    Args:
        models: Name to path of the .tflite file, such as final, plain, baseline.
        threads: Numbers of threads, each >= 1.
        runs: Timed invokes per entry, at least 50.
        golden: Name to path of the golden file; a model without one is timed unchecked, on made-up inputs.
        timeout_s: Seconds that one model may work on one step: the golden check, loading, warming up, a block of timed invokes. A block
            has more where its invokes need more, by what they took before.
        kernels: Kernel families, each timed against the other: "xnnpack" is the runtime's default. Where XNNPACK takes no operator of a
            model, both are the same, and the model has one entry.
        minutes: Runs the first model so long without a pause after that, with the threads and kernels of its first entry that did not
            fail; see `sustained`.
        on_progress: Called with (steps done, steps in all, what is being done).

    Returns:
        One entry per number of threads, kernel family and model, with the keys of the report's `benchmark` and `error`. What is unknown
        is None.
        The first one of the first model that did not fail has `sustained` where minutes are given.

    Raises:
        ValueError: `runs`, `threads`, `kernels`, `timeout_s` or `minutes` out of range.
    """
    check_settings(threads, runs, kernels, timeout_s, minutes)
    block_sizes = split_runs(runs, max(1, min(_MOST_BLOCKS, runs // _SMALLEST_BLOCK)))
    steps = _Steps(len(threads) * len(kernels) * len(models) * (_UNTIMED_STEPS + len(block_sizes)), on_progress)
    entries = []
    for num_threads in threads:
        contenders = [
            _Contender(name, os.fspath(path), os.fspath(golden[name]) if golden and name in golden else None, num_threads, family)
            for family in kernels
            for name, path in models.items()
        ]
        entries += _race(contenders, block_sizes, timeout_s, steps)
    name = next(iter(models))
    first = next((entry for entry in entries if entry["model"] == name and entry["error"] is None), None)
    if minutes and first is not None:
        first["sustained"] = measure_sustained(
            os.fspath(models[name]), os.fspath(golden[name]) if golden and name in golden else None, threads=first["threads"],
            kernels=first["requested_kernels"], minutes=minutes, timeout_s=timeout_s, on_progress=on_progress,
        )  # fmt: skip
    return entries


def check_settings(threads: Sequence[int], runs: int, kernels: Sequence[Kernels], timeout_s: float, minutes: float) -> None:
    """Refuses what is out of range, which needs no turn.

    Args:
        threads, runs, kernels, timeout_s, minutes: As in `benchmark_models`.

    Raises:
        ValueError: With what was received.
    """
    if runs < _MINIMUM_RUNS:
        raise ValueError(f"runs must be at least {_MINIMUM_RUNS}. Received: {runs!r}")
    if not threads or min(threads) < 1:
        raise ValueError(f"threads must be numbers of at least 1. Received: {list(threads)!r}")
    if not kernels or not set(kernels) <= set(FAMILIES):
        raise ValueError(f"kernels must be of {', '.join(FAMILIES)}. Received: {list(kernels)!r}")
    if not 0 < timeout_s <= LONGEST_TIMEOUT_S:
        raise ValueError(f"timeout_s must be above 0 and at most {LONGEST_TIMEOUT_S:g}. Received: {timeout_s!r}")
    if not 0 <= minutes <= MOST_MINUTES:
        raise ValueError(f"minutes must be from 0 to {MOST_MINUTES:g}. Received: {minutes!r}")


class _Steps:
    """Goes through the steps of the benchmark and tells the progress bar."""

    def __init__(self, total: int, on_progress: Callable[[int, int, str], None] | None) -> None:
        self._done, self._total, self._on_progress = 0, total, on_progress

    def each(self, contenders: Sequence[_Contender], doing: str, step: Callable[[_Contender], None]) -> None:
        """`step` for every contender that has not failed; one that fails now is out."""
        for contender in contenders:
            self._tell(f"{doing} {contender.name}")
            if contender.error is None and not contender.is_double:
                try:
                    step(contender)
                except DeviceFault as fault:
                    contender.error = fault.reason
                    contender.stop()
            self._done += 1
            self._tell("")

    def _tell(self, doing: str) -> None:
        if self._on_progress is not None:
            self._on_progress(self._done, self._total, doing)


def _race(contenders: Sequence[_Contender], block_sizes: Sequence[int], timeout_s: float, steps: _Steps) -> list[dict[str, Any]]:
    """All models with one number of threads: check, load, warm up, time in turns, report."""
    before = take_snapshot()
    try:
        steps.each(contenders, "checking", partial(_Contender.check, timeout_s=timeout_s))
        steps.each(contenders, "loading", partial(_Contender.load, timeout_s=timeout_s))
        _find_doubles(contenders)
        steps.each(contenders, "warming up", _Contender.warm_up)
        for num_runs in block_sizes:
            steps.each(contenders, "timing", partial(_Contender.time_block, num_runs=num_runs))
        cpu = describe_cpu()
        steps.each(contenders, "closing", _Contender.finish)
    finally:
        for contender in contenders:
            contender.stop()
    after = take_snapshot()
    reasons = distrust_reasons(before, after, governor=cpu["governor"], cores=cpu["cores"], emulated=cpu["emulated"])
    return [_entry(contender, before, after, cpu, reasons) for contender in contenders if not contender.is_double]


def _find_doubles(contenders: Sequence[_Contender]) -> None:
    """Leaves out a second child of a model that XNNPACK took nothing of: without XNNPACK it runs the same kernels."""
    same = {contender.name for contender in contenders if contender.kernels == "xnnpack" and contender.known.get("kernels") == "builtin"}
    for contender in contenders:
        if contender.kernels == "builtin" and contender.name in same and contender.error is None:
            contender.is_double = True
            contender.stop()


def _entry(contender: _Contender, before: Snapshot, after: Snapshot, cpu: dict[str, Any], reasons: Sequence[str]) -> dict[str, Any]:
    """A contender's entry in the report. One that failed has no times and no trust."""
    known = contender.known
    times = dict.fromkeys(_TIMES) if contender.error else {**known, **summarize(contender.blocks_ns)}
    doubts = [] if contender.error else [*reasons, *_own_doubts(contender, times, cpu["cores"])]
    return {
        "model": contender.name,
        "host": "local",
        **{key: known.get(key) for key in ("runtime", "runtime_version", "kernels")},
        "requested_kernels": contender.kernels,
        "delegate": known.get("delegate"),
        "threads": contender.threads,
        "runs": times["runs"] or 0,
        "warmup": known.get("warmup", 0),
        **{key: times[key] for key in _TIMES if key != "runs"},
        "cpu": cpu,
        "temperature_celsius": {"before": before.temperature_celsius, "after": after.temperature_celsius},
        "frequency_khz": {"before": before.frequency_khz, "after": after.frequency_khz},
        "throttled": is_throttled(before, after),
        "golden": known.get("golden"),
        "trusted": not doubts and contender.error is None,
        "distrust_reasons": doubts,
        "error": contender.error,
    }


def _own_doubts(contender: _Contender, times: Mapping[str, Any], cores: int) -> list[str]:
    """What makes this one entry doubtful."""
    doubts = []
    if contender.threads > cores:
        doubts.append(f"{contender.threads} threads shared {cores} cores")
    if not contender.known["stable"]:
        doubts.append(f"the latency was not stable after {contender.known['warmup']} warm-up invokes")
    interval = times["p50_interval_ms"]
    if interval is not None and interval[1] - interval[0] > _WIDE_INTERVAL * times["p50_ms"]:
        doubts.append(f"the interval of the median is {(interval[1] - interval[0]) / times['p50_ms']:.0%} wide")
    return doubts
