"""A Recipe back to YAML in the user's form; what is written loads to an equal Recipe."""

from __future__ import annotations

from typing import Any

import yaml

from edgecompress.recipe.schema import Recipe
from edgecompress.recipe.variables import escape_references
from edgecompress.recipe.yaml_reader import BOOLEAN, FLOAT, INTEGER, NULL

WIDTH = 120  # columns
UNICODE_LINE_BREAKS = {"\x85", "\u2028", "\u2029"}


class _Dumper(yaml.SafeDumper):
    """Quotes exactly what our reader would not take for text."""

    yaml_implicit_resolvers: dict[Any, Any] = {}  # PyYAML's own, for YAML 1.1, are left out

    def ignore_aliases(self, data: Any) -> bool:
        """Equal lists are written out."""
        return True


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    """Unicode's line breaks are escaped, or they would read back as a space."""
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if set(text) & UNICODE_LINE_BREAKS else None)


_Dumper.add_representer(str, _represent_text)
for _tag, _pattern in (("null", NULL), ("bool", BOOLEAN), ("int", INTEGER), ("float", FLOAT)):
    _Dumper.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", _pattern, None)


def recipe_as_written(recipe: Recipe) -> dict[str, Any]:
    """Plain values in the form that a user writes: every field, stages as single-key mappings, references escaped."""
    values = recipe.model_dump()
    values["stages"] = [{stage.pop("technique"): stage} for stage in values["stages"]]
    written: dict[str, Any] = _escaped(values)
    return written


def write_yaml(value: Any, *, flow: bool | None = None) -> str:
    """YAML that our reader reads back as `value`.

    Args:
        value: mappings with text keys, lists, text, finite numbers, booleans, None.
        flow: everything in braces and brackets (True), nothing (False), only what holds no mapping or list (None).
    """
    return str(yaml.dump(value, Dumper=_Dumper, sort_keys=False, default_flow_style=flow, width=WIDTH, allow_unicode=True))


def dump_recipe(recipe: Recipe) -> str:
    """YAML that `load_recipe` reads to an equal Recipe, with every default written out."""
    return write_yaml(recipe_as_written(recipe))


def _escaped(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _escaped(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_escaped(child) for child in value]
    return escape_references(value) if isinstance(value, str) else value
