"""The child's side of a benchmark: one model with one number of threads, timed step by step as the parent asks; or many in order."""

from __future__ import annotations

import resource
import sys
import time
from typing import TYPE_CHECKING, Any

from .fault import DeviceFault
from .golden import model_inputs, read_first_inputs
from .inputs import varied_inputs
from .installed import find_runtime
from .runtime import TfliteModel
from .timing import split_runs, summarize, time_block, time_invokes, warm_up

if TYPE_CHECKING:
    from .line import Line

_ALONE_WARM_UP_NS = 500_000_000
_ALONE_BLOCKS = 5


def measure(job: dict[str, Any], line: Line) -> dict[str, Any]:
    """Loads the job's model and obeys the parent until it says {"step": "finish"}.

    Answers on the way, in this order:
        after loading: runtime, runtime_version, kernels, delegate, load_ms, allocate_ms, init_ms (both), first_ms (the
            first invoke)
        {"step": "warm_up"}: warmup (invokes), stable (bool)
        {"step": "time", "runs": n}, any number of times: durations_ns
        {"step": "go_on", "runs": n}, any number of times: durations_ns, without the untimed lead of a block: all that ran is told
    The job may name a "golden" file: its first sample is what the model is timed on.

    Returns:
        peak_rss_kb: the most memory that this process ever held, in units of 1,000 bytes. That is Python, NumPy, the runtime, the model
        file, its tensors and the kernels' packed weights together; None where the system does not tell.
    """
    find_runtime()  # its import is no part of init_ms
    line.enter_phase("loading the model")
    start = time.perf_counter_ns()
    model = TfliteModel(job["model"], threads=job.get("threads", 1), kernels=job.get("kernels", "xnnpack"))
    init_ns = time.perf_counter_ns() - start
    line.enter_phase("running the model")
    model.set_inputs(_inputs(model, job.get("golden")))
    start = time.perf_counter_ns()
    model.run()
    first_ns = time.perf_counter_ns() - start
    line.answer({
        "runtime": model.runtime_name,
        "runtime_version": model.runtime_version,
        "kernels": model.kernels,
        "delegate": model.delegate,
        "load_ms": (init_ns - model.allocate_ns) / 1e6,
        "allocate_ms": model.allocate_ns / 1e6,
        "init_ms": init_ns / 1e6,
        "first_ms": first_ns / 1e6,
    })  # fmt: skip
    _obey(model, line)
    peak_rss_kb = read_peak_rss_kb()
    line.enter_phase("letting go of the model")
    return {"peak_rss_kb": peak_rss_kb}


def _obey(model: TfliteModel, line: Line) -> None:
    """Does the parent's steps until "finish"."""
    while True:
        command = line.next_command()
        if command["step"] == "finish":
            return
        if command["step"] == "warm_up":
            num_invokes, stable = warm_up(model.run)
            line.answer({"warmup": num_invokes, "stable": stable})
        else:
            time_runs = time_block if command["step"] == "time" else time_invokes
            line.answer({"durations_ns": time_runs(model.run, command["runs"])})


def measure_each(job: dict[str, Any], line: Line) -> dict[str, Any]:
    """Times the job's "models" one after the other, "runs" invokes each; what came of each is told at once, as progress."""
    for path in job["models"]:
        line.progress(timed=_measure_alone(path, job, line))
    return {}


def _measure_alone(path: str, job: dict[str, Any], line: Line) -> dict[str, Any]:
    """p50 of one model, or why there is none."""
    line.enter_phase("running an operator")
    try:
        model = TfliteModel(path, threads=job.get("threads", 1), kernels=job.get("kernels", "xnnpack"))
        model.set_inputs(varied_inputs(model.inputs))
        warm_up(model.run, limit_ns=_ALONE_WARM_UP_NS)
        blocks_ns = [time_block(model.run, size) for size in split_runs(job["runs"], _ALONE_BLOCKS)]
    except DeviceFault as fault:
        return {"p50_ms": None, "kernels": None, "error": fault.reason}
    return {"p50_ms": summarize(blocks_ns)["p50_ms"], "kernels": model.kernels, "error": None}


def _inputs(model: TfliteModel, golden: str | None) -> list[Any]:
    """The first golden sample, or made-up values where there is none."""
    if golden is None:
        return varied_inputs(model.inputs)
    return [values[0] for values in model_inputs(model, read_first_inputs(golden))]


def read_peak_rss_kb() -> float | None:
    """The most memory that this process ever held, in units of 1,000 bytes.

    On Linux VmHWM, not getrusage: that one also remembers the parent's size at the moment of the fork.
    """
    if sys.platform == "linux":
        try:
            with open("/proc/self/status", encoding="ascii", errors="replace") as status:
                kibibytes = [int(row.split()[1]) for row in status if row.startswith("VmHWM:")]
        except OSError:
            return None
        return kibibytes[0] * 1.024 if kibibytes else None
    if sys.platform == "darwin":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000  # bytes there
    return None
