"""Every technique in words: what it does, its fields with ranges and defaults, its source, an example that runs."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

from edgecompress.errors import RecipeError
from edgecompress.recipe.dump import write_yaml
from edgecompress.recipe.expectations import Schema, expected, resolved
from edgecompress.recipe.stages import TECHNIQUES
from edgecompress.recipe.suggestions import did_you_mean, received

REQUIRED = "required"
DESCRIBED_ELSEWHERE = {"distill"}  # mappings whose fields are those of the technique of that name


@dataclass(frozen=True)
class Field:
    """One thing that a user may write, such as `train.epochs`."""

    name: str
    expected: str
    default: str  # as YAML; "required" when there is none
    description: str


@dataclass(frozen=True)
class Description:
    """A technique as `edgecompress techniques NAME` shows it."""

    name: str
    summary: str  # one sentence
    details: str  # further paragraphs, or nothing
    source: str  # the paper, or nothing
    fields: list[Field]
    example: str  # an item of `stages`, as YAML


def describe_techniques() -> list[Description]:
    """All techniques, by name."""
    return [describe_technique(name) for name in sorted(TECHNIQUES)]


def describe_technique(name: str) -> Description:
    """One technique.

    Raises:
        RecipeError: there is none of that name.
    """
    if name not in TECHNIQUES:
        raise RecipeError(f"technique must be one of {', '.join(sorted(TECHNIQUES))}.{received(name)}{did_you_mean(name, TECHNIQUES)}")
    config = TECHNIQUES[name].config
    schema = config.model_json_schema()
    paragraphs = [" ".join(text.split()) for text in (inspect.getdoc(config) or "").split("\n\n")]
    sources = [text.removeprefix("Source: ") for text in paragraphs if text.startswith("Source: ")]
    details = [text for text in paragraphs[1:] if not text.startswith("Source: ")]
    definitions = schema.get("$defs", {})
    example = write_yaml([{name: _example(schema, definitions)}])
    return Description(name, paragraphs[0], " ".join(details), " ".join(sources), _fields(schema, definitions, ""), example)


def _fields(schema: Schema, definitions: Schema, prefix: str) -> list[Field]:
    """The fields of a mapping, those of mappings in it after them with dotted names."""
    required = schema.get("required", [])
    fields: list[Field] = []
    for name, part in schema["properties"].items():
        if name == "technique":
            continue
        part = resolved(part, definitions)
        default = REQUIRED if name in required else _default(part.get("default"))
        fields.append(Field(prefix + name, expected(part, definitions), default, part.get("description", "")))
        for option in (resolved(option, definitions) for option in part.get("anyOf", [part])):
            if "properties" in option and name not in DESCRIBED_ELSEWHERE:
                fields += _fields(option, definitions, f"{prefix}{name}.")
    return fields


def _default(value: Any) -> str:
    """A default as YAML, in one line; what a mapping leaves absent is not shown."""
    shown = {key: part for key, part in value.items() if part is not None} if isinstance(value, dict) else value
    return write_yaml(shown, flow=True).splitlines()[0]


def _example(schema: Schema, definitions: Schema) -> dict[str, Any]:
    """Values for the required fields and for those whose Config gives an example."""
    values: dict[str, Any] = {}
    for name, part in schema["properties"].items():
        part = resolved(part, definitions)
        if part.get("examples"):
            values[name] = part["examples"][0]
        elif name in schema.get("required", []):
            values[name] = _example(part, definitions)
    return values
