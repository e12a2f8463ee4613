"""Hosts over OpenSSH: sends the device program and a job, waits for the answer, with the standard library and the system's `ssh`.

One connection does it all: the first lines of Python, the files and the job go down standard input, messages come back. So the host
notices the end of the connection by itself, however it comes, and cleans up; see `device.arrival`. The user's own configuration decides
user, keys, ports and jumps. Host keys are always checked, nothing is ever asked: many hosts run at once.
"""

from __future__ import annotations

import json
import selectors
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from edgecompress.destination import check_destination
from edgecompress.device import arrival
from edgecompress.errors import DeviceError

SSH = "ssh"
_OPTIONS = (
    "-T", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "ConnectTimeout=20", "-o", "ServerAliveInterval=15",
    "-o", "ServerAliveCountMax=3",
)  # fmt: skip
# The environment that `doctor --install` made to its end, else the python3 of the host. Quoted for any login shell.
_COMMAND = (
    'exec sh -c \'v="$HOME/.local/share/edgecompress/venv"; p="$v/bin/python"; [ -x "$p" ] && [ ! -e "$v.unfinished" ] || p=python3; '
    'exec "$p" -c "import sys; '
    'sys.exit(\\"old python\\") if sys.version_info < (3, 9) else exec(sys.stdin.buffer.read(int(sys.stdin.buffer.readline())))"\''
)
_SIGN_OF_LIFE_S = 5.0
_SILENCE_S = 75.0  # longer than the host's own patience: it is told first
_TICK_S = 0.5
_NOT_FOUND = 127

Say = Callable[[int, int, str], None]  # steps done, steps in all, what is being done


@dataclass(frozen=True)
class Job:
    """What a host shall do.

    Attributes:
        values: As `device.visit` takes it.
        files: Name to content; they lie in the temporary folder there.
        program: Name of the file that is the device program.
    """

    values: Mapping[str, Any]
    files: Mapping[str, bytes]
    program: str


@dataclass(frozen=True)
class Outcome:
    """What came of it on one host: `answer`, or `error` in words."""

    host: str
    answer: dict[str, Any] | None
    error: str | None


def ask_hosts(
    hosts: Sequence[str], job: Job, *, ssh_config: Path | None = None, on_progress: Callable[[int, int, str, str], None] | None = None,
    silence_s: float = _SILENCE_S,
) -> list[Outcome]:  # fmt: skip
    """Has several hosts do one job at once; one that fails costs only itself.

    Args:
        hosts: Destinations of ssh.
        job: For all of them.
        ssh_config: Handed to `ssh -F`.
        on_progress: Called with (steps done, steps in all, what is being done, host), from several threads; 0 in all: nobody knows.
        silence_s: A host that says nothing for so long is given up.

    Returns:
        One outcome per host, in their order.
    """
    stop = threading.Event()

    def ask(host: str) -> Outcome:
        say = None if on_progress is None else (lambda done, total, doing: on_progress(done, total, doing, host))
        try:
            return Outcome(host, _Connection(host, ssh_config, stop, silence_s).ask(job, say), None)
        except DeviceError as error:
            return Outcome(host, None, str(error))

    with ThreadPoolExecutor(max(1, len(hosts))) as pool:
        waiting = [pool.submit(ask, host) for host in hosts]
        try:
            return [future.result() for future in waiting]
        finally:  # also when the user interrupts
            stop.set()


