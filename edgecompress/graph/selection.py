"""How a recipe names layers: a name, a glob, a regular expression or a class. Free of TensorFlow."""

import difflib
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

from edgecompress.errors import RecipeError

MAX_LISTED = 20  # a message lists so many names at most


def select_layers(layers: Sequence[tuple[str, str]], patterns: Sequence[str], *, field: str = "layers") -> list[str]:
    """Names of the layers that at least one pattern matches.

    A pattern is a layer's name, a glob over names (`conv*`, case matters), `re:REGEX` over whole names, or `type:Dense`
    (the class, exactly). A slow expression is not refused: like a recipe with many epochs, it costs its own run's time only.

    Args:
        layers: (name, class name) of every layer, in the model's order.
        patterns: what the recipe says.
        field: the recipe's key, for messages.

    Returns:
        Names in the model's order, without duplicates.

    Raises:
        RecipeError: a pattern that matches nothing (with near names), or an expression that is not valid.
    """
    wanted: set[str] = set()
    for pattern in patterns:
        matched = _matches(layers, pattern, field)
        if not matched:
            raise RecipeError(_nothing_matched(layers, pattern, field))
        wanted.update(matched)
    return list(dict.fromkeys(name for name, _ in layers if name in wanted))


def _matches(layers: Sequence[tuple[str, str]], pattern: str, field: str) -> list[str]:
    """Names that one pattern matches; a name that happens to look like a pattern still matches itself."""
    if any(name == pattern for name, _ in layers):
        return [pattern]
    if pattern.startswith("type:"):
        return [name for name, kind in layers if kind == pattern.removeprefix("type:")]
    if pattern.startswith("re:"):
        try:
            expression = re.compile(pattern.removeprefix("re:"))
        except (re.error, OverflowError, RecursionError) as error:
            raise RecipeError(f"{field} must be a valid regular expression after re: ({error}). Received: {pattern!r}.") from error
        return [name for name, _ in layers if expression.fullmatch(name)]
    return [name for name, _ in layers if fnmatchcase(name, pattern)]


def _nothing_matched(layers: Sequence[tuple[str, str]], pattern: str, field: str) -> str:
    """The message for a pattern without a match: the nearest name, else what there is."""
    prefix = "type:" if pattern.startswith("type:") else ""
    available = list(dict.fromkeys(prefix + kind if prefix else name for name, kind in layers))
    message = f"{field} must match at least one layer. Received: {pattern!r}."
    if near := difflib.get_close_matches(pattern, available, n=3):
        return f"{message} Did you mean {' or '.join(repr(name) for name in near)}?"
    listed = ", ".join(available[:MAX_LISTED]) + (", ..." if len(available) > MAX_LISTED else "")
    return f"{message} The model has: {listed or 'no layers'}."
