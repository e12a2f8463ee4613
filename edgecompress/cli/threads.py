"""Numbers of threads as they are written on a command line."""

from __future__ import annotations

import typer

MOST = 1024


def thread_counts(text: str) -> list[int]:
    """`1,2,4` as numbers."""
    parts = text.split(",")
    if not all(part.strip().isdecimal() and 0 < int(part) <= MOST for part in parts):
        raise typer.BadParameter(f"threads must be whole numbers with commas between, such as 1,2. Received: {text!r}.")
    return [int(part) for part in parts]
