"""The operators of a model one by one: each was cut out as a file of its own (`edgecompress.tflite.cut`) and is timed alone.

The runtimes have no profiler. Alone an operator finds its weights in the cache and is called through an interpreter of its own, so the
times are those of one-operator models, and their sum is set beside the time of the whole.
"""

from __future__ import annotations

import os
import tempfile
import zipfile
from typing import TYPE_CHECKING, Any

from .child import run_job
from .fault import DeviceFault

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .runtime import Kernels

RUNS = 100


def measure_archive(
    model: str, archive: str, *, threads: int, kernels: Kernels = "xnnpack", timeout_s: float,
    on_progress: Callable[[int, int, str], None] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Times the operators that lie in a .zip as NUMBER.tflite; see `measure_operators`.

    Raises:
        DeviceFault: It is no such archive, or there is no room to unpack it.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="edgecompress-") as folder:
            pieces = unpack(archive, folder)
            return measure_operators(model, pieces, threads=threads, kernels=kernels, timeout_s=timeout_s, on_progress=on_progress)
    except OSError as error:
        raise DeviceFault(f"{archive}: no temporary folder can be made for the operators: {error}") from error


def unpack(archive: str, folder: str) -> dict[int, str]:
    """Unpacks the files NUMBER.tflite of a .zip; number -> path.

    Raises:
        DeviceFault: It is no such archive, or there is no room to unpack it.
    """
    try:
        with zipfile.ZipFile(archive) as packed:
            names = [name for name in packed.namelist() if name.endswith(".tflite") and name[: -len(".tflite")].isdigit()]
            return {int(name[: -len(".tflite")]): packed.extract(name, folder) for name in names}
    except (OSError, zipfile.BadZipFile) as error:
        raise DeviceFault(f"{archive}: the operators cannot be unpacked: {error}") from error


def measure_operators(
    model: str | os.PathLike[str], pieces: Mapping[int, str | os.PathLike[str]], *, threads: int, kernels: Kernels = "xnnpack",
    runs: int = RUNS, timeout_s: float, on_progress: Callable[[int, int, str], None] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Times the whole model, then each operator, all in one process.

    Args:
        model: Path of the whole.
        pieces: Number of an operator to the path of its file.
        threads: Of the runtime.
        kernels: As in `benchmark_models`.
        runs: Timed invokes of each.
        timeout_s: For each; one that crashes or hangs costs a process more.
        on_progress: As in `benchmark_models`.

    Returns:
        threads; whole_ms, p50 of the whole; sum_ms of the operators that could be timed; timed[]{index, p50_ms, kernels, error}.
    """
    order = sorted(pieces)
    paths = [os.fspath(model), *(os.fspath(pieces[number]) for number in order)]
    found = _time_each(paths, {"threads": threads, "kernels": kernels, "runs": runs}, timeout_s, on_progress)
    timed = [{"index": number, **one} for number, one in zip(order, found[1:])]  # noqa: B905 (3.9 has no strict; one for each path)
    return {
        "threads": threads, "whole_ms": found[0]["p50_ms"], "sum_ms": sum(one["p50_ms"] for one in timed if one["p50_ms"] is not None),
        "timed": timed,
    }  # fmt: skip


def _time_each(
    paths: Sequence[str], settings: Mapping[str, Any], timeout_s: float, on_progress: Callable[[int, int, str], None] | None
) -> list[dict[str, Any]]:
    """One result per path. After a crash a new process goes on behind it."""
    found: list[dict[str, Any]] = []

    def note(progress: Mapping[str, Any]) -> None:
        found.append(dict(progress["timed"]))
        if on_progress is not None:
            on_progress(len(found), len(paths), "timing operators")

    while len(found) < len(paths):
        try:
            run_job({"job": "each", "models": paths[len(found) :], **settings}, timeout_s=timeout_s, on_progress=note)
        except DeviceFault as fault:
            if len(found) < len(paths):
                note({"timed": {"p50_ms": None, "kernels": None, "error": fault.reason}})
    return found


def describe_operators(found: Mapping[str, Any]) -> str:
    """One sentence."""
    if found.get("error"):
        return f"operators could not be timed: {found['error']}"
    times = [one["p50_ms"] for one in found["timed"] if one["p50_ms"] is not None]
    text = f"{len(times)} operators, each timed alone as a one-operator model, take {found['sum_ms']:.4f} ms together"
    if found["whole_ms"]:
        text += f", the whole model {found['whole_ms']:.4f} ms ({found['sum_ms'] / found['whole_ms']:.2f} times)"
    failed = len(found["timed"]) - len(times)
    return text + (f"; {failed} could not be timed" if failed else "")
