"""Functions from a user's own file or module. They run code, so they need leave."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgecompress.errors import EdgeCompressError

MAX_REASON = 300  # characters of what the user's code says when it fails


def call_function(place: str, kind: type[EdgeCompressError], field: str, *, allow_code: bool) -> Any:
    """Imports a file or module and returns what its function gives.

    A file's own folder can be imported from while this runs, as if Python had been started there.

    Args:
        place: `file.py:function`, or `module.path:function`.
        kind: of the errors.
        field: the recipe's key, for messages.
        allow_code: whether code may run at all.

    Raises:
        EdgeCompressError: of `kind`: no leave, nothing there, or what the code itself raised.
    """
    if not allow_code:
        raise kind(f"{field}: {place} is code that would run here. If you trust it, allow it with --allow-code.")
    module, _, name = place.rpartition(":")
    if not module or not name:
        raise kind(f"{field}: must be file.py:function or module.path:function. Received: {place!r}.")
    folder = Path(module).expanduser().resolve().parent if module.endswith(".py") else Path.cwd()
    with _importable(folder):
        try:
            function = _find(module, name, kind, field)
            return function()
        except EdgeCompressError:
            raise
        except Exception as error:  # whatever the user's code raises
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:MAX_REASON]
            raise kind(f"{field}: {place} must run without an error. Received: {reason}.") from error


def _find(module: str, name: str, kind: type[EdgeCompressError], field: str) -> Callable[[], Any]:
    """The function itself."""
    if module.endswith(".py"):
        path = Path(module).expanduser()
        if not path.is_file():
            raise kind(f"{field}: {path}: must be a Python file. Received: nothing is there.")
        spec = importlib.util.spec_from_file_location(f"edgecompress_user_code_{path.stem}", path)
        if spec is None or spec.loader is None:
            raise kind(f"{field}: {path}: must be a Python file. Received: something that cannot be imported.")
        loaded = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded)
    else:
        loaded = importlib.import_module(module)
    function = getattr(loaded, name, None)
    if not callable(function):
        known = ", ".join(key for key, value in vars(loaded).items() if callable(value) and not key.startswith("_")) or "none"
        raise kind(f"{field}: {module}: must have a function {name!r}. Received: {known}.")
    found: Callable[[], Any] = function
    return found


def source_file(place: str) -> Path | None:
    """The file that holds `file.py:function` or `module.path:function`; None where there is none. Packages on the way are imported."""
    module, _, _ = place.rpartition(":")
    if module.endswith(".py"):
        return Path(module).expanduser()
    with _importable(Path.cwd()):
        spec = importlib.util.find_spec(module)
    return Path(spec.origin) if spec is not None and spec.origin is not None else None


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Puts a folder first where Python looks for modules."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
