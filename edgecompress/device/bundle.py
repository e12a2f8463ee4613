"""A bundle on the device: the files that `edgecompress bundle` packed, compared with their hashes, then measured.

The `bundle` section of manifest.json says what is there:

    format      1
    models      {name: {"path": file, "golden": file or None}}
    sha256      {file: hash} of every file but the manifest
    threads     numbers of threads that the recipe asks for
    runs        timed invokes per model
    kernels     kernel families; absent: xnnpack alone
    operators   {name: .zip of one-operator files}; absent: none
    times_operators   whether the recipe has them timed
    samples     {"path": .npz with test samples, "models": [names that take them]}; absent: none
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .doctor import describe_machine, lack_in_words
from .fault import DeviceFault

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .runtime import Kernels

MANIFEST_FILE = "manifest.json"
RESULT_FILE = "device.json"
FORMAT = 1


@dataclass(frozen=True)
class Bundle:
    """A checked bundle.

    Attributes:
        name: Of the run.
        models: Name (final, plain, baseline) to path of the .tflite.
        golden: Name to path of the golden file, where there is one.
        sha256: Name to hash of the .tflite.
        threads: Numbers of threads to measure.
        runs: Timed invokes per model and number of threads.
        kernels: Kernel families.
        operators: Name to path of the .zip with its operators, where there is one.
        times_operators: Whether to time those.
        samples: Path of test samples, for the models `counted`; None: there are none.
    """

    name: str
    models: Mapping[str, str]
    golden: Mapping[str, str]
    sha256: Mapping[str, str]
    threads: Sequence[int]
    runs: int
    kernels: Sequence[Kernels]
    operators: Mapping[str, str]
    times_operators: bool
    samples: str | None
    counted: Sequence[str]


def read_bundle(folder: str) -> Bundle:
    """The bundle in a folder.

    Raises:
        DeviceFault: There is none, it is of a newer format, or a file is missing or not the one that was packed.
    """
    path = os.path.join(folder, MANIFEST_FILE)
    try:
        with open(path, encoding="utf-8") as file:
            manifest = json.load(file)
        section = manifest["bundle"]
        if section["format"] > FORMAT:
            raise DeviceFault(f"{path}: the bundle is of format {section['format']}; this program knows {FORMAT}. Make it again")
        _check_hashes(folder, section["sha256"])
        parts, samples = section["models"], section.get("samples")
        if not parts:
            raise ValueError("it names no models")
        return Bundle(
            name=manifest["name"],
            models={name: os.path.join(folder, part["path"]) for name, part in parts.items()},
            golden={name: os.path.join(folder, part["golden"]) for name, part in parts.items() if part["golden"]},
            sha256={name: section["sha256"][part["path"]] for name, part in parts.items()},
            threads=section["threads"],
            runs=section["runs"],
            kernels=section.get("kernels", ["xnnpack"]),
            operators={name: os.path.join(folder, file) for name, file in section.get("operators", {}).items()},
            times_operators=section.get("times_operators", False),
            samples=os.path.join(folder, samples["path"]) if samples else None,
            counted=samples["models"] if samples else [],
        )
    except FileNotFoundError:
        raise DeviceFault(f"{path}: must be there; unpack the bundle, and run the program that lies in it") from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:  # a list where a mapping belongs
        raise DeviceFault(f"{path}: must be the manifest of a bundle. Received: {type(error).__name__}: {error}") from error


def _check_hashes(folder: str, hashes: Mapping[str, str]) -> None:
    """Compares every file with its hash."""
    for name, expected in sorted(hashes.items()):
        path = os.path.join(folder, name)
        if os.path.basename(name) != name:
            raise DeviceFault(f"{MANIFEST_FILE}: files must lie beside it. Received: {name!r}")
        received = hashlib.sha256()
        try:
            with open(path, "rb") as file:
                for part in iter(lambda: file.read(1 << 20), b""):
                    received.update(part)
        except OSError as error:
            raise DeviceFault(f"{path}: a file of the bundle must be readable. Received: {error.strerror}") from error
        if received.hexdigest() != expected:
            raise DeviceFault(f"{path}: it is not the file that was packed: its hash must be {expected[:12]}.... Copy the bundle again")


def measure_bundle(
    bundle: Bundle, *, threads: Sequence[int] | None = None, runs: int | None = None, kernels: Sequence[Kernels] | None = None,
    timeout_s: float, minutes: float = 0.0, operators: bool = False, on_progress: Callable[[int, int, str], None] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Golden outputs first, then the latency of all models in turns; then right answers and operators, where the bundle has them.

    Args:
        bundle: What to measure.
        threads: Numbers of threads; None takes the bundle's.
        runs: Timed invokes per entry; None takes the bundle's.
        kernels: Kernel families; None takes the bundle's.
        timeout_s, minutes: As in `benchmark_models`.
        operators: Times the operators one by one, also if the bundle does not ask for it.
        on_progress: As in `benchmark_models`.

    Returns:
        What stands in device.json: format, name, models{name: sha256}, machine (as `doctor` describes it), benchmark[]. The first entry
        of a model that did not fail has `accuracy` and `operators`, where they were measured; what could not be has `error`.

    Raises:
        DeviceFault: NumPy or a runtime is missing; the reason names the command that mends it. Or there are no operators to time.
        ValueError: As in `benchmark_models`.
    """
    machine = describe_machine()
    if machine["numpy"] is None or machine["runtime"] is None:
        raise DeviceFault(lack_in_words(machine))
    if operators and not bundle.operators:
        raise DeviceFault("the bundle must hold the operators of a model to time them. Received: none")
    from .benchmark import benchmark_models  # it needs NumPy

    entries = benchmark_models(
        bundle.models, threads=bundle.threads if threads is None else threads, runs=bundle.runs if runs is None else runs,
        kernels=bundle.kernels if kernels is None else kernels,
        golden=bundle.golden, timeout_s=timeout_s, minutes=minutes, on_progress=on_progress,
    )  # fmt: skip
    for name in bundle.models:
        entry = next((one for one in entries if one["model"] == name and one["error"] is None), None)
        if entry is not None:
            entry.update(_closer_look(bundle, entry, operators or bundle.times_operators, timeout_s, on_progress))
    for entry in entries:
        entry.update(host=machine["name"], machine_id=machine["id"])
    return {"format": FORMAT, "name": bundle.name, "models": dict(bundle.sha256), "machine": machine, "benchmark": entries}


def _closer_look(
    bundle: Bundle, entry: Mapping[str, Any], operators: bool, timeout_s: float, on_progress: Callable[[int, int, str], None] | None
) -> dict[str, Any]:
    """What is measured of a model beside its latency."""
    from .accuracy import measure_accuracy
    from .operators import measure_archive

    name, found = entry["model"], {}
    settings = {"threads": entry["threads"], "kernels": entry["requested_kernels"], "timeout_s": timeout_s}
    if bundle.samples is not None and name in bundle.counted:
        if on_progress is not None:
            on_progress(0, 1, f"counting right answers of {name}")
        found["accuracy"] = measure_accuracy(bundle.models[name], bundle.samples, **settings)
    if operators and name in bundle.operators:
        try:
            found["operators"] = measure_archive(bundle.models[name], bundle.operators[name], **settings, on_progress=on_progress)
        except DeviceFault as fault:  # a full disk, for one, does not cost the latencies that were measured
            found["operators"] = {"threads": entry["threads"], "whole_ms": None, "sum_ms": 0.0, "timed": [], "error": fault.reason}
    return found
