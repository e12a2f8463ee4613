"""`--goal size_kb=60 --goal p95_ms=5@pi4`: the limits of a `goal:` block as words of a command line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from edgecompress.destination import DESTINATION_PATTERN
from edgecompress.errors import RecipeError
from edgecompress.recipe.load import make_section
from edgecompress.recipe.schema import Goal
from edgecompress.recipe.section import parse_number
from edgecompress.recipe.suggestions import did_you_mean, received

OPTION = "--goal"
TIMES = ("p50_ms", "p95_ms")  # limits that may name a host


def parse_goals(words: Iterable[str]) -> dict[str, Any]:
    """`["size_kb=60", "p95_ms=5@pi4"]` to `{"size_kb": 60.0, "p95_ms": {"limit": 5.0, "host": "pi4"}}`.

    Args:
        words: NAME=NUMBER, of a time NAME=NUMBER@HOST too; a number may be a fraction such as 1/200.

    Raises:
        RecipeError: another form, a name that is no goal, one that is given twice, or a value that it does not take.
    """
    found: dict[str, Any] = {}
    for word in words:
        name, equals, text = (part.strip() for part in word.partition("="))
        if not equals or not name or not text:
            raise RecipeError(f"{OPTION}: goal must be NAME=NUMBER, such as size_kb=60 or p95_ms=5@pi4.{received(word)}")
        if name not in Goal.model_fields:
            names = ", ".join(Goal.model_fields)
            raise RecipeError(f"{OPTION}: goal must be one of {names}.{received(name)}{did_you_mean(name, Goal.model_fields)}")
        if name in found:
            raise RecipeError(f"{OPTION}: {name} must be given once.{received(word)}")
        found[name] = _limit(name, text)
    check_goal(found)
    return found


def check_goal(values: Mapping[str, Any]) -> Goal:
    """The limits as a recipe holds them.

    Raises:
        RecipeError: everything that is wrong, one line each.
    """
    return make_section(Goal, "goal", values)


def _limit(name: str, text: str) -> Any:
    """A number, or the mapping of a time on a host."""
    number, at, host = (part.strip() for part in text.partition("@"))
    if at and name not in TIMES:
        raise RecipeError(f"{OPTION}: {name}: host must be given for {' and '.join(TIMES)} only.{received(text)}")
    if at and not re.match(DESTINATION_PATTERN, host):
        raise RecipeError(f"{OPTION}: {name}: host must be local, or a destination of ssh such as pi@raspberrypi.local.{received(host)}")
    return {"limit": _number(name, number), "host": host} if at else _number(name, number)


def _number(name: str, text: str) -> float:
    try:
        return float(parse_number(text))
    except ValueError:
        unit = f" in {name.rsplit('_', 1)[1]}" if name.endswith(("_ms", "_kb")) else ""
        raise RecipeError(f"{OPTION}: {name}: limit must be a number{unit}, without its unit.{received(text)}") from None
