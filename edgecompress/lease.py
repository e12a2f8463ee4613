"""Which search may use this machine: many may train at once, or one, or a latency table, may measure times; never both."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

WAITS = "waiting to measure: another search trains or measures on this machine"


@contextmanager
def training() -> Iterator[None]:
    """The machine shared with other trainings, from entry to exit; waits for a measurement that is under way or waits."""
    with ExitStack() as held:
        with _held("gate", exclusive=False):  # closed while a measurement waits, so that trainings cannot keep it waiting for ever
            held.enter_context(_held("machine", exclusive=False))
        yield


@contextmanager
def measuring(say: Callable[[str], None]) -> Iterator[None]:
    """The machine alone; waits for every training of a search to end, which may take long, so `say` is told."""
    once = cache(say)  # both locks may be held by others
    with _held("gate", exclusive=True, say=once), _held("machine", exclusive=True, say=once):
        yield


@contextmanager
def _held(name: str, *, exclusive: bool, say: Callable[[str], None] = lambda line: None) -> Iterator[None]:
    """A lock of this user on this machine, which the system gives back however its holder ends. Where there are none, nothing is held."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    path = Path(tempfile.gettempdir()) / f"edgecompress-{os.getuid()}-{name}.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    kind = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    try:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            say(WAITS)
            fcntl.flock(descriptor, kind)
        yield
    finally:
        os.close(descriptor)
