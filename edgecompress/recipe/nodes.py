"""A recipe as read: plain values that remember the file and line they came from."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from edgecompress.errors import RecipeError

Scalar = str | int | float | bool | None
KeyPath = tuple[str | int, ...]
OVERRIDE = "--set"  # the "file" of values that were given on the command line or in Python


@dataclass(frozen=True)
class Node:
    """One value of a recipe. In a mapping, the line is that of the key, so that every error points at a key.

    Attributes:
        value: a mapping or list of nodes, or a scalar.
        file: as shown to people.
        line: from 1; None where there is no file.
    """

    value: dict[str, Node] | list[Node] | Scalar
    file: str
    line: int | None = None

    @property
    def place(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"

    def with_value(self, value: dict[str, Node] | list[Node] | Scalar) -> Node:
        return replace(self, value=value)


def to_plain(node: Node) -> Any:
    """The value without places: dictionaries, lists and scalars."""
    if isinstance(node.value, dict):
        return {key: to_plain(child) for key, child in node.value.items()}
    if isinstance(node.value, list):
        return [to_plain(child) for child in node.value]
    return node.value


def from_plain(value: Any, path: str, depth: int = 50) -> Node:
    """A node for a value that was given in Python; `path` is the key it was given for.

    Raises:
        RecipeError: for anything but mappings, sequences, scalars and file paths.
    """
    if depth and isinstance(value, Mapping):
        return Node({str(key): from_plain(child, path, depth - 1) for key, child in value.items()}, OVERRIDE)
    if depth and isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return Node([from_plain(child, path, depth - 1) for child in value], OVERRIDE)
    if isinstance(value, os.PathLike):
        return Node(str(os.fspath(value)), OVERRIDE)
    if value is None or isinstance(value, str | int | float | bool):
        return Node(value, OVERRIDE)
    raise RecipeError(f"{OVERRIDE}: {path}: value must be plain (text, number, list, mapping). Received: {type(value).__name__}.")


def nearest(root: Node, path: KeyPath) -> Node:
    """The node at `path`; where it is missing, the mapping or list around it."""
    node = root
    for part in path:
        child = None
        if isinstance(node.value, dict):
            child = node.value.get(str(part))
        elif isinstance(node.value, list) and isinstance(part, int):
            child = node.value[part]
        if child is None:
            break
        node = child
    return node


def height(node: Node) -> int:
    """Levels of nesting: 1 for a scalar."""
    children = node.value.values() if isinstance(node.value, dict) else node.value if isinstance(node.value, list) else ()
    return 1 + max((height(child) for child in children), default=0)


def dotted(path: KeyPath) -> str:
    """`("stages", 0, "epochs")` as people read and write it: stages.0.epochs."""
    return ".".join(str(part) for part in path)
