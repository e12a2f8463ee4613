"""Functions from a user's own file or module. They run code, so they need leave."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from modulefinder import ModuleFinder
from pathlib import Path
from typing import Any

from edgecompress.errors import EdgeCompressError

MAX_REASON = 300  # characters of what the user's code says when it fails

_own: set[str] = set()  # names of modules that users' code has brought into this process


def call_function(place: str, kind: type[EdgeCompressError], field: str, *, allow_code: bool) -> Any:
    """Imports a file or module and returns what its function gives; see `load_function`."""
    function = load_function(place, kind, field, allow_code=allow_code)
    with _importable(_folder(place)), faults(place, kind, field):
        return function()


def load_function(place: str, kind: type[EdgeCompressError], field: str, *, allow_code: bool) -> Callable[..., Any]:
    """Imports a file or module, as it is on disk now, and returns its function.

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
    with _importable(_folder(place)), faults(place, kind, field), _imported_anew(_modules(place)):
        return _find(module, name, kind, field)


@contextmanager
def faults(place: str, kind: type[EdgeCompressError], field: str) -> Iterator[None]:
    """Turns whatever the user's code raises into an error of `kind` that names `field` and `place`."""
    try:
        yield
    except EdgeCompressError:
        raise
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:MAX_REASON]
        raise kind(f"{field}: {place} must run without an error. Received: {reason}.") from error


def _find(module: str, name: str, kind: type[EdgeCompressError], field: str) -> Callable[..., Any]:
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
    found: Callable[..., Any] = function
    return found


def code_hash(place: str) -> str | None:
    """sha256 of `source_files` and of their names; None where the code is in no file."""
    files = source_files(place)
    if not files:
        return None
    digest, folder = hashlib.sha256(), _folder(place)
    for name, file in sorted((file.relative_to(folder).as_posix() if file.is_relative_to(folder) else file.name, file) for file in files):
        content = file.read_bytes()
        digest.update(f"{name} {len(content)} ".encode())
        digest.update(content)
    return digest.hexdigest()


def source_files(place: str) -> list[Path]:
    """The file of `file.py:function` or `module.path:function`, and those beside it that it imports, at any depth.

    They are looked for, not run; but for a module that is not below the current folder, whose packages are imported.
    """
    return sorted(set(_modules(place).values()))


def _modules(place: str) -> dict[str, Path]:
    """`source_files` by the names that they are imported under."""
    folder, file = _folder(place), _file(place)
    if file is None or not file.is_file():
        return {}
    # What lies elsewhere, Python's own modules and installed ones, is passed over; and we, where we are run from our own folder.
    finder = ModuleFinder(path=[str(folder)], excludes=[__name__.partition(".")[0]])
    module = place.rpartition(":")[0]
    try:
        finder.run_script(str(file)) if module.endswith(".py") else finder.import_hook(module)
    except (SyntaxError, ValueError, OSError, ImportError):  # which importing it will tell better; or it is installed
        return {module: file}
    found = {name: Path(path).resolve() for name, found in finder.modules.items() if (path := getattr(found, "__file__", None))}
    return {module: file, **found}


def _file(place: str) -> Path | None:
    """Where a function is written; None where that is no file."""
    module = place.rpartition(":")[0]
    if module.endswith(".py"):
        return Path(module).expanduser().resolve()
    stem = _folder(place).joinpath(*module.split("."))
    if (near := next((path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.is_file()), None)) is not None:
        return near
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec is not None and spec.has_location and spec.origin is not None else None


def _folder(place: str) -> Path:
    """What imports of a user's code start from: the folder of its file, or the current one."""
    module = place.rpartition(":")[0]
    return Path(module).expanduser().resolve().parent if module.endswith(".py") else Path.cwd()


@contextmanager
def _imported_anew(modules: Mapping[str, Path]) -> Iterator[None]:
    """Lets Python read these files again: they may have changed since, and another project may have modules of the same names."""
    importlib.invalidate_caches()
    for name, path in modules.items():
        file = getattr(sys.modules.get(name), "__file__", None)
        if name != "__main__" and (name in _own or (file and Path(file).resolve() == path)):
            sys.modules.pop(name, None)
    fresh = modules.keys() - sys.modules.keys()  # a module of Python's own that has the name of a file here stays what it is
    try:
        yield
    finally:
        _own.update(fresh)


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Puts a folder first where Python looks for modules."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
