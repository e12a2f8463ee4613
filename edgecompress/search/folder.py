"""The folder of a search: one call at a time writes its results, any number of workers may help it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from edgecompress.errors import RecipeError, RunLocked
from edgecompress.store import LOCK_FILE, SEARCH_FILES, RunFolder, refuse_foreign, storage_errors

LOG, RESULT, STUDY = SEARCH_FILES
CACHE = "cache"


@contextmanager
def search_folder(path: Path, name: str, *, worker: bool) -> Iterator[None]:
    """The folder of a search, made where there is none.

    Args:
        path: of the folder.
        name: of the search.
        worker: only try recipes, beside others: what they share, the study and the cache, is made for many, and nothing else is written.
            Without it the folder is held alone from entry to exit.

    Raises:
        RunLocked: another call without `worker` holds it.
        RecipeError: another search has its results there.
        StorageError: it cannot be written, or holds what no search has put there.
    """
    with storage_errors(path):
        if any((path / own).exists() for own in (*SEARCH_FILES, CACHE)):
            (path / LOCK_FILE).touch()  # of before a search held its folder
        if worker:
            refuse_foreign(path, for_search=True)
            path.mkdir(parents=True, exist_ok=True)
            (path / LOCK_FILE).touch()  # where a worker comes first, the folder is no stranger's to the search
    if worker:
        _refuse_other(path, name)
        yield
        return
    with ExitStack() as held:
        try:
            held.enter_context(RunFolder(path, for_search=True))
        except RunLocked as error:
            expected = "another search is using this folder. Help it with --worker, wait for it, or choose another with --out."
            raise RunLocked(f"{path}: {expected}") from error
        _refuse_other(path, name)
        yield


def _refuse_other(path: Path, name: str) -> None:
    """Raises RecipeError where the results are of another search: they would lie among those of this one."""
    try:
        found = json.loads((path / RESULT).read_text())["name"]
    except (OSError, ValueError, LookupError, TypeError):  # none, or damaged: they are written anew
        return
    if found != name:
        raise RecipeError(f"{path}: the folder must be of the search {name}; choose another with --out. Received: one of {found}.")
