"""The words at the end of an error: what came, and what was probably meant."""

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

MIN_PART = 3  # a shorter part of a name says nothing
MAX_SHOWN = 80  # characters of a value in a message


def did_you_mean(word: Any, known: Iterable[str]) -> str:
    """` Did you mean 'x'?`, or nothing when no known word is near."""
    written, names = str(word)[:MAX_SHOWN], list(known)
    near = difflib.get_close_matches(written, names, n=1) or [name for name in names if len(written) >= MIN_PART and written in name]
    return f" Did you mean {near[0]!r}?" if near else ""


def near_path(path: Path) -> str:
    """Did-you-mean for a path where nothing is, among what lies in its folder."""
    try:
        return did_you_mean(path.name, sorted(entry.name for entry in path.parent.iterdir()))
    except OSError:  # there is no such folder either
        return ""


def received(value: Any) -> str:
    """` Received: 'x'.`, shortened: a message is one line."""
    shown = repr(value)
    return f" Received: {shown}." if len(shown) <= MAX_SHOWN else f" Received: {shown[:MAX_SHOWN]}..."
