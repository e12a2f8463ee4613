"""What a value must be, in words, read from the JSON schema that pydantic makes of a field."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]


def expected(schema: Schema, definitions: Schema) -> str:
    """Such as "a number at least 0 and less than 1", "one of 'a', 'b'", "a list of text, or null"."""
    schema = resolved(schema, definitions)
    if "anyOf" in schema:
        options = dict.fromkeys(expected(option, definitions) for option in schema["anyOf"])
        return ", or ".join(options)
    if "enum" in schema:
        return f"one of {', '.join(repr(value) for value in schema['enum'])}"
    if "const" in schema:
        return repr(schema["const"])
    kind = schema.get("type")
    if kind == "array":
        return f"a list{_length(schema)} of {_plural(expected(schema.get('items', {}), definitions))}"
    if kind == "string" and "pattern" in schema:
        return f"text that matches {schema['pattern']}"
    return {"integer": "a whole number", "number": "a number", "string": "text", "boolean": "true or false", "null": "null"}.get(
        str(kind), "a mapping"
    ) + limits(schema)


def limits(schema: Schema) -> str:
    """The range of a number, such as " at least 0 and less than 1"; nothing when it has none."""
    words = {"minimum": "at least", "exclusiveMinimum": "greater than", "maximum": "at most", "exclusiveMaximum": "less than"}
    found = [f"{text} {schema[key]:g}" if isinstance(schema[key], float) else f"{text} {schema[key]}" for key, text in words.items() if key in schema]
    return f" {' and '.join(found)}" if found else ""


def resolved(schema: Schema, definitions: Schema) -> Schema:
    """The schema behind a `$ref`; what stands beside the reference (a description) is kept."""
    if "$ref" not in schema:
        return schema
    name = schema["$ref"].rsplit("/", 1)[1]
    return {**definitions[name], **{key: value for key, value in schema.items() if key != "$ref"}}


def _length(schema: Schema) -> str:
    least, most = schema.get("minItems"), schema.get("maxItems")
    if least is not None and least == most:
        return f" of {least}:"
    return (f" with at least {least}" if least else "") + (f"{' and' if least else ' with'} at most {most}" if most else "")


def _plural(words: str) -> str:
    """ "a whole number ..." inside of a list."""
    return words.replace("a whole number", "whole numbers", 1).replace("a number", "numbers", 1)
