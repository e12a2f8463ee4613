"""The run folder: one writer at a time, atomic files, finished stages kept, half-finished ones continued."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from edgecompress.errors import RunLocked, StorageError

LOCK_FILE, LOG_FILE, STAGES = ".lock", "run.log", "stages"
RECIPE_FILE = "recipe.lock.yaml"  # the resolved recipe of the results beside it
SEARCH_FILES = ("search.log", "search.json", "study.db")  # of a search, which holds its folder as a run does
UNFINISHED = ".*.*.tmp"  # how `write_atomic` and golden files name what is not whole yet
STAGE_NAME = re.compile(r"\d{2,}-\w+|\.\d{2,}-\w+\.partial")
KEY_FILE = "key"
TRAINING_FILE = "training.npz"  # the state of a training after its last whole epoch
CURVES = "tensorboard"  # in the folder of a stage: event files of its trainings
WORK_FOLDER = "work"  # in the folder of a stage: what only a continuation needs beside that, such as a finished teacher
STORAGE_ERRORS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "a limit on file sizes is reached",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission is denied",
    errno.EPERM: "permission is denied",
    errno.EEXIST: "a file is in the way",
    errno.EISDIR: "a folder is in the way",
    errno.ENOENT: "a folder of the path does not exist",
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
        raise StorageError(f"{path}: cannot be written: {STORAGE_ERRORS[error.errno]}.") from error


def write_atomic(path: Path, content: bytes | memoryview | str) -> None:
    """Writes a file so that `path` holds either all of `content` or what it held before, also after a power cut.

    Raises:
        StorageError: the disk is full or read-only.
    """
    data = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")  # a process number is not one's own: each container has its first
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
    fresh: bool = False

    @contextmanager
    def claimed(self) -> Iterator[StageFolder]:
        """Nobody else works in the folder that it gives, from entry to exit. Here whoever holds the run folder has seen to that."""
        yield self

    def finished(self) -> dict[str, Any] | None:
        """The record of the finished stage, if there is one with this key that may be used."""
        if self.fresh:
            return None
        record = _read_json(self.final / "record.json")
        return record if record is not None and record.get("key") == self.key else None

    def begin(self) -> Path:
        """The working folder: continued when a killed run left one with this key, else empty."""
        with storage_errors(self.partial):
            if self.partial.exists() and (self.fresh or _read_text(self.partial / KEY_FILE) != self.key):
                shutil.rmtree(self.partial)
            self.partial.mkdir(parents=True, exist_ok=True)
            write_atomic(self.partial / KEY_FILE, self.key)
        return self.partial

    def commit(self, record: dict[str, Any]) -> None:
        """Gives the working folder its final name, then drops what only a continuation needs: a kill in between loses nothing."""
        write_atomic(self.partial / "record.json", json.dumps({**record, "key": self.key}, indent=1))
        with storage_errors(self.final):
            if self.final.exists():
                shutil.rmtree(self.final)
            os.replace(self.partial, self.final)
        for name in (KEY_FILE, TRAINING_FILE):
            (self.final / name).unlink(missing_ok=True)
        shutil.rmtree(self.final / WORK_FOLDER, ignore_errors=True)


def _read_text(path: Path) -> str | None:
    """The text of a file; None if there is none."""
    try:
        return path.read_text()
    except OSError:
        return None


def _read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file; None if it is missing or damaged, which only means: do the work again."""
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


class Stages(Protocol):
    """Where stages are kept: a run folder, or a cache that several runs share."""

    @property
    def sensitivities(self) -> Path | None:
        """A folder for sensitivities that several lines measure alike; None: each stage keeps its own."""

    def stage(self, index: int, technique: str, key: str) -> StageFolder:
        """Where stage `index` is kept, and works."""


