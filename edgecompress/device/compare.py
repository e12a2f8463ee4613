"""Two files that must be one function: bit-identical outputs on the same inputs, through every signature, under one kernel family."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .fault import DeviceFault
from .golden import largest_difference, model_inputs, read_arrays
from .runtime import TfliteModel
from .trials import trial_inputs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from .line import Line
    from .runtime import TensorSpec


class _Entry(NamedTuple):
    """A way into a model: its main subgraph, or a signature."""

    words: str
    specs: list[TensorSpec]
    run: Callable[[TfliteModel, list[np.ndarray]], list[np.ndarray]]


def compare(job: dict[str, Any], line: Line) -> dict[str, Any]:
    """Runs the files "model" and "other" on the same inputs, one after the other, so that state in variables goes the same way.

    The job may name stored "inputs" (as in a golden file) that come first, then made-up ones: at least "least", and up to "most" as
    far as "seconds" allow. "tolerance" is the largest difference allowed, relative to the largest output where that is above 1; 0: equal
    bits.

    Returns:
        refused: why "model" cannot be run at all, else None; then the rest is missing.
        runs: on how many inputs the outputs of the two were compared. Where "model" fails, "other" must fail too.
        mismatch: the first difference in words, else None.
        kernels: the family that ran.
        operators_left: how many operators of each file no delegate took.
        largest_difference: over all outputs.
    """
    kernels = job.get("kernels", "xnnpack")
    try:
        model = TfliteModel(job["model"], kernels=kernels)
        entries = _entries(model)
    except DeviceFault as fault:
        return {"refused": fault.reason}
    line.enter_phase("loading the new file")
    try:
        other = TfliteModel(job["other"], kernels=kernels)
    except DeviceFault as fault:
        return _answer(model, None, 0, f"the new file is refused: {fault.reason}", 0.0)
    line.enter_phase("comparing both files")
    runs, largest, failure = 0, 0.0, None
    for trial in _trials(job, entries, model):
        expected, received = trial.outputs(model), trial.outputs(other)
        mismatch, difference = _difference(trial.entry.words, expected, received, job.get("tolerance", 0.0))
        largest = max(largest, difference)
        if isinstance(expected, str):
            failure = expected
        else:
            runs += 1
        if mismatch is not None:
            return _answer(model, other, runs, mismatch, largest)
    return {"refused": failure} if not runs and failure is not None else _answer(model, other, runs, None, largest)


class _Trial(NamedTuple):
    """One input of one entry."""

    entry: _Entry
    inputs: list[np.ndarray]

    def outputs(self, model: TfliteModel) -> list[np.ndarray] | str:
        """The outputs, or why there are none."""
        try:
            return self.entry.run(model, self.inputs)
        except DeviceFault as fault:
            return fault.reason


def _answer(model: TfliteModel, other: TfliteModel | None, runs: int, mismatch: str | None, largest: float) -> dict[str, Any]:
    return {
        "refused": None,
        "runs": runs,
        "mismatch": mismatch,
        "kernels": model.kernels,
        "operators_left": None if other is None else [model.count_left(), other.count_left()],
        "largest_difference": largest,
    }


def _entries(model: TfliteModel) -> list[_Entry]:
    """The main subgraph, then every signature.

    Raises:
        DeviceFault: An input is a string tensor.
    """
    entries = [_Entry("the main subgraph", model.inputs, lambda which, inputs: which.invoke(inputs))]
    for key, arguments in model.signatures().items():
        entries.append(_Entry(f"signature {key!r}", list(arguments.values()), _signature_run(key, list(arguments))))
    for spec in (spec for entry in entries for spec in entry.specs):
        if spec.dtype == "string":
            raise DeviceFault(f"input '{spec.name}' must be numbers. Received: a string tensor")
    return entries


def _signature_run(key: str, names: list[str]) -> Callable[[TfliteModel, list[np.ndarray]], list[np.ndarray]]:
    def run(model: TfliteModel, inputs: list[np.ndarray]) -> list[np.ndarray]:
        outputs = model.invoke_signature(key, dict(zip(names, inputs)))  # noqa: B905 (3.9 has no strict; one spec per name)
        return [outputs[name] for name in sorted(outputs)]

    return run


def _trials(job: Mapping[str, Any], entries: list[_Entry], model: TfliteModel) -> Iterator[_Trial]:
    """Stored inputs, then made-up ones until their number or the time is reached."""
    if job.get("inputs") is not None:
        stored = model_inputs(model, read_arrays(job["inputs"]))
        for sample in range(len(stored[0]) if stored else 0):
            yield _Trial(entries[0], [values[sample] for values in stored])
    end = time.monotonic() + job.get("seconds", 0.0)
    for number in range(job["most"]):
        if number >= job["least"] and time.monotonic() > end:
            return
        for entry in entries if number < job["least"] else entries[:1]:
            yield _Trial(entry, trial_inputs(entry.specs, number))


def _difference(
    words: str, expected: list[np.ndarray] | str, received: list[np.ndarray] | str, tolerance: float
) -> tuple[str | None, float]:
    """What differs on one input of the entry called `words`, and by how much at most."""
    if isinstance(expected, str) or isinstance(received, str):
        if isinstance(expected, str) and isinstance(received, str):
            return None, 0.0
        failed = f"only the file as it was fails: {expected}" if isinstance(expected, str) else f"the new file fails: {received}"
        return f"{words}: {failed}", 0.0
    if len(expected) != len(received):
        return f"{words}: {len(expected)} outputs became {len(received)}", 0.0
    largest = 0.0
    for position, (first, second) in enumerate(zip(expected, received)):  # noqa: B905 (3.9 has no strict; compared above)
        if first.shape == second.shape and first.dtype == second.dtype and first.tobytes() == second.tobytes():
            continue
        difference = _size(first, second)
        largest = max(largest, difference)
        if not difference <= tolerance or tolerance == 0:
            return f"{words}: output {position} differs by {difference:.6g}", largest
    return None, largest


def _size(first: np.ndarray, second: np.ndarray) -> float:
    """The largest difference, relative to the largest output where that is above 1."""
    comparable = first.dtype == second.dtype and first.shape == second.shape
    difference = largest_difference(np.atleast_1d(first), np.atleast_1d(second))[0] if comparable else np.inf
    finite = np.abs(first[np.isfinite(first)]) if first.dtype.kind in "fc" else np.abs(first.astype(np.float64))
    return float(difference / max(1.0, float(finite.max(initial=0.0))))
