"""Stages under a key of their content, shared by all trials, and by workers on several machines where the folder is."""

from __future__ import annotations

import errno
import json
import os
import platform
import shutil
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from edgecompress.lease import training
from edgecompress.store import STAGES, StageFolder, stage_name, storage_errors

KEY_CHARACTERS = 40  # of the sha256 in a folder's name; the whole key stands in the record
MOST_RECENT = 8  # stages in memory: the baseline, a trial's own, and those of what it brings along
NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)

Found = TypeVar("Found")


@dataclass(frozen=True)
class SharedStageFolder(StageFolder):
    """A stage that several processes may want at once.

    One of them works, the others wait and take its result. Where the file system has no locks each works for itself, where it has none
    between hosts each host does, and the first to finish wins. Results are written aside and renamed, so that nobody takes half of one for
    the whole.

    Attributes:
        trains: the work loads the machine, so it begins when no latency is measured there.
    """

    trains: bool = True

    @contextmanager
    def claimed(self) -> Iterator[StageFolder]:
        """Waits until no other process works on this stage; the system releases the claim of one that dies."""
        lock = self.final.with_name(f".{self.final.name}.lock")
        with storage_errors(lock):
            lock.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            if _wait_for(descriptor):
                with training() if self.trains else nullcontext():
                    yield self
                return
            own = self.partial.with_name(f"{self.partial.name}.{uuid.uuid4().hex}")
            try:
                with training() if self.trains else nullcontext():
                    yield replace(self, partial=own)
            finally:
                shutil.rmtree(own, ignore_errors=True)
        finally:
            os.close(descriptor)

    def begin(self) -> Path:
        """The working folder, continued where a killed worker left it. What stands under the final name is damaged, so it goes."""
        if self.final.exists():
            aside = self.final.with_name(f".{self.final.name}.{uuid.uuid4().hex}.old")
            os.replace(self.final, aside)
            shutil.rmtree(aside, ignore_errors=True)
        return super().begin()

    def commit(self, record: dict[str, Any]) -> None:
        """Gives the working folder its final name, unless another was faster."""
        if self.finished() is None:
            super().commit(record)


class Recent:
    """The models that a process worked with last, so that it does not read again what it has just written."""

    def __init__(self) -> None:
        self._found: OrderedDict[str, Any] = OrderedDict()

    def take(self, key: str, work: Callable[[], Found]) -> Found:
        """What is kept under a key; if nothing is, what `work` gives. What was not asked for longest goes."""
        if key not in self._found:
            self._found[key] = work()
        self._found.move_to_end(key)
        while len(self._found) > MOST_RECENT:
            self._found.popitem(last=False)
        found: Found = self._found[key]
        return found


class StageCache:
    """A folder of finished stages; any number of processes may use it.

    Attributes:
        recent: the last of them, in memory.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.recent = path, Recent()

    @property
    def sensitivities(self) -> Path:
        """Where sensitivities are kept: trials that differ in how much goes measure the same curves."""
        return self.path / "sensitivities"

    def stage(self, index: int, technique: str, key: str) -> StageFolder:
        """Where a stage is kept. Its index is part of the key already."""
        return self.place(key, trains=True)

    def place(self, key: str, *, trains: bool) -> SharedStageFolder:
        """Where anything is kept."""
        name = key[:KEY_CHARACTERS]
        folder = self.path / name[:2]
        partial = folder / f".{name}.{platform.node()}.partial"  # on some network mounts a lock is known to its own host only
        return SharedStageFolder(folder / name, partial, key, trains=trains)

    def borrow(self, run: Path) -> None:
        """Copies the finished stages of a run folder that are not here yet."""
        for record in sorted((run / STAGES).glob("*/record.json")):
            key = str(json.loads(record.read_text()).get("key"))
            with self.place(key, trains=False).claimed() as mine:
                if mine.finished() is None:
                    shutil.copytree(record.parent, mine.begin(), dirs_exist_ok=True)
                    mine.commit({name: value for name, value in json.loads(record.read_text()).items() if name != "key"})

    def lend(self, stages: Sequence[tuple[int, str, str]], run: Path) -> None:
        """Copies finished stages into a run folder, so that a run of the same recipe begins where they end.

        Args:
            stages: (index, technique, key) of each.
            run: the run folder; made if missing.
        """
        for index, technique, key in stages:
            found = self.stage(index, technique, key)
            target = run / STAGES / stage_name(index, technique)
            if found.finished() is None or StageFolder(target, target, key).finished() is not None:
                continue
            with storage_errors(target):
                shutil.rmtree(target, ignore_errors=True)
                shutil.copytree(found.final, target)


def _wait_for(descriptor: int) -> bool:
    """Takes an exclusive lock; False where the file system has none."""
    try:
        import fcntl
    except ImportError:  # Windows
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        return False
    return True
