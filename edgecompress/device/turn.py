"""One benchmark at a time on a machine: two that share its cores would both be wrong.

Whatever measures by itself takes the turn once, around all that it measures: a benchmark of files or of a bundle, by hand, over SSH or as
the end of a run. What is called by it (`benchmark_models`, `measure_bundle`) takes none.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .fault import DeviceFault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# In Linux' abstract namespace: no file, for all users of the machine, and given back by the kernel however its holder ends.
_NAME = "\0edgecompress-benchmark"
_INTERVAL_S = 0.5
_CREDENTIALS = struct.Struct("3i")  # process, user, group


@contextmanager
def turn(*, limit_s: float, on_wait: Callable[[], None], name: str = _NAME) -> Iterator[None]:
    """Holds the machine for one benchmark; waits for another that holds it. Where there is no such lock (macOS), it holds nothing.

    Args:
        limit_s: How long to wait.
        on_wait: Called once if there is something to wait for.
        name: Of the lock.

    Raises:
        DeviceFault: The other benchmark did not end within the limit.
    """
    if sys.platform != "linux":
        yield
        return
    end, waits = time.monotonic() + limit_s, False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as lock:
        while True:
            try:
                lock.bind(name)
                lock.listen()  # so that others can ask who holds it
                break
            except OSError:
                if time.monotonic() >= end:
                    raise DeviceFault(f"another benchmark runs on this machine, and did not end within {limit_s:g} s") from None
            if not waits:
                on_wait()
                waits = True
            time.sleep(_INTERVAL_S)
        yield


def holder(name: str = _NAME) -> str:
    """The process that holds the machine at this moment, in words; "unknown" where it cannot be told, or where it has just ended."""
    if sys.platform != "linux":
        return "unknown"
    with contextlib.suppress(OSError, ValueError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.setblocking(False)  # many may ask, and nobody answers
        line.connect(name)
        process = _CREDENTIALS.unpack(line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))[0]
        if process > 0:  # 0: it lives in another container
            return f"process {process}{_program(process)}"
    return "unknown"


def _program(process: int) -> str:
    """Name of a process in brackets, if it can be read."""
    with contextlib.suppress(OSError), open(f"/proc/{process}/comm", encoding="utf-8", errors="replace") as file:
        return f" ({''.join(letter for letter in file.read() if letter.isprintable())})"
    return ""
