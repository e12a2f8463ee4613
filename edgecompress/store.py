"""The run folder: one writer at a time, atomic files, finished stages kept, half-finished ones continued."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgecompress.errors import RunLocked, StorageError

STORAGE_ERRORS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "a limit on file sizes is reached",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission is denied",
    errno.EPERM: "permission is denied",
    errno.EEXIST: "a file is in the way",
    errno.ENOTDIR: "a part of the path is a file",
}


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turns an OSError about storage into a StorageError that names `path`."""
    try:
        yield
    except OSError as error:
        if error.errno not in STORAGE_ERRORS:
            raise
        raise StorageError(f"{path}: cannot be written: {STORAGE_ERRORS[error.errno]}") from error


def write_atomic(path: Path, content: bytes | str) -> None:
    """Writes a file so that `path` holds either all of `content` or what it held before, also after a power cut.

    Raises:
        StorageError: the disk is full or read-only.
    """
    data = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with storage_errors(path):
        try:
            with open(temporary, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def content_key(*parts: Any) -> str:
    """sha256 over the JSON form of `parts`: equal inputs give equal keys in every process."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, separators=(",", ":"), default=str).encode()).hexdigest()


@dataclass(frozen=True)
class StageFolder:
    """Where one stage is kept. `final` exists only when the stage is finished; `partial` is where it works."""

    final: Path
    partial: Path
    key: str

    def finished(self) -> dict[str, Any] | None:
        """The record of the finished stage, if there is one with this key."""
        record = _read_json(self.final / "record.json")
        return record if record is not None and record.get("key") == self.key else None

    def begin(self) -> Path:
        """The working folder: continued when a killed run left one with this key, else empty."""
        with storage_errors(self.partial):
            if (self.partial / "key").exists() and (self.partial / "key").read_text() != self.key:
                shutil.rmtree(self.partial)
            self.partial.mkdir(parents=True, exist_ok=True)
            write_atomic(self.partial / "key", self.key)
        return self.partial

    def commit(self, record: dict[str, Any]) -> None:
        """Gives the working folder its final name. The record goes last, so a folder with a record is whole."""
        write_atomic(self.partial / "record.json", json.dumps({**record, "key": self.key}, indent=1))
        (self.partial / "key").unlink(missing_ok=True)
        with storage_errors(self.final):
            if self.final.exists():
                shutil.rmtree(self.final)
            os.replace(self.partial, self.final)


def _read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file; None if it is missing or damaged, which only means: do the work again."""
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


class RunFolder:
    """`runs/<name>/`, held by one process from entry to exit.

    Raises:
        RunLocked: another process holds it.
        StorageError: it cannot be written.
    """

    def __init__(self, path: Path, *, fresh: bool = False) -> None:
        self.path = path
        self._fresh = fresh
        self._lock: int | None = None

    def __enter__(self) -> RunFolder:
        with storage_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            # Not inherited by child processes (PEP 446), and released by the system when the process dies.
            self._lock = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        if not _lock_file(self._lock):
            os.close(self._lock)
            raise RunLocked(f"{self.path}: another process is using this run folder. Wait for it, or choose another with --out.")
        if self._fresh:
            shutil.rmtree(self.path / "stages", ignore_errors=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            os.close(self._lock)

    def stage(self, index: int, technique: str, key: str) -> StageFolder:
        name = f"{index:02d}-{technique}"
        return StageFolder(self.path / "stages" / name, self.path / "stages" / f".{name}.partial", key)

    def discard_stages_after(self, last: int) -> None:
        """Removes what an earlier, longer recipe left behind."""
        for folder in (self.path / "stages").glob("*"):
            if folder.name.lstrip(".")[:2].isdigit() and int(folder.name.lstrip(".")[:2]) > last:
                shutil.rmtree(folder, ignore_errors=True)

    def write(self, name: str, content: bytes | str) -> Path:
        """Writes one file of the folder atomically; returns its path."""
        write_atomic(self.path / name, content)
        return self.path / name


def _lock_file(descriptor: int) -> bool:
    """Takes an exclusive lock without waiting; False if another process has it."""
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except OSError:
            return False
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
