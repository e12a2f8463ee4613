"""One benchmark at a time on a machine: two that share its cores would both be wrong."""

from __future__ import annotations

import socket
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
                break
            except OSError:
                if time.monotonic() >= end:
                    raise DeviceFault(f"another benchmark runs on this machine, and did not end within {limit_s:g} s") from None
            if not waits:
                on_wait()
                waits = True
            time.sleep(_INTERVAL_S)
        yield
