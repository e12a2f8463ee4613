"""The child's end of the line to its parent: messages up, commands down, and the end of both together."""

from __future__ import annotations

import ctypes
import json
import os
import queue
import signal
import sys
import threading
from typing import Any

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Line:
    """The line to the parent: messages up, commands down."""

    def __init__(self, message_file: int) -> None:
        self._message_file = message_file
        self._commands: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        """Passes on what comes from the parent; when the parent is gone, ends this process and all it started."""
        unread = b""
        while True:
            received = os.read(0, 1 << 16)  # not sys.stdin: its lock would be held when the process ends
            if not received:
                os.killpg(0, signal.SIGKILL)
            *lines, unread = (unread + received).split(b"\n")
            for line in lines:
                self._commands.put(json.loads(line))

    def next_command(self) -> dict[str, Any]:
        """Waits for the next message of the parent."""
        return self._commands.get()

    def enter_phase(self, words: str) -> None:
        """What happens from now on, for the reason of a crash: "the runtime crashed while {words}"."""
        self._send({"phase": words})

    def progress(self, **values: Any) -> None:
        """How far the job is."""
        self._send({"progress": values})

    def answer(self, values: dict[str, Any]) -> None:
        """A result."""
        self._send({"answer": values})

    def fail(self, reason: str) -> None:
        """The job failed."""
        self._send({"error": reason})

    def _send(self, message: dict[str, Any]) -> None:
        """Writes one line; a parent that is gone ends this process by itself."""
        line = memoryview(json.dumps(message).encode() + b"\n")
        while line:
            line = line[os.write(self._message_file, line) :]


def end_with_parent(parent_process: int) -> None:
    """Has Linux kill this process when the parent's thread that started it ends, however it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent_process:  # it died before the call
            os._exit(1)
