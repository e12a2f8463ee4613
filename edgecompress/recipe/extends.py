"""Files to one tree: a recipe and everything that it extends, merged."""

from __future__ import annotations

import os
from pathlib import Path

from edgecompress.errors import RecipeError
from edgecompress.recipe.builtin import PREFIX, builtin_folder
from edgecompress.recipe.nodes import Node, to_plain
from edgecompress.recipe.suggestions import did_you_mean, received
from edgecompress.recipe.yaml_reader import MAX_BYTES, read_yaml

MAX_FILES = 50  # of one recipe: two files that each extend two and so on would never end
SOURCED = (("data",), ("data", "unlabelled"), ("model",))  # sections whose `source` says what their other keys are about


def read_recipe(source: str, text: str | None = None) -> Node:
    """The merged mapping of a recipe: mappings merge deeply, lists and scalars of the extending file replace, as does a
    `data` or `model` of another `source`.

    Args:
        source: path of the file, or `builtin:NAME`; with `text`, only a name for messages and relative paths.
        text: the recipe itself, when it does not come from a file.

    Raises:
        RecipeError: a file that is missing or no mapping, `extends` in a circle; with file and line.
    """
    return _read_and_extend(source, text, asked_by="", chain=(), opened=[])


def _read_and_extend(source: str, text: str | None, *, asked_by: str, chain: tuple[str, ...], opened: list[str]) -> Node:
    """One file merged over those that it extends. `chain` are the files that led here, `opened` all files so far."""
    place = asked_by or f"{source}: "
    path = _find(source, place)
    identity = os.path.realpath(path)
    if identity in chain:
        raise RecipeError(f"{asked_by}files must not extend each other in a circle.{received(source)}")
    opened.append(identity)
    if len(opened) > MAX_FILES:
        raise RecipeError(f"{asked_by}recipe must be made of at most {MAX_FILES} files. Received: more.")
    root = read_yaml(_content(path, source, place) if text is None else text, source)
    if not isinstance(root.value, dict):
        raise RecipeError(f"{root.place}: recipe must be a mapping with the keys name, data, model, ...{received(to_plain(root))}")
    own = dict(root.value)
    extends = own.pop("extends", None)
    merged = root.with_value({})
    for parent in _parents(extends):
        name = str(parent.value)
        location = name if name.startswith(PREFIX) or os.path.isabs(name) else os.path.join(os.path.dirname(path), name)
        asked = f"{parent.place}: extends: "
        merged = _merge(merged, _read_and_extend(location, None, asked_by=asked, chain=(*chain, identity), opened=opened))
    return _merge(merged, root.with_value(own))


def _find(source: str, place: str) -> str:
    """The path behind a source; a builtin name may not leave the folder of the builtin recipes."""
    if "\0" in source:
        raise RecipeError(f"{place}recipe must be a path without NUL characters.{received(source)}")
    if not source.startswith(PREFIX):
        return source
    folder = builtin_folder()
    path = folder / source.removeprefix(PREFIX)
    if not path.resolve().is_relative_to(folder.resolve()):
        raise RecipeError(f"{place}recipe must be one that comes with edgecompress.{received(source)}")
    return str(path)


def _content(path: str, source: str, place: str) -> bytes:
    """The bytes of a recipe file, at most one more than is allowed."""
    try:
        if Path(path).exists() and not Path(path).is_file():
            raise RecipeError(f"{place}recipe must be a file.{received(source)}")
        with open(path, "rb") as file:
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        hint = _near_file(path, source)
        raise RecipeError(f"{place}recipe must be a file that exists.{received(source)}{hint}") from error
    except OSError as error:
        raise RecipeError(f"{place}recipe must be a readable file. Received: {error.strerror or error}.") from error


def _near_file(path: str, source: str) -> str:
    """Did-you-mean among the recipes of the same folder, in the words of the source."""
    siblings = [file.name for pattern in ("*.yaml", "*.yml") for file in Path(path).parent.glob(pattern)]
    prefix = source[: len(source) - len(os.path.basename(source))]
    return did_you_mean(source, [prefix + name for name in siblings])


def _parents(extends: Node | None) -> list[Node]:
    """What `extends` names: nothing, one file or several."""
    if extends is None or extends.value is None:
        return []
    parents = extends.value if isinstance(extends.value, list) else [extends]
    for parent in parents:
        if not isinstance(parent.value, str):
            expected = "a path, builtin:NAME or a list of these"
            raise RecipeError(f"{parent.place}: extends: extends must be {expected}.{received(to_plain(parent))}")
    return parents


def _merge(below: Node, above: Node, path: tuple[str, ...] = ()) -> Node:
    """`above` laid over `below`; every value keeps the place where it was written.

    A section of another `source` replaces: what the one below says is about something else.
    """
    if not isinstance(below.value, dict) or not isinstance(above.value, dict):
        return above
    source, other = above.value.get("source"), below.value.get("source")
    if path in SOURCED and source is not None and other is not None and source.value != other.value:
        return above
    merged = dict(below.value)
    for key, node in above.value.items():
        merged[key] = _merge(merged[key], node, (*path, key)) if key in merged else node
    return above.with_value(merged)
