"""Lists as they are written on a command line, with commas between."""

from __future__ import annotations

import re
from typing import TypeVar

import typer

from edgecompress.destination import DESTINATION_PATTERN

MOST_THREADS = 1024
Name = TypeVar("Name", bound=str)
Destinations = TypeVar("Destinations", str, list[str] | None)


def destinations(given: Destinations) -> Destinations:
    """One host or several, as they are, if ssh may be handed them: a slip in a name is no failure of a device."""
    for host in [given] if isinstance(given, str) else given or []:
        if not re.match(DESTINATION_PATTERN, host):
            raise typer.BadParameter(f"a host must be local, or a destination of ssh, such as pi@raspberrypi.local. Received: {host!r}.")
    return given


def thread_counts(text: str) -> list[int]:
    """`1,2,4` as numbers."""
    parts = text.split(",")
    if not all(part.strip().isdecimal() and 0 < int(part) <= MOST_THREADS for part in parts):
        raise typer.BadParameter(f"threads must be whole numbers with commas between, such as 1,2. Received: {text!r}.")
    return [int(part) for part in parts]


def names_of(text: str, known: tuple[Name, ...], expected: str) -> list[Name]:
    """`int8,float32` as names, each once; `expected` begins the error: what must be what."""
    by_word: dict[str, Name] = {name: name for name in known}
    words = [part.strip() for part in text.split(",")]
    if not set(words) <= by_word.keys():
        raise typer.BadParameter(f"{expected}. Received: {text!r}.")
    return [by_word[word] for word in dict.fromkeys(words)]
