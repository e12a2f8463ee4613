"""The words at the end of an error: what came, and what was probably meant."""

import difflib
from collections.abc import Iterable
from typing import Any

MAX_SHOWN = 80  # characters of a value in a message


def did_you_mean(word: Any, known: Iterable[str]) -> str:
    """` Did you mean 'x'?`, or nothing when no known word is near."""
    near = difflib.get_close_matches(str(word)[:MAX_SHOWN], list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def received(value: Any) -> str:
    """` Received: 'x'.`, shortened: a message is one line."""
    shown = repr(value)
    if len(shown) > MAX_SHOWN:
        shown = shown[:MAX_SHOWN] + "..."
    return f" Received: {shown}."
