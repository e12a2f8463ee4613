"""A bundle on the device: the files that `edgecompress bundle` packed, compared with their hashes, then measured.

The `bundle` section of manifest.json says what is there:

    format      1
    models      {name: {"path": file, "golden": file or None}}
    sha256      {file: hash} of every file but the manifest
    threads     numbers of threads that the recipe asks for
    runs        timed invokes per model
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .doctor import describe_machine, find_problems
from .fault import DeviceFault

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

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
    """

    name: str
    models: Mapping[str, str]
    golden: Mapping[str, str]
    sha256: Mapping[str, str]
    threads: Sequence[int]
    runs: int


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
        parts = section["models"]
        return Bundle(
            name=manifest["name"],
            models={name: os.path.join(folder, part["path"]) for name, part in parts.items()},
            golden={name: os.path.join(folder, part["golden"]) for name, part in parts.items() if part["golden"]},
            sha256={name: section["sha256"][part["path"]] for name, part in parts.items()},
            threads=section["threads"],
            runs=section["runs"],
        )
    except FileNotFoundError:
        raise DeviceFault(f"{path}: must be there; unpack the bundle, and run the program that lies in it") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
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
    bundle: Bundle, *, threads: Sequence[int] | None = None, runs: int | None = None, timeout_s: float,
    minutes: float = 0.0, on_progress: Callable[[int, int, str], None] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Golden outputs first, then the latency of all models in turns.

    Args:
        bundle: What to measure.
        threads: Numbers of threads; None takes the bundle's.
        runs: Timed invokes per entry; None takes the bundle's.
        timeout_s, minutes: As in `benchmark_models`.
        on_progress: As in `benchmark_models`.

    Returns:
        What stands in device.json: format, name, models{name: sha256}, machine (as `doctor` describes it), benchmark[].

    Raises:
        DeviceFault: NumPy or a runtime is missing; the reason names the command that mends it.
        ValueError: `runs` or `threads` out of range.
    """
    machine = describe_machine()
    if machine["numpy"] is None or machine["runtime"] is None:
        problem = find_problems(machine)[0]
        raise DeviceFault(f"{problem['what']}" + (f": {problem['command']}" if problem["command"] else ""))
    from .benchmark import benchmark_models  # it needs NumPy

    entries = benchmark_models(
        bundle.models, threads=threads or bundle.threads, runs=runs or bundle.runs, golden=bundle.golden, timeout_s=timeout_s,
        minutes=minutes, on_progress=on_progress,
    )  # fmt: skip
    for entry in entries:
        entry["host"] = machine["name"]
    return {"format": FORMAT, "name": bundle.name, "models": dict(bundle.sha256), "machine": machine, "benchmark": entries}
