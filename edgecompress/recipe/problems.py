"""What pydantic found wrong with a recipe, in the words of the user: file, line, path, expectation, value, near name."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from edgecompress.errors import RecipeError
from edgecompress.recipe.expectations import Schema, expected, resolved
from edgecompress.recipe.nodes import KeyPath, Node, dotted, nearest
from edgecompress.recipe.schema import Recipe
from edgecompress.recipe.suggestions import did_you_mean, received

MAX_PROBLEMS = 20  # in one message


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong at one key."""

    path: KeyPath
    text: str


def messages(problems: Iterable[Problem], root: Node | None) -> list[str]:
    """One line for each problem, in the order of the files' lines.

    Args:
        problems: what was found.
        root: the recipe as read, which knows the places; None for a recipe that was made in Python.
    """
    placed = [(nearest(root, problem.path) if root else None, problem) for problem in problems]
    placed.sort(key=lambda pair: (pair[0].file, pair[0].line or 0) if pair[0] else ("", 0))
    parts = [(node.place if node else "", dotted(problem.path), problem.text) for node, problem in placed]
    return list(dict.fromkeys(": ".join(filter(None, line)) for line in parts))


def recipe_error(problems: Iterable[Problem], root: Node | None) -> RecipeError:
    """One error that names every problem."""
    lines = messages(problems, root)
    if len(lines) > MAX_PROBLEMS:
        lines = [*lines[:MAX_PROBLEMS], f"... and {len(lines) - MAX_PROBLEMS} more."]
    return RecipeError("\n".join(lines))


def problems_of(error: ValidationError, values: Any) -> list[Problem]:
    """pydantic's findings without its jargon; names of union members are no part of a path.

    Args:
        error: what pydantic raised.
        values: what it was given.

    Returns:
        One problem for a value that fits no form of a union, or those of the form that it comes nearest to.
    """
    faults = error.errors(include_url=False)
    places = [_follow(fault["loc"], values) for fault in faults]
    parents = {place.path[:depth] for place in places for depth in range(len(place.path))}
    found = [_problem(fault, place) for fault, place in zip(faults, places, strict=True) if not (place.is_union and place.path in parents)]
    return list(dict.fromkeys(found))


@dataclass(frozen=True)
class _Place:
    """Where pydantic found a fault.

    Attributes:
        path: in the recipe, without the names of union members.
        schema: there.
        known: the keys known beside it.
        is_union: the value has a form that one of several members of a union does not take.
    """

    path: KeyPath
    schema: Schema
    known: list[str]
    is_union: bool


def _problem(fault: Any, place: _Place) -> Problem:
    path, schema, known = place.path, place.schema, place.known
    kind, name = fault["type"], _name(path)
    if kind == "value_error":
        return Problem(path, f"{fault['ctx']['error']}.".replace("..", ".").replace("?.", "?"))
    if kind == "missing":
        return Problem(path, f"{name} must be given: {expected(schema, _schema()['$defs'])}. Received: nothing.")
    if kind == "extra_forbidden":
        keys = [key for key in known if key != "technique"]
        return Problem(path, f"key must be one of {', '.join(keys)}.{received(path[-1])}{did_you_mean(path[-1], keys)}")
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return _union_problem(path, schema, fault)
    return Problem(path, f"{name} must be {expected(schema, _schema()['$defs'])}.{received(fault['input'])}{_hint(schema, fault['input'])}")


def _hint(schema: Schema, value: Any) -> str:
    """The word of the schema that a text was probably meant to be; quotes for a number that was probably meant as text."""
    options = _options(schema)
    if isinstance(value, str):
        words = [word for option in options for word in option.get("enum", [option.get("const")])]
        return did_you_mean(value, [word for word in words if isinstance(word, str)])
    text = json.dumps(value) if isinstance(value, bool | int | float) else None
    texts = [option for option in options if option.get("type") == "string" and "enum" not in option]
    is_text = text is not None and any(re.search(option.get("pattern", ""), text) for option in texts)
    return f" As text it stands in quotes: {text!r}." if is_text else ""


def _options(schema: Schema) -> list[Schema]:
    """The forms that a value can have."""
    schema = resolved(schema, _schema()["$defs"])
    return [resolved(option, _schema()["$defs"]) for option in schema.get("anyOf", [schema])]


def _union_problem(path: KeyPath, schema: Schema, fault: Any) -> Problem:
    """A stage or a model that does not say which it is."""
    discriminator = _discriminator(schema)
    key, names = discriminator["propertyName"], list(discriminator["mapping"])
    if key != "technique":
        path = (*path, key)
    if fault["type"] == "union_tag_not_found":
        return Problem(path, f"{key} must be given: one of {', '.join(names)}. Received: nothing.")
    tag = fault["ctx"]["tag"]
    return Problem(path, f"{key} must be one of {', '.join(names)}.{received(tag)}{did_you_mean(tag, names)}")


def _discriminator(schema: Schema) -> Schema:
    """What tells the members of a union apart; the union may be one of several forms that a value can have."""
    return next((option["discriminator"] for option in [schema, *schema.get("anyOf", [])] if "discriminator" in option), {})


def _name(path: KeyPath) -> str:
    """What a message calls the value: its key, or "item" in a list."""
    return "recipe" if not path else path[-1] if isinstance(path[-1], str) else "item"


@functools.cache
def _schema() -> Schema:
    return Recipe.model_json_schema()


def _follow(location: tuple[str | int, ...], values: Any) -> _Place:
    """Walks pydantic's location through the schema and through the values that it was given.

    What is neither a key of the schema nor of the values is the name that pydantic gives a member of a union.
    """
    schema, path, known, is_union = _schema(), [], list[str](), False
    for part in location:
        schema = resolved(schema, _schema()["$defs"])
        if part in (mapping := _discriminator(schema).get("mapping", {})):
            schema = resolved({"$ref": mapping[part]}, _schema()["$defs"])
            continue
        options = _options(schema)
        properties = {key: value for option in options for key, value in option.get("properties", {}).items()}
        is_union = isinstance(part, str) and part not in properties and not (isinstance(values, Mapping) and part in values)
        if is_union:
            continue
        if isinstance(part, int):
            schema, known = next((option["items"] for option in options if "items" in option), {}), []
        else:  # a mapping of names that the user chooses has no properties
            named: Schema = next((option["additionalProperties"] for option in options if option.get("additionalProperties")), {})
            schema, known = properties.get(part, named), list(properties)
        path.append(part)
        values = _child(values, part)
    return _Place(tuple(path), schema, known, is_union)


def _child(values: Any, part: str | int) -> Any:
    """What stands at a key or index; None where a short form stands for a mapping. One item may stand for a list of it."""
    if isinstance(part, int):
        return values[part] if isinstance(values, list) else values
    return values.get(part) if isinstance(values, Mapping) else None
