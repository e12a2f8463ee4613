"""The parent's side of a child process: a model that aborts, spins or prints noise costs its own job and nothing else.

The child is a fresh Python (no fork of this process: no inherited locks, files or memory) in its own process group.
Jobs and commands go down its standard input, one JSON line each; answers come back through a pipe of their own, which native
output cannot corrupt. The child ends with the parent: the pipe's end tells it, and on Linux the kernel too.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any

from .fault import DeviceFault

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

_PACKAGE_FOLDER = os.path.dirname(os.path.abspath(__file__))

# Loads this package, and nothing around it, from the folder or zip file it lies in; the current folder is not searched.
_START = """
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
sys.path = [folder for folder in sys.path if folder]
parent, name, message_file, parent_process = sys.argv[1:]
spec = PathFinder.find_spec(name, [parent])
sys.modules[name] = package = module_from_spec(spec)
spec.loader.exec_module(package)
from importlib import import_module
import_module(name + ".jobs").main(int(message_file), int(parent_process))
"""

_EXIT_WAIT_S = 5.0
_NOISE_BYTES = 2000


class Child:
    """A child process at work on one job. Use it in a `with` statement: leaving it kills the child and its process group.

    On Linux the child also ends when the thread that started it ends: the thread that starts it must be the one that waits for it.
    """

    def __init__(self, job: Mapping[str, Any], *, timeout_s: float) -> None:
        """Starts the child.

        Args:
            job: What to do; see `jobs`.
            timeout_s: Seconds that the child may work on each answer, or until its next progress message, counted while this process
                waits for it.
        """
        self._timeout_s = self._limit_s = self._left_s = timeout_s
        self._unread = b""
        self._phase = "starting"
        first_line = _line(job)
        with contextlib.ExitStack() as on_failure:
            try:
                self._noise = on_failure.enter_context(tempfile.TemporaryFile())
                self._messages, message_file = os.pipe()
                on_failure.callback(os.close, self._messages)
                try:
                    self._process = self._start(message_file)
                finally:
                    os.close(message_file)
            except OSError as error:
                raise DeviceFault(f"no child process can be started: {error}") from error
            self._open_files = on_failure.pop_all()
        self._send(first_line)

    def _start(self, message_file: int) -> subprocess.Popen[bytes]:
        """The child process, which inherits standard input, the noise file and the writing end of the message pipe."""
        arguments = [os.path.dirname(_PACKAGE_FOLDER), os.path.basename(_PACKAGE_FOLDER), str(message_file), str(os.getpid())]
        return subprocess.Popen(
            [sys.executable, "-c", _START, *arguments],
            stdin=subprocess.PIPE,
            stdout=self._noise,
            stderr=self._noise,
            pass_fds=[message_file],
            start_new_session=True,
        )

    def __enter__(self) -> Child:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Kills the child and everything it started. A second call does nothing."""
        if self._process.poll() is None:
            with contextlib.suppress(PermissionError):  # what macOS says when the child ends at this moment
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._open_files.close()
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # what a dead child did not read
                self._process.stdin.close()

    def send(self, message: Mapping[str, Any]) -> None:
        """One message to the child. A child that is gone is reported by the next `receive`."""
        self._send(_line(message))

    def _send(self, line: bytes) -> None:
        """Writes one line to the child's standard input."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(line)
                self._process.stdin.flush()

    def receive(
        self, on_progress: Callable[[Mapping[str, Any]], None] | None = None, *, more_s: float = 0.0
    ) -> dict[str, Any]:  # fmt: skip
        """The child's next answer.

        Args:
            on_progress: Called for each progress message that comes before the answer.
            more_s: Seconds that this answer may take beyond `timeout_s`: so much work was asked for.

        Raises:
            DeviceFault: The job failed, the child crashed, or its time is up.
        """
        self._limit_s, self._left_s = self._limit_s + more_s, self._left_s + more_s
        while True:
            line = self._read_line()
            try:
                message = dict(json.loads(line))
            except (ValueError, TypeError):  # only a model that writes where it must not can do this
                raise DeviceFault(f"the child process sent {line[:80]!r}, which is no message, while {self._phase}") from None
            if "phase" in message:
                self._phase = message["phase"]
            elif "progress" in message:
                self._renew()
                if on_progress is not None:
                    on_progress(message["progress"])
            elif "error" in message:
                raise DeviceFault(message["error"])
            else:
                self._renew()
                return dict(message["answer"])

    def _renew(self) -> None:
        """The whole time again: what came shows that the child works."""
        self._limit_s = self._left_s = self._timeout_s

    def finish(self) -> None:
        """Waits until the child ends by itself.

        Raises:
            DeviceFault: It crashed on the way out, or its time is up.
        """
        while self._fill():
            pass
        self._raise_if_crashed()

    def _read_line(self) -> bytes:
        """The next line of the message pipe, without its end."""
        while b"\n" not in self._unread:
            if not self._fill():
                self._raise_if_crashed()
                raise DeviceFault(f"the child process ended without an answer while {self._phase}{self._last_words()}")
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def _fill(self) -> bool:
        """Reads what the pipe holds, waiting at most the time left; False at its end."""
        start = time.monotonic()
        with selectors.DefaultSelector() as selector:
            selector.register(self._messages, selectors.EVENT_READ)
            ready = selector.select(max(0.0, self._left_s))
        self._left_s -= time.monotonic() - start
        if not ready:
            raise DeviceFault(f"the model did not finish within {self._limit_s:g} s (while {self._phase})")
        received = os.read(self._messages, 1 << 16)
        self._unread += received
        return bool(received)

    def _raise_if_crashed(self) -> None:
        """Raises for an exit by a signal or with an error code; called when the message pipe is at its end."""
        try:
            code = self._process.wait(_EXIT_WAIT_S)
        except subprocess.TimeoutExpired:
            raise DeviceFault(f"the model did not finish within {self._limit_s:g} s (while {self._phase})") from None
        if code < 0:
            hint = "; the machine may have run out of memory" if -code == signal.SIGKILL else ""
            raise DeviceFault(f"the runtime crashed with {_signal_name(-code)} while {self._phase}{hint}{self._last_words()}")
        if code > 0:
            raise DeviceFault(f"the child process ended with exit code {code} while {self._phase}{self._last_words()}")

    def _last_words(self) -> str:
        """The last line that the child printed, for the reason of a crash."""
        size = self._noise.seek(0, os.SEEK_END)
        self._noise.seek(max(0, size - _NOISE_BYTES))
        lines = [line.strip() for line in self._noise.read().decode(errors="replace").splitlines() if line.strip()]
        return f" (last output: {lines[-1]})" if lines else ""


def run_job(job: Mapping[str, Any], *, timeout_s: float, on_progress: Callable[[Mapping[str, Any]], None] | None = None) -> dict[str, Any]:
    """Runs one job in a child process and returns its answer.

    Args:
        job: {"job": "probe" | "golden" | "check", "model": path, ...}; `jobs` describes each.
        timeout_s: Seconds without an answer or progress until the child is killed.
        on_progress: Called with each progress message of the job.

    Raises:
        DeviceFault: The runtime refused the model, crashed (even after the answer, when it let go of the model), or its time is up.
    """
    with Child(job, timeout_s=timeout_s) as child:
        answer = child.receive(on_progress)
        child.finish()
        return answer


def _line(message: Mapping[str, Any]) -> bytes:
    """A message as one line of JSON."""
    return json.dumps(message).encode() + b"\n"


def _signal_name(number: int) -> str:
    """SIGABRT, or the number where it has no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
