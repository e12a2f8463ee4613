"""Where a command's words go: results to standard output, everything else to standard error."""

from __future__ import annotations

import errno
import json
import os
import sys
from pathlib import Path
from typing import Any

from edgecompress.errors import StorageError
from edgecompress.store import storage_errors, write_atomic

STANDARD_OUTPUT = Path("-")
PIPED_WIDTH = 140  # columns, where there is no terminal to ask


def show(*values: Any) -> None:
    """Prints text and tables to standard output."""
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)
    for value in values:
        console.print(value, soft_wrap=isinstance(value, str))


def say(line: str, *, style: str = "") -> None:
    """Prints a line to standard error."""
    from rich.console import Console

    Console(stderr=True, highlight=False, markup=False, emoji=False).print(line, style=style, soft_wrap=True)


def show_json(value: Any, file: Path = STANDARD_OUTPUT) -> None:
    """Writes one JSON object to a file, or prints it."""
    from edgecompress.report.json_file import json_value

    text = json.dumps(json_value(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    if file == STANDARD_OUTPUT:
        sys.stdout.write(text)
    else:
        write_atomic(file, text)


def check_place(file: Path, *inputs: Path | None, suffix: str | None = None) -> None:
    """Refuses a place where no file can be, or where another file would be lost: before the work that the file is for, not after it.

    Args:
        file: to be written.
        inputs: what the command reads; None: nothing.
        suffix: of all files that may be replaced, where one of another kind is likely a slip; None: any may.

    Raises:
        StorageError: the folder does not exist, a folder has the name, or a file that must stay.
    """
    with storage_errors(file):
        os.stat(os.path.join(file.parent, ""))  # with a slash at its end, a file is no folder
        if file.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not file.exists():
        return
    if any(given.exists() and file.samefile(given) for given in inputs if given is not None):
        raise StorageError(f"{file}: the file to write must not be one that the command reads.")
    if suffix is not None and file.suffix.lower() != suffix:
        raise StorageError(
            f"{file}: a file that is replaced must be a {suffix} file. Received: {file.suffix or 'a name without an ending'}."
        )
