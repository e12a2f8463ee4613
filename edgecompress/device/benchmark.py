"""Latency of several models side by side, each in a child process of its own.

Models are timed in blocks, A B C A B C ..., never one invoke each in turn: a block sees the caches and the clock frequency that a program
which runs this model alone would see, and still every model gets its share of whatever happens on the machine while the benchmark runs.
One child process per model keeps a crash, a hang and the peak memory of one model away from the others.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .child import Child, run_job
from .fault import DeviceFault
from .machine import Snapshot, describe_cpu, distrust_reasons, is_throttled, num_cores, take_snapshot
from .timing import split_runs, summarize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    Paths = Mapping[str, "str | os.PathLike[str]"]

_MINIMUM_RUNS = 50
_MOST_BLOCKS = 20
_SMALLEST_BLOCK = 5
_WIDE_INTERVAL = 0.05  # of p50


@dataclass
class _Contender:
    """One model with one number of threads, from its start to its entry in the report."""

    name: str
    path: str
    golden: str | None
    threads: int
    child: Child | None = None
    error: str | None = None
    known: dict[str, Any] = field(default_factory=dict)
    blocks_ns: list[list[int]] = field(default_factory=list)
    stable: bool = True


def benchmark_models(
    models: Paths,
    *,
    threads: Sequence[int],
    runs: int,
    golden: Paths | None = None,
    timeout_s: float,
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
        timeout_s: Seconds that one model may work with one number of threads, over all its steps.
        on_progress: Called with (steps done, steps in all, what is being done).

    Returns:
        One entry per number of threads and model, with the keys of the report's `benchmark` and `error`. What is unknown is None.

    Raises:
        ValueError: `runs` or `threads` out of range.
    """
    if runs < _MINIMUM_RUNS:
        raise ValueError(f"runs must be at least {_MINIMUM_RUNS}. Received: {runs!r}")
    if not threads or min(threads) < 1:
        raise ValueError(f"threads must be numbers of at least 1. Received: {list(threads)!r}")
    block_sizes = split_runs(runs, max(1, min(_MOST_BLOCKS, runs // _SMALLEST_BLOCK)))
    steps = _Steps(len(threads) * len(models) * (3 + len(block_sizes)), on_progress)
    entries = []
    for num_threads in threads:
        contenders = [
            _Contender(name, os.fspath(path), os.fspath(golden[name]) if golden and name in golden else None, num_threads)
            for name, path in models.items()
        ]
        entries += _race(contenders, block_sizes, timeout_s, steps)
    return entries


class _Steps:
    """Counts the steps of the benchmark for a progress bar."""

    def __init__(self, total: int, on_progress: Callable[[int, int, str], None] | None) -> None:
        self._done, self._total, self._on_progress = 0, total, on_progress

    def each(self, contenders: Iterable[_Contender], doing: str) -> Iterable[_Contender]:
        """The contenders that are still in the race, one step each."""
        for contender in contenders:
            if self._on_progress is not None:
                self._on_progress(self._done, self._total, f"{doing} {contender.name}, threads {contender.threads}")
            if contender.error is None:
                yield contender
            self._done += 1
            if self._on_progress is not None:
                self._on_progress(self._done, self._total, "")