def refuse_foreign(path: Path, *, for_search: bool) -> None:
    """Leaves a folder alone whose files are somebody else's. Stages alone may be there: a search lends them to its last run.

    Args:
        path: of a folder that need not be there.
        for_search: it is to be that of a search, else of a run.

    Raises:
        StorageError: files are there, and none of that kind has held the folder.
    """
    names = sorted(os.listdir(path)) if path.exists() else []
    others = {RECIPE_FILE} if for_search else set(SEARCH_FILES)
    foreign = [name for name in names if name in others]
    if names and not {LOCK_FILE, RECIPE_FILE} & set(names) and names != [STAGES]:
        foreign = foreign or names
    if foreign:
        kind = "search" if for_search else "run"
        raise StorageError(
            f"{path}: the {kind} folder must be new, empty or of an earlier {kind}. Received: a folder that holds {foreign[0]!r}"
            f"{f' and {len(names) - 1} more' if names[1:] else ''}. Choose another with --out."
        )


class RunFolder:
    """`runs/<name>/`, held by one process from entry to exit. A folder that was made for nothing is removed again, with those around it.

    Args:
        path: made if missing.
        fresh: stages of earlier calls are not used; each is replaced when it is done again.
        for_search: the folder is that of a search; its files and those of a run never lie beside each other.

    Raises:
        RunLocked: another process holds it.
        StorageError: it cannot be written, or holds what no run has put there.
    """

    def __init__(self, path: Path, *, fresh: bool = False, for_search: bool = False) -> None:
        self.path = path
        self._fresh, self._for_search = fresh, for_search
        self._lock: int | None = None
        self._made: list[Path] = []

    def __enter__(self) -> RunFolder:
        with storage_errors(self.path):
            refuse_foreign(self.path, for_search=self._for_search)
            self._made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]  # the innermost first
            self.path.mkdir(parents=True, exist_ok=True)
            # Not inherited by child processes (PEP 446), and released by the system when the process dies.
            self._lock = os.open(self.path / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
        if not _lock_file(self._lock):
            os.close(self._lock)
            raise RunLocked(f"{self.path}: another process is using this run folder. Wait for it, or choose another with --out.")
        for folder in (self.path, self.path / STAGES, *self._stage_folders()):
            for unfinished in folder.glob(UNFINISHED):  # of a process that was killed while it wrote
                unfinished.unlink(missing_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            if {path.name for path in self.path.iterdir()} <= {LOCK_FILE, LOG_FILE}:
                for name in (LOCK_FILE, LOG_FILE):
                    (self.path / name).unlink(missing_ok=True)
                for folder in self._made:
                    folder.rmdir()  # fails where another run has moved in
        if self._lock is not None:
            os.close(self._lock)

    def _stage_folders(self) -> list[Path]:
        """The stages, finished or not; nothing that somebody else has put beside them."""
        return [folder for folder in (self.path / STAGES).glob("*") if STAGE_NAME.fullmatch(folder.name)]

    @property
    def sensitivities(self) -> None:
        """A run measures nothing twice."""

    @property
    def log(self) -> Path:
        """Where the noise goes."""
        return self.path / LOG_FILE

    def stage(self, index: int, technique: str, key: str) -> StageFolder:
        """Where stage `index` is kept, and works."""
        name = stage_name(index, technique)
        return StageFolder(self.path / STAGES / name, self.path / STAGES / f".{name}.partial", key, self._fresh)

    def keep_only(self, names: Collection[str]) -> None:
        """Removes the stages that an earlier, different recipe left behind."""
        for folder in self._stage_folders():
            if folder.name not in names:
                shutil.rmtree(folder, ignore_errors=True)

    def write(self, name: str, content: bytes | str) -> Path:
        """Writes one file of the folder atomically; returns its path."""
        write_atomic(self.path / name, content)
        return self.path / name

    def locked_recipe(self) -> str | None:
        """Text of `recipe.lock.yaml`, of this call or an earlier one."""
        return _read_text(self.path / RECIPE_FILE)

    def lock_recipe(self, text: str, results: Iterable[str]) -> None:
        """Writes `recipe.lock.yaml`. Where it says something new, the results of an earlier call go first: they are of another recipe."""
        if self.locked_recipe() != text:
            self.remove(results)
        self.write(RECIPE_FILE, text)

    def remove(self, names: Iterable[str]) -> None:
        """Removes files of an earlier call, so that old and new results never lie side by side."""
        for name in names:
            (self.path / name).unlink(missing_ok=True)


def stage_name(index: int, technique: str) -> str:
    """Name of a stage's folder below `stages/`."""
    return f"{index:02d}-{technique}"


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
