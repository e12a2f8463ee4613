"""Whether two .tflite files are one function: both are run on the same inputs under each kernel family, in child processes."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgecompress.device import DeviceFault
from edgecompress.device.child import Child
from edgecompress.device.runtime import Kernels
from edgecompress.errors import ModelError
from edgecompress.store import storage_errors

FAMILIES: tuple[Kernels, ...] = ("xnnpack", "builtin")
TIMEOUT_S = 600.0  # of one family
MEMORY_BYTES = 16 * 10**9  # that a child may address; a damaged file may ask for any amount

# What a runtime says of a file that is in order and needs a part that is not here.
_ABSENT_PARTS = ("unresolved custom op", "select tensorflow op", "must be numbers. received: a string")


@dataclass(frozen=True)
class Trials:
    """On how many inputs files are compared, per kernel family.

    Attributes:
        least: made-up inputs in any case.
        most: made-up inputs at most.
        seconds: after which no more than `least` are made up.
        inputs: an .npz of stored inputs (`input_0`, ...), which come first.
        tolerance: the largest difference allowed, relative to the largest output where that is above 1; 0: equal bits.
        keeps_delegates: whether an operator that loses its delegate counts as a mismatch.
    """

    least: int = 6
    most: int = 64
    seconds: float = 0.3
    inputs: Path | None = None
    tolerance: float = 0.0
    keeps_delegates: bool = True


@dataclass(frozen=True)
class Proof:
    """What the comparison of two files showed.

    Attributes:
        runs: kernel family -> number of inputs on which both gave the same; families that cannot run the first file are missing.
        refused: kernel family -> why the first file does not run under it.
        operators_left: kernel family -> operators that no delegate takes, in the first and in the second file.
        largest_difference: over all outputs; 0 unless a tolerance allowed more.
        mismatch: the first difference in words; None: there is none.
    """

    runs: dict[str, int] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    operators_left: dict[str, tuple[int, int]] = field(default_factory=dict)
    largest_difference: float = 0.0
    mismatch: str | None = None

    @property
    def lacks_parts(self) -> bool:
        """Whether the first file is in order as far as it can be told, and only needs operators or inputs that are not here."""
        return not self.runs and all(any(part in reason.lower() for part in _ABSENT_PARTS) for reason in self.refused.values())


def prove(before: bytes, after: bytes, trials: Trials) -> Proof:
    """Compares two files, and how much of each the XNNPACK delegate takes.

    Raises:
        ModelError: `before` itself crashes the runtime, or gives other outputs each time.
        StorageError: the temporary folder cannot be written.
    """
    proof = Proof()
    with storage_errors(Path(tempfile.gettempdir())), tempfile.TemporaryDirectory(prefix="edgecompress-") as folder:
        old, new = Path(folder) / "before.tflite", Path(folder) / "after.tflite"
        old.write_bytes(before)
        new.write_bytes(after)
        for family in FAMILIES:
            answer = _compare(old, new, family, trials)
            if answer.get("mismatch") is not None and (itself := _compare(old, old, family, trials).get("mismatch")) is not None:
                raise ModelError(
                    f"the model must run, and give the same outputs each time, to be compared. Received: {itself.rstrip('.')}."
                )
            proof = _add(proof, family, answer, trials.keeps_delegates)
            if proof.mismatch is not None:
                break
    return proof


def _compare(old: Path, new: Path, family: Kernels, trials: Trials) -> dict[str, Any]:
    """The answer of one child; one that crashes is a mismatch."""
    job = {
        "job": "compare", "model": str(old), "other": str(new), "kernels": family, "least": trials.least, "most": trials.most,
        "seconds": trials.seconds, "tolerance": trials.tolerance, "inputs": None if trials.inputs is None else str(trials.inputs),
        "memory_bytes": MEMORY_BYTES,
    }  # fmt: skip
    try:
        with Child(job, timeout_s=TIMEOUT_S) as child:
            return child.receive()  # what happens when the runtime lets go of the files says nothing about them
    except DeviceFault as fault:
        return {"refused": None, "mismatch": fault.reason}


def _add(proof: Proof, family: Kernels, answer: Mapping[str, Any], keeps_delegates: bool) -> Proof:
    """The proof with the answer of one more family."""
    if answer["refused"] is not None:
        return Proof(proof.runs, {**proof.refused, family: answer["refused"]}, proof.operators_left, proof.largest_difference)
    mismatch = None if answer["mismatch"] is None else f"{family} kernels: {answer['mismatch']}"
    operators_left = dict(proof.operators_left)
    if answer.get("operators_left") is not None:
        before, after = operators_left[family] = tuple(answer["operators_left"])
        if mismatch is None and after > before and keeps_delegates:
            mismatch = f"{family} kernels: {before} operators without a delegate became {after}"
    largest = max(proof.largest_difference, answer.get("largest_difference", 0.0))
    return Proof({**proof.runs, family: answer.get("runs", 0)}, proof.refused, operators_left, largest, mismatch)
