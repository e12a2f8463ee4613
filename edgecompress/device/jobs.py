"""The child's side: what runs in the process that `child` starts.

    {"job": "probe", "model": path}                                         loads, allocates, runs once
    {"job": "golden", "model": path, "inputs": npz, "output": npz}          writes a golden file
    {"job": "check", "model": path, "golden": npz}                          compares with a golden file
    {"job": "compare", "model": path, "other": path, "least": n, "most": n} runs two files on the same inputs, see `compare`
    {"job": "benchmark", "model": path}                                     is told step by step what to time
    {"job": "each", "models": [path, ...], "runs": n}                       times them one after the other
    {"job": "rounds", "models": [path, ...], "rounds": n}                   times them in turns, see `rounds`
    {"job": "accuracy", "model": path, "samples": npz}                      counts right answers

Every job takes "threads" (1) and "memory_bytes" (no limit), what the process may address. All but "golden" take "kernels" ("xnnpack"),
"golden" a list of them.
"""

from __future__ import annotations

import dataclasses
import resource
from typing import TYPE_CHECKING, Any

import numpy as np

from .accuracy import count_right
from .compare import compare
from .fault import DeviceFault
from .golden import describe_agreement, find_mismatch, model_inputs, read_arrays, run_samples, tolerance, write_arrays
from .inputs import zero_inputs
from .line import Line, end_with_parent
from .measure import measure, measure_each
from .rounds import time_rounds
from .runtime import Kernels, TfliteModel

if TYPE_CHECKING:
    from collections.abc import Callable


def main(message_file: int, parent_process: int) -> None:
    """Runs the job that the parent sends."""
    end_with_parent(parent_process)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # an abort must leave no file behind
    line = Line(message_file)
    job = line.next_command()
    if job.get("memory_bytes"):
        resource.setrlimit(resource.RLIMIT_AS, (job["memory_bytes"], job["memory_bytes"]))
    try:
        answer = _JOBS[job["job"]](job, line)
    except DeviceFault as fault:
        line.fail(fault.reason)
    except Exception as error:  # the edge of the process: whatever went wrong must reach the parent as words
        line.fail(f"{type(error).__name__}: {error}")
    else:
        line.answer(answer)


def _load(job: dict[str, Any], line: Line, kernels: Kernels | None = None) -> TfliteModel:
    """The job's model, loaded and allocated."""
    line.enter_phase("loading the model")
    model = TfliteModel(job["model"], threads=job.get("threads", 1), kernels=kernels or job.get("kernels", "xnnpack"))
    line.enter_phase("running the model")
    return model


def _probe(job: dict[str, Any], line: Line) -> dict[str, Any]:
    """Loads, allocates and runs once, on zeros or on the first sample of the npz "inputs". Answers with specs, runtime and kernels."""
    model = _load(job, line)
    if job.get("inputs") is None:
        inputs = zero_inputs(model.inputs)
    else:
        inputs = [values[0] for values in model_inputs(model, read_arrays(job["inputs"]))]
    outputs = model.invoke(inputs)
    line.enter_phase("letting go of the model")
    return {
        "inputs": [dataclasses.asdict(spec) for spec in model.inputs],
        "outputs": [{**dataclasses.asdict(spec), "shape": outputs[position].shape} for position, spec in enumerate(model.outputs)],
        "runtime": model.runtime_name,
        "runtime_version": model.runtime_version,
        "kernels": model.kernels,
    }


def _write_golden(job: dict[str, Any], line: Line) -> dict[str, Any]:
    """Runs the samples of the npz "inputs" under each kernel family and writes the golden file "output".

    Answers with "kernels", the families in the file, and "refused", why the others are not; none at all is an error.
    """
    stored = read_arrays(job["inputs"])
    arrays: dict[str, np.ndarray] = {}
    refused: dict[str, str] = {}
    families = job.get("kernels", ["xnnpack", "builtin"])
    for family in families:
        try:
            _add_family(arrays, stored, _load(job, line, family), family)
        except DeviceFault as fault:
            refused[family] = fault.reason
        line.progress(family=family)
    if len(refused) == len(families):
        raise DeviceFault("; ".join(refused.values()))
    write_arrays(job["output"], arrays)
    return {"kernels": [family for family in families if family not in refused], "refused": refused}


def _add_family(arrays: dict[str, np.ndarray], stored: dict[str, np.ndarray], model: TfliteModel, family: Kernels) -> None:
    """Adds inputs, outputs and tolerances of one kernel family to `arrays`."""
    inputs = model_inputs(model, stored)
    outputs = run_samples(model, inputs)
    steps = model.output_steps()
    for position, values in enumerate(inputs):
        arrays[f"input_{position}"] = values
    for position, values in enumerate(outputs):
        arrays[f"{family}_{position}"] = values
        allowed = tolerance(values, model.outputs[position], steps[position])
        arrays[f"tolerance_{position}"] = np.maximum(allowed, arrays.get(f"tolerance_{position}", 0.0))


def _check(job: dict[str, Any], line: Line) -> dict[str, Any]:
    """Compares the model's outputs with the golden file; "mismatch" says what differs, or is None beside `describe_agreement`."""
    model, arrays = _load(job, line), read_arrays(job["golden"])
    received = run_samples(model, model_inputs(model, arrays))
    mismatch = find_mismatch(model, arrays, received)
    agreement = describe_agreement(model, arrays, received) if mismatch is None else {}
    line.enter_phase("letting go of the model")
    return {"mismatch": mismatch, **agreement}


_JOBS: dict[str, Callable[[dict[str, Any], Line], dict[str, Any]]] = {
    "probe": _probe,
    "golden": _write_golden,
    "check": _check,
    "compare": compare,
    "benchmark": measure,
    "each": measure_each,
    "rounds": time_rounds,
    "accuracy": count_right,
}
