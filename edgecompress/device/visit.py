"""A job that came over SSH: does it and answers, and ends at once when the other side is gone.

    {"job": "doctor"}                                              describes the machine
    {"job": "install"}                                             makes a virtual environment with the runtime for this machine
    {"job": "benchmark", "threads": [1, 2], "runs": 200, ...}      measures the bundle in the folder
    {"job": "rounds", "archive": file, "threads": 1, ...}          times the files of a .zip in turns, see `rounds`

Messages are lines of JSON on standard output, after `arrival.PREFIX`: "alive", "progress", "waiting", then "answer" or "error".
"""

from __future__ import annotations

import json
import os
import select
import threading
from typing import Any

from .arrival import PREFIX
from .doctor import describe_machine, find_problems
from .fault import DeviceFault
from .machine import thread_counts

_ALIVE_S = 5.0
_SILENCE_S = 60.0  # without a sign of life the other side is taken for gone
_TURN_LIMIT_S = 1800.0


def serve(folder: str, job: dict[str, Any]) -> None:
    """Does one job and sends its answer."""
    line = _Line()
    for watch in (line.listen, line.say_alive):
        threading.Thread(target=watch, daemon=True).start()
    try:
        line.send({"answer": _JOBS[job["job"]](folder, job, line)})
    except (DeviceFault, ValueError) as fault:
        line.send({"error": str(fault)})
    except Exception as error:  # the edge of the machine: whatever went wrong must reach the other side as words
        line.send({"error": f"{type(error).__name__}: {error}"})


class _Line:
    """The line to the other side. What else this process prints goes to standard error, so that it cannot disturb."""

    def __init__(self) -> None:
        self._output = os.dup(1)
        os.dup2(2, 1)
        self._lock = threading.Lock()

    def send(self, message: dict[str, Any]) -> None:
        """Writes one message; if nobody reads, this process ends."""
        rest = memoryview(f"{PREFIX}{json.dumps(message)}\n".encode())
        with self._lock:
            try:
                while rest:
                    rest = rest[os.write(self._output, rest) :]
            except OSError:
                os._exit(1)

    def say_alive(self) -> None:
        """Tells the other side again and again that this one is there."""
        pause = threading.Event()
        while not pause.wait(_ALIVE_S):
            self.send({"alive": True})

    def listen(self) -> None:
        """Ends this process, and with it its children, when the other side is gone or silent."""
        silent_s = 0.0  # counted while this process runs: the machine may be stopped and go on
        while silent_s < _SILENCE_S:
            if not select.select([0], [], [], _ALIVE_S)[0]:
                silent_s += _ALIVE_S
            elif os.read(0, 1 << 12):
                silent_s = 0.0
            else:
                break
        os._exit(1)


def _doctor(_folder: str, _job: dict[str, Any], _line: _Line) -> dict[str, Any]:
    machine = describe_machine()
    return {"machine": machine, "problems": find_problems(machine)}


def _install(_folder: str, _job: dict[str, Any], line: _Line) -> dict[str, Any]:
    from .install import install_runtime

    return {"installed": install_runtime(lambda words: line.send({"progress": [0, 1, words]}))}


def _benchmark(folder: str, job: dict[str, Any], line: _Line) -> dict[str, Any]:
    from .bundle import measure_bundle, read_bundle
    from .turn import holder, turn

    bundle = read_bundle(folder)
    with turn(limit_s=job.get("turn_limit_s", _TURN_LIMIT_S), on_wait=lambda: line.send({"waiting": holder()})):
        return measure_bundle(
            bundle, threads=thread_counts() if job.get("threads") == "all" else job.get("threads"),
            runs=job.get("runs"), kernels=job.get("kernels"), timeout_s=job["timeout_s"], minutes=job.get("minutes", 0.0),
            operators=job.get("operators", False), on_progress=lambda *step: line.send({"progress": list(step)}),
        )  # fmt: skip


def _rounds(folder: str, job: dict[str, Any], line: _Line) -> dict[str, Any]:
    from .operators import unpack
    from .rounds import measure_rounds
    from .turn import holder, turn

    pieces = unpack(os.path.join(folder, job["archive"]), folder)
    paths = [pieces[number] for number in sorted(pieces)]
    with turn(limit_s=job.get("turn_limit_s", _TURN_LIMIT_S), on_wait=lambda: line.send({"waiting": holder()})):
        return {"timed": measure_rounds(paths, threads=job["threads"], rounds=job["rounds"], timeout_s=job["timeout_s"])}


_JOBS = {"doctor": _doctor, "install": _install, "benchmark": _benchmark, "rounds": _rounds}
