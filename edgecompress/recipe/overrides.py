"""`--set key.path=value`: values laid over the merged recipe before its variables are replaced.

A path is written with dots. A list item is named by its index from 0, a stage by its index or its `id`; the technique's
name is not part of the path: `stages.cut.train.epochs=1`, `stages.0.epochs=1`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from edgecompress.errors import RecipeError
from edgecompress.recipe.nodes import OVERRIDE, Node, from_plain, to_plain
from edgecompress.recipe.suggestions import did_you_mean, received
from edgecompress.recipe.yaml_reader import MAX_DEPTH, read_yaml


def parse_overrides(arguments: Iterable[str]) -> dict[str, Any]:
    """`["data.limit=500"]` to `{"data.limit": 500}`; values are YAML. The last one wins.

    Raises:
        RecipeError: no `=`, or a value that is not YAML.
    """
    overrides: dict[str, Any] = {}
    for argument in arguments:
        path, equals, text = argument.partition("=")
        if not equals or not path.strip():
            raise RecipeError(f"{OVERRIDE}: override must be KEY.PATH=VALUE.{received(argument)}")
        overrides[path.strip()] = to_plain(read_yaml(text, f"{OVERRIDE} {path.strip()}"))
    return overrides


def apply_overrides(root: Node, overrides: Mapping[str, Any]) -> Node:
    """The recipe with every override in its place. Whether the keys exist is for the schema to say.

    Raises:
        RecipeError: a path that leads through a scalar, names no stage or no variable.
    """
    for path, value in overrides.items():
        parts = path.split(".")
        if len(parts) > MAX_DEPTH or not all(parts):
            raise RecipeError(f"{OVERRIDE}: path must be names separated by single dots.{received(path)}")
        if parts[0] == "extends":
            raise RecipeError(f"{OVERRIDE}: extends: extends must stand in a recipe file.{received(value)}")
        if parts[0] == "vars":
            _check_variable(root, path, parts[1:])
        root = _replaced(root, parts, from_plain(value, path), walked=())
    return root


def _check_variable(root: Node, path: str, parts: list[str]) -> None:
    """A variable that the recipe does not have would be ignored in silence."""
    declared = root.value["vars"].value if isinstance(root.value, dict) and "vars" in root.value else None
    known = list(declared) if isinstance(declared, dict) else []
    if len(parts) != 1 or parts[0] not in known:
        name = ".".join(parts)
        hint = did_you_mean(name, known)
        raise RecipeError(f"{OVERRIDE}: {path}: variable must be one of vars ({', '.join(known) or 'none'}).{received(name)}{hint}")


def _replaced(node: Node, parts: list[str], new: Node, walked: tuple[str, ...]) -> Node:
    """`node` with `new` at the path `parts`. Mappings that are missing on the way are made."""
    if not parts:
        return new
    part, rest = parts[0], parts[1:]
    if isinstance(node.value, list):
        is_stage = walked == ("stages",)
        index = _index(node.value, part, walked, is_stage)
        replaced = _replaced_in_stage if is_stage and rest else _replaced
        changed = replaced(node.value[index], rest, new, (*walked, part))
        return node.with_value([*node.value[:index], changed, *node.value[index + 1 :]])
    if node.value is not None and not isinstance(node.value, dict):
        where, path = ".".join(walked), ".".join((*walked, *parts))
        raise RecipeError(f"{OVERRIDE}: {path}: {where} must be a mapping to set {part} in it.{received(node.value)}")
    values = dict(node.value or {})
    values[part] = _replaced(values.get(part, Node(None, OVERRIDE)), rest, new, (*walked, part))
    return node.with_value(values)


def _replaced_in_stage(stage: Node, parts: list[str], new: Node, walked: tuple[str, ...]) -> Node:
    """A stage is `technique` or `{technique: fields}`; the path continues in the fields."""
    if isinstance(stage.value, str):
        stage = stage.with_value({stage.value: stage.with_value(None)})
    if not isinstance(stage.value, dict) or len(stage.value) != 1:
        raise RecipeError(f"{stage.place}: {'.'.join(walked)}: stage must be one technique with its fields.{received(to_plain(stage))}")
    [(technique, fields)] = stage.value.items()
    return stage.with_value({technique: _replaced(fields, parts, new, walked)})


def _index(items: list[Node], part: str, walked: tuple[str, ...], is_stage: bool) -> int:
    """The position that `part` names: an index, or the id of a stage."""
    if part.isdecimal() and part.isascii() and len(part) < 9 and int(part) < len(items):
        return int(part)
    ids = {name: index for index, item in enumerate(items) if (name := _stage_id(item)) is not None} if is_stage else {}
    if part in ids:
        return ids[part]
    expected = f"an index below {len(items)}" if items else "absent, the list is empty"
    if ids:
        expected += f" or an id ({', '.join(ids)})"
    raise RecipeError(f"{OVERRIDE}: {'.'.join((*walked, part))}: {part} must be {expected}.{received(part)}{did_you_mean(part, ids)}")


def _stage_id(stage: Node) -> str | None:
    """The id that a stage gives itself."""
    if not isinstance(stage.value, dict) or len(stage.value) != 1:
        return None
    [fields] = stage.value.values()
    name = fields.value.get("id") if isinstance(fields.value, dict) else None
    return name.value if name is not None and isinstance(name.value, str) else None
