"""The JSON schema of a recipe as users write it, for editors that complete and check while one types.

Editors see one file at a time. So nothing is required that a file named by `extends` may give, and wherever a value is
expected, `${...}` may stand. What the schema accepts can still break a rule; `edgecompress check` knows them all.
"""

from __future__ import annotations

from typing import Any

from edgecompress.recipe.expectations import Schema
from edgecompress.recipe.schema import Recipe
from edgecompress.recipe.stages import TECHNIQUES

REFERENCE = {"type": "string", "pattern": r"\$\{[^}]*\}"}
SCALARS = ["string", "number", "boolean", "null"]


def recipe_json_schema() -> Schema:
    """JSON Schema, draft 2020-12."""
    schema = Recipe.model_json_schema()
    definitions = schema["$defs"]
    stage_classes = {technique.config.__name__ for technique in TECHNIQUES.values()}
    for name, definition in definitions.items():
        if name in stage_classes:
            del definition["properties"]["technique"]
        else:
            definition.pop("required", None)
    properties = schema["properties"]
    properties["model"] = {"anyOf": properties["model"]["oneOf"]}
    properties["stages"]["items"] = {"anyOf": [_plain_stages(definitions), *(_stage(name) for name in TECHNIQUES)]}
    required = schema.pop("required")
    whole = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "edgecompress recipe",
        "if": {"not": {"required": ["extends"]}},
        "then": {"required": required},
        "properties": {"extends": _extends(), "vars": _variables(), **properties},
    }
    return dict(_with_references(whole))


def _stage(technique: str) -> Schema:
    """`{technique: fields}`."""
    config = TECHNIQUES[technique].config
    fields: Schema = {"$ref": f"#/$defs/{config.__name__}"}
    if not _needs_fields(technique):
        fields = {"anyOf": [fields, {"type": "null"}]}
    return {"type": "object", "properties": {technique: fields}, "required": [technique], "additionalProperties": False}


def _plain_stages(definitions: Schema) -> Schema:
    """Techniques that may stand as a plain name."""
    return {"type": "string", "enum": [name for name in TECHNIQUES if not _needs_fields(name)]}


def _needs_fields(technique: str) -> bool:
    return any(field.is_required() for field in TECHNIQUES[technique].config.model_fields.values())


def _extends() -> Schema:
    path = {"type": "string", "minLength": 1}
    return {
        "description": "recipes to build on: a path relative to this file, or builtin:NAME; mappings merge deeply, lists replace",
        "anyOf": [path, {"type": "array", "items": path}, {"type": "null"}],
    }


def _variables() -> Schema:
    return {
        "description": "values to be used as ${name}",
        "type": ["object", "null"],
        "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$"},
        "additionalProperties": {"type": SCALARS},
    }


def _with_references(schema: Any) -> Any:
    """Lets `${...}` stand wherever a scalar is expected."""
    if isinstance(schema, list):
        return [_with_references(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    # `properties` and `$defs` map names to schemas; their own keys are no keywords.
    changed = {
        key: {name: _with_references(part) for name, part in value.items()}
        if key in ("properties", "$defs")
        else _with_references(value)
        if key in ("items", "anyOf", "additionalProperties", "then")
        else value
        for key, value in schema.items()
    }
    if changed.get("type") in ("integer", "number", "boolean") or "enum" in changed or "const" in changed or "pattern" in changed:
        about = {key: changed.pop(key) for key in ("title", "description", "default", "examples") if key in changed}
        return {**about, "anyOf": [changed, REFERENCE]}
    return changed
