"""What pydantic found wrong with a recipe, in the words of the user: file, line, path, expectation, value, near name."""

from __future__ import annotations

import functools
from collections.abc import Iterable
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


def problems_of(error: ValidationError) -> list[Problem]:
    """pydantic's findings without its jargon; names of union members are no part of a path."""
    return [_problem(fault) for fault in error.errors(include_url=False)]


def _problem(fault: Any) -> Problem:
    path, schema, known = _follow(fault["loc"])
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
    words = expected(schema, _schema()["$defs"])
    hint = did_you_mean(fault["input"], resolved(schema, _schema()["$defs"]).get("enum", [])) if isinstance(fault["input"], str) else ""
    return Problem(path, f"{name} must be {words}.{received(fault['input'])}{hint}")


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


def _follow(location: tuple[str | int, ...]) -> tuple[KeyPath, Schema, list[str]]:
    """Walks pydantic's location through the schema.

    Returns:
        The path in the recipe (without the names of union members), the schema there, the keys known beside it.
    """
    schema, path, known = _schema(), [], list[str]()
    for part in location:
        schema = resolved(schema, _schema()["$defs"])
        if part in (mapping := _discriminator(schema).get("mapping", {})):
            schema = resolved({"$ref": mapping[part]}, _schema()["$defs"])
            continue
        options = [resolved(option, _schema()["$defs"]) for option in schema.get("anyOf", [schema])]
        properties = {key: value for option in options for key, value in option.get("properties", {}).items()}
        if isinstance(part, int):
            schema, known = next((option["items"] for option in options if "items" in option), {}), []
        else:  # a mapping of names that the user chooses has no properties
            values: Schema = next((option["additionalProperties"] for option in options if option.get("additionalProperties")), {})
            schema, known = properties.get(part, values), list(properties)
        path.append(part)
    return tuple(path), schema, known
