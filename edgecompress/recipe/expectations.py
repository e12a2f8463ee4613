"""What a value must be, in words, read from the JSON schema that pydantic makes of a field.

Text with a pattern says in `$comment` what the pattern means.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]


def expected(schema: Schema, definitions: Schema) -> str:
    """Such as "a number at least 0 and less than 1", "one of 'a', 'b'", "a list of text, or null"."""
    schema = resolved(schema, definitions)
    if "anyOf" in schema:
        comment = {key: schema[key] for key in ("$comment",) if key in schema}  # stands beside the options of a nullable field
        options = dict.fromkeys(expected(comment | option, definitions) for option in schema["anyOf"])
        return ", or ".join(options)
    if "enum" in schema:
        return f"one of {', '.join(repr(value) for value in schema['enum'])}"
    if "const" in schema:
        return repr(schema["const"])
    kind = schema.get("type")
    if kind == "array":
        items = _plural(expected(schema.get("items", {}), definitions))
        return f"a list of {_count(schema)}" + (f"({items})" if ", or " in items else items)
    if kind == "string" and "pattern" in schema:
        return str(schema.get("$comment", f"text that matches {schema['pattern']}"))
    return {"integer": "a whole number", "number": "a number", "string": "text", "boolean": "true or false", "null": "null"}.get(
        str(kind), "a mapping"
    ) + limits(schema)


def limits(schema: Schema) -> str:
    """The range of a number, such as " at least 0 and less than 1"; nothing when it has none."""
    words = {"minimum": "at least", "exclusiveMinimum": "greater than", "maximum": "at most", "exclusiveMaximum": "less than"}
    found = [f"{text} {schema[key]:.10g}" for key, text in words.items() if key in schema]
    return f" {' and '.join(found)}" if found else ""


def resolved(schema: Schema, definitions: Schema) -> Schema:
    """The schema behind a `$ref`; what stands beside the reference (a description) is kept."""
    if "$ref" not in schema:
        return schema
    name = schema["$ref"].rsplit("/", 1)[1]
    return {**definitions[name], **{key: value for key, value in schema.items() if key != "$ref"}}


def _count(schema: Schema) -> str:
    """How many items a list takes, such as "2 " or "at least 1 "."""
    least, most = schema.get("minItems", 0), schema.get("maxItems")
    if most is None:
        return f"at least {least} " if least else ""
    return f"{most} " if least == most else f"{least} to {most} "


def _plural(words: str) -> str:
    """The words for one item, as the words for several; of each form that it can have."""
    return ", or ".join(_plural_of_one(form) for form in words.split(", or "))


def _plural_of_one(words: str) -> str:
    """The words for one form of an item, as the words for several."""
    for one, several in (("a whole number", "whole numbers"), ("a number", "numbers"), ("text", "texts"), ("one of", "values among")):
        if words.startswith(one):
            return several + words[len(one) :]
    return words