class _Connection:
    """One host for one job."""

    def __init__(self, host: str, ssh_config: Path | None, stop: threading.Event, silence_s: float) -> None:
        check_destination(host)
        self._host, self._stop, self._silence_s = host, stop, silence_s
        self._command = [SSH, *(["-F", str(ssh_config)] if ssh_config is not None else []), *_OPTIONS, "--", host, _COMMAND]

    def ask(self, job: Job, say: Say | None) -> dict[str, Any]:
        """Does the job there.

        Raises:
            DeviceError: the host cannot be reached, or the job failed.
        """
        with tempfile.TemporaryFile() as words:
            try:
                process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=words)
            except OSError as error:
                raise DeviceError(f"{SSH} must be installed here to reach hosts. Received: {error.strerror}.") from error
            ended = threading.Event()
            writer = threading.Thread(target=_write, args=(process.stdin, job, ended), daemon=True)
            writer.start()
            try:
                answer = self._receive(process, say)
            finally:
                ended.set()
                writer.join(_SIGN_OF_LIFE_S)  # it closes the host's standard input, which tells it that this is the end
                code = _end(process)
            if answer is not None:
                return answer
            words.seek(0)
            raise DeviceError(_reason(code, words.read().decode(errors="replace")))

    def _receive(self, process: subprocess.Popen[bytes], say: Say | None) -> dict[str, Any] | None:
        """Reads messages until the answer; None if the connection ended without one."""
        unread, silent_s = b"", 0.0  # counted while this process runs: it may be stopped and go on
        output: IO[bytes] = process.stdout  # type: ignore[assignment]  # it is a pipe
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            while not self._stop.is_set():
                if not selector.select(_TICK_S):
                    silent_s += _TICK_S
                    if silent_s > self._silence_s:
                        raise DeviceError(f"the host has said nothing for {self._silence_s:g} s: the connection is lost, or it hangs")
                    continue
                part = output.read1(1 << 16)  # type: ignore[attr-defined]  # a buffered reader has it
                if not part:
                    return None
                silent_s = 0.0
                *lines, unread = (unread + part).split(b"\n")
                for line in lines:
                    answer = _understand(line, say)
                    if answer is not None:
                        return answer
        raise DeviceError("interrupted")


def _understand(line: bytes, say: Say | None) -> dict[str, Any] | None:
    """The answer that a line holds, if it does; what a login script prints is passed over, before it in the same line too.

    Raises:
        DeviceError: the line says that the job failed.
    """
    _, start, message_text = line.partition(f"{arrival.PREFIX}{{".encode())
    if not start:
        return None
    try:
        message = dict(json.loads(b"{" + message_text))
    except ValueError:
        return None
    if "error" in message:
        raise DeviceError(str(message["error"]))
    if say is not None and "waiting" in message:
        say(0, 0, f"waits for another benchmark there: {message['waiting']}")
    if say is not None and "progress" in message:
        done, total, doing = message["progress"]
        say(int(done), int(total), str(doing))
    return message.get("answer")


def _write(stream: IO[bytes], job: Job, ended: threading.Event) -> None:
    """Sends the program, the job and its files, then signs of life until the end."""
    source = Path(arrival.__file__).read_bytes()
    order = {"files": [[name, len(content)] for name, content in job.files.items()], "job": dict(job.values), "program": job.program}
    try:
        with stream:
            stream.write(b"%d\n%s%s\n" % (len(source), source, json.dumps(order).encode()))
            for content in job.files.values():
                stream.write(content)
            stream.flush()
            while not ended.wait(_SIGN_OF_LIFE_S):
                stream.write(b"\n")
                stream.flush()
    except (OSError, ValueError):  # the other side is gone, which the reader notices
        return


def _end(process: subprocess.Popen[bytes]) -> int:
    """Lets ssh end by itself, which it does when the host has cleaned up; kills it if it does not."""
    try:
        return process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
    finally:
        if process.stdout is not None:
            process.stdout.close()


def _reason(code: int, words: str) -> str:
    """Why a connection gave no answer, from ssh's exit code and words."""
    lines = [line.strip().rstrip(".") for line in words.splitlines() if line.strip()]
    last = lines[-1] if lines else "no words"
    if "old python" in words:
        return "python3 there must be 3.9 or newer. Received: an older one"
    if code == _NOT_FOUND:
        return f"python3 must be installed there: sudo apt install python3 python3-venv. Received: {last}"
    if "REMOTE HOST IDENTIFICATION HAS CHANGED" in words:
        return "the host's key is not the one that known_hosts has. Find out why before you trust it; ssh-keygen -R removes the old one"
    if "Host key verification failed" in words:
        return "the host's key is not known yet: connect once by hand with ssh, and compare its fingerprint"
    if "Permission denied" in words:
        return f"ssh was not let in without a password: ssh-copy-id makes it so. Received: {last}"
    if code == 255 and ("Could not resolve" in words or "connect to host" in words):
        return f"the host cannot be reached. Received: {last}"
    return f"the connection ended before the answer (exit code {code}). Received: {last}"
