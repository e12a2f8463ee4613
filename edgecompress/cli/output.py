"""Where a command's words go: results to standard output, everything else to standard error."""

from __future__ import annotations

import json
import os
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecompress.store import write_atomic

if TYPE_CHECKING:
    from edgecompress.progress import Progress

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


def without_noise() -> AbstractContextManager[None]:
    """Keeps TensorFlow's own words off the terminal, for commands that have no run folder to log them to."""
    from edgecompress.quiet import noise_to

    return noise_to(Path(os.devnull))


def visible_progress(quiet: bool = False) -> Progress:
    """Bars on standard error if that is a terminal; silence with `quiet`."""
    from rich.console import Console

    from edgecompress.progress import Progress, TerminalProgress

    return Progress() if quiet else TerminalProgress(Console(stderr=True))
