"""Many small files timed in rounds by one process: each gets a short block in every round, so that a disturbance hits one block of many.

A benchmark of three models can wait until each is stable. Of a thousand small files each gets a few dozen milliseconds.
"""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING, Any

from .child import run_job
from .fault import DeviceFault
from .inputs import varied_inputs
from .runtime import TfliteModel
from .timing import time_invokes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .line import Line

_LEAD_NS = 2_000_000  # brings back the caches after another file ran
_BLOCK_NS = 4_000_000
_LEAST_INVOKES = 5


def measure_rounds(paths: Sequence[str], *, threads: int, rounds: int, timeout_s: float) -> list[dict[str, Any]]:
    """Times files in a process of their own. When that crashes or hangs, its halves get a process each, down to the file at fault.

    Args:
        paths: Of .tflite files.
        threads: Of the runtime.
        rounds: Blocks of each file.
        timeout_s: For each process.

    Returns:
        Per file blocks_ms, the median of each block; kernels; error, None where there are times.
    """
    try:
        return list(run_job({"job": "rounds", "models": list(paths), "threads": threads, "rounds": rounds}, timeout_s=timeout_s)["timed"])
    except DeviceFault as fault:
        if len(paths) == 1:
            return [{"blocks_ms": [], "kernels": None, "error": fault.reason}]
    half = len(paths) // 2
    return [
        entry
        for part in (paths[:half], paths[half:])
        for entry in measure_rounds(part, threads=threads, rounds=rounds, timeout_s=timeout_s)
    ]


def time_rounds(job: dict[str, Any], line: Line) -> dict[str, Any]:
    """The child's side: times the job's "models".

    Returns:
        timed: per file {blocks_ms: median of each block, kernels, error}.
    """
    found: list[dict[str, Any]] = []
    models: list[TfliteModel | None] = []
    for path in job["models"]:
        line.enter_phase("loading an operator")
        try:
            model = TfliteModel(path, threads=job.get("threads", 1))
            model.set_inputs(varied_inputs(model.inputs))
            line.enter_phase("running an operator")
            model.run()
            models.append(model)
            found.append({"blocks_ms": [], "kernels": model.kernels, "error": None})
        except DeviceFault as fault:
            models.append(None)
            found.append({"blocks_ms": [], "kernels": None, "error": fault.reason})
    for _ in range(job["rounds"]):
        for loaded, entry in zip(models, found):  # noqa: B905 (3.9 has no strict; one entry for each)
            if loaded is not None:
                _add_block(entry, loaded)
    return {"timed": found}


def _add_block(entry: dict[str, Any], model: TfliteModel) -> None:
    """One more block; a file that fails now is out."""
    if entry["error"] is None:
        try:
            entry["blocks_ms"].append(_block_ms(model))
        except DeviceFault as fault:
            entry["error"] = fault.reason


def _block_ms(model: TfliteModel) -> float:
    """Median time of one invoke in a short block."""
    start, count = time.perf_counter_ns(), 0
    while count < 2 or time.perf_counter_ns() - start < _LEAD_NS:
        model.run()
        count += 1
    each_ns = max(1, (time.perf_counter_ns() - start) // count)
    return round(median(time_invokes(model.run, max(_LEAST_INVOKES, _BLOCK_NS // each_ns))) / 1e6, 6)
