"""How well the benchmark repeats itself: the p50 of one model in fresh processes, beside a control loop in the same interleaved run.

    python scripts/benchmarks/stability.py model.tflite [--processes 10] [--runs 200] [--json FILE]

Must reach on a quiet machine: coefficient of variation of p50 <= 3 %, clock steps <= 0.1 us, own time per invoke < 1 us.
The control is plain Python and NumPy work of about 25 us, no model and no runtime: where it varies too, the machine is not quiet.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from edgecompress.device.benchmark import benchmark_models
from edgecompress.device.runtime import TfliteModel
from edgecompress.device.timing import split_runs, summarize, time_block, time_invokes, warm_up

CONTROL = "--control-process"
LIMITS = {"cv": 0.03, "clock_step_us": 0.1, "own_us": 1.0}


def control_p50_ms(runs: int) -> float:
    """The control loop under the benchmark's own warm-up, blocks and statistics."""
    numbers = np.arange(4096, dtype=np.int64)

    def work() -> None:
        for _ in range(8):
            np.add.accumulate(numbers)

    warm_up(work)
    return float(summarize([time_block(work, size) for size in split_runs(runs, 20)])["p50_ms"])


def clock_step_us() -> float:
    """The smallest step seen between two readings of the clock."""
    readings = [time.perf_counter_ns() for _ in range(100_000)]
    steps = np.diff(readings)
    return float(steps[steps > 0].min()) / 1e3


def own_us() -> float:
    """What the benchmark adds to each timed invoke: the clock and the model wrapper around a runtime that does nothing."""
    model = TfliteModel.__new__(TfliteModel)
    model._interpreter = SimpleNamespace(invoke=lambda: None)
    return float(np.median(time_invokes(model.run, 100_000))) / 1e3


def measure(model: str, processes: int, runs: int) -> dict[str, Any]:
    """p50 of the model and of the control, in turns, each time in a new process."""
    entries, control_ms = [], []
    for _ in range(processes):
        entry = benchmark_models({Path(model).name: model}, threads=[1], runs=runs, timeout_s=300)[0]
        if entry["error"]:
            raise SystemExit(f"error: {entry['error']}")
        entries.append(entry)
        command = [sys.executable, __file__, CONTROL, str(runs)]
        control_ms.append(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    p50_ms = [entry["p50_ms"] for entry in entries]
    return {
        "model": Path(model).name,
        **{key: entries[0][key] for key in ("runtime", "runtime_version", "kernels", "cpu")},
        "python": platform.python_version(),
        "numpy": np.__version__,
        "load_average": list(os.getloadavg()),
        "p50_ms": p50_ms,
        "control_p50_ms": control_ms,
        "cv": coefficient_of_variation(p50_ms),
        "control_cv": coefficient_of_variation(control_ms),
        "clock_step_us": clock_step_us(),
        "own_us": own_us(),
        "distrust_reasons": sorted({reason for entry in entries for reason in entry["distrust_reasons"]}),
    }


def coefficient_of_variation(values: list[float]) -> float:
    """Sample standard deviation over mean."""
    return float(np.std(values, ddof=1) / np.mean(values))


def show(result: dict[str, Any]) -> None:
    """Prints the run as a table."""
    print(f"{result['model']}: {result['runtime']} {result['runtime_version']}, {result['kernels']} kernels, {result['cpu']['model']}")
    print("process   model p50 us   control p50 us")
    for number, p50_ms in enumerate(result["p50_ms"]):
        print(f"{number + 1:7d} {p50_ms * 1e3:14.2f} {result['control_p50_ms'][number] * 1e3:16.2f}")
    print(f"cv      {result['cv']:14.2%} {result['control_cv']:16.2%}   (limit {LIMITS['cv']:.0%})")
    print(f"clock step          {result['clock_step_us']:.3f} us (limit {LIMITS['clock_step_us']})")
    print(f"own time per invoke {result['own_us']:.3f} us (limit {LIMITS['own_us']})")
    for reason in result["distrust_reasons"]:
        print(f"not a quiet machine: {reason}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help=".tflite file")
    parser.add_argument("--processes", type=int, default=10)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    result = measure(arguments.model, arguments.processes, arguments.runs)
    show(result)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1))
    raise SystemExit(any(result[name] > limit for name, limit in LIMITS.items()))


if __name__ == "__main__":
    if sys.argv[1:2] == [CONTROL]:
        print(control_p50_ms(int(sys.argv[2])))
    else:
        main()
