"""YAML text to nodes: mappings, lists and YAML 1.2 scalars with their lines. No tags, no code, no bombs.

Scalars follow the core schema of YAML 1.2, not PyYAML's YAML 1.1: `1e-3` is a number; `on`, `off`, `yes`, `no`, dates and
`1_000` are text; `010` is ten. `.inf` and `.nan` are text too, so that no recipe holds a number that is not finite.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import yaml

from edgecompress.errors import RecipeError
from edgecompress.recipe.nodes import Node, Scalar, height
from edgecompress.recipe.suggestions import MAX_SHOWN, received

MAX_BYTES = 1_000_000
MAX_DEPTH = 50
MAX_VALUES = 10_000  # with aliases written out
MAX_TEXT = 4_000  # characters of one value

NULL = re.compile(r"(?:~|null|Null|NULL|)\Z")
BOOLEAN = re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z")
INTEGER = re.compile(r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z")
FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")


def scalar(text: str) -> Scalar:
    """The value of unquoted text.

    Raises:
        ValueError: an integer with more digits than Python reads.
    """
    if NULL.match(text):
        return None
    if BOOLEAN.match(text):
        return text.lower() == "true"
    if INTEGER.match(text):
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
    return float(text) if FLOAT.match(text) else text


def read_yaml(content: bytes | str, file: str) -> Node:
    """Reads one YAML document.

    Args:
        content: the text, or its UTF-8 bytes.
        file: the name for messages.

    Raises:
        RecipeError: not YAML, too large or too deep, tags, repeated keys; with file and line.
    """
    if len(content) > MAX_BYTES:
        raise RecipeError(f"{file}: recipe must be at most {MAX_BYTES} bytes. Received: more.")
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
    except UnicodeDecodeError as error:
        raise RecipeError(f"{file}: recipe must be UTF-8 text. Received: byte 0x{content[error.start]:02x} at {error.start}.") from error
    try:
        loader = yaml.SafeLoader(text)
        return _Reader(loader, file).document()
    except yaml.YAMLError as error:
        raise RecipeError(_syntax_message(error, text, file)) from error
    except (ValueError, OverflowError) as error:  # PyYAML looks up the character of an escape
        words = r"an escape must name a character, at most \U0010FFFF. Received: a larger number"
        raise RecipeError(f"{file}:{loader.get_mark().line + 1}: {words}.") from error


class _Reader:
    """Builds nodes from PyYAML's events, which it pulls one by one: a bomb is seen before it grows."""

    def __init__(self, loader: yaml.SafeLoader, file: str) -> None:
        self._events: Iterator[Any] = iter(loader.get_event, None)
        self._file = file
        self._anchors: dict[str, tuple[Node, int] | None] = {}  # None: still open, so an alias of it would be endless
        self._num_values = 0

    def document(self) -> Node:
        next(self._events)  # the start of the stream
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            return Node(None, self._file, 1)
        root = self._value(next(self._events), ())
        next(self._events)  # the end of the document
        event = next(self._events)
        if not isinstance(event, yaml.StreamEndEvent):
            raise self._error(event, "file must hold one YAML document. Received: a second one.")
        return root

    def _error(self, event: Any, message: str, path: tuple[str, ...] = ()) -> RecipeError:
        where = f"{'.'.join(path)}: " if path else ""
        return RecipeError(f"{self._file}:{_line(event)}: {where}{message}")

    def _value(self, event: Any, path: tuple[str, ...]) -> Node:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, path)
        if event.tag is not None:
            raise self._error(event, f"value must have no tag: a recipe is plain YAML.{received(event.tag)}", path)
        if len(path) > MAX_DEPTH:
            raise self._error(event, f"nesting must be at most {MAX_DEPTH} deep. Received: more.")
        self._count(event, 1)
        num_before = self._num_values
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        node = Node(self._content(event, path), self._file, _line(event))
        if event.anchor is not None:
            self._anchors[event.anchor] = (node, self._num_values - num_before + 1)
        return node

    def _content(self, event: Any, path: tuple[str, ...]) -> dict[str, Node] | list[Node] | Scalar:
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._list(path)
        if len(event.value) > MAX_TEXT:
            raise self._error(event, f"text must be at most {MAX_TEXT} characters.{received(event.value)}", path)
        if not event.implicit[0]:  # quoted, or a block of text
            return str(event.value)
        try:
            return scalar(event.value)
        except ValueError as error:
            raise self._error(event, f"number must have fewer digits.{received(event.value)}", path) from error

    def _mapping(self, path: tuple[str, ...]) -> dict[str, Node]:
        values: dict[str, Node] = {}
        while not isinstance(key := next(self._events), yaml.MappingEndEvent):
            if not isinstance(key, yaml.ScalarEvent) or key.tag is not None:
                raise self._error(key, "key must be plain text. Received: a list, a mapping, an alias or a tag.", path)
            line = _line(key)
            if key.value in values:
                message = f"keys must be unique. Received: {key.value[:MAX_SHOWN]!r} in lines {values[key.value].line} and {line}."
                raise self._error(key, message, path)
            if key.value == "<<":
                raise self._error(key, "merge keys (<<) are not part of a recipe; use `extends`. Received: '<<'.", path)
            values[key.value] = replace(self._value(next(self._events), (*path, key.value[:MAX_SHOWN])), line=line)
        return values

    def _list(self, path: tuple[str, ...]) -> list[Node]:
        values: list[Node] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            values.append(self._value(event, (*path, str(len(values)))))
        return values

    def _alias(self, event: Any, path: tuple[str, ...]) -> Node:
        anchored = self._anchors.get(event.anchor)
        if anchored is None:
            problem = "inside of itself" if event.anchor in self._anchors else "without an anchor"
            raise self._error(event, f"alias must name an anchor that stands before it. Received: *{event.anchor} {problem}.", path)
        node, num_values = anchored
        self._count(event, num_values)
        if len(path) + height(node) > MAX_DEPTH + 1:
            raise self._error(event, f"nesting must be at most {MAX_DEPTH} deep, aliases written out. Received: more.")
        return node

    def _count(self, event: Any, num_values: int) -> None:
        self._num_values += num_values
        if self._num_values > MAX_VALUES:
            raise self._error(event, f"recipe must hold at most {MAX_VALUES} values, aliases written out. Received: more.")


def _line(event: Any) -> int:
    """The line where an event of PyYAML starts, from 1."""
    return int(event.start_mark.line) + 1


def _syntax_message(error: yaml.YAMLError, text: str, file: str) -> str:
    """PyYAML's complaint as one line of ours, with a hint where the cause is a common one."""
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return f"{file}:{line}: text must be printable. Received: {chr(error.character)!r}."
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    number = mark.line if mark is not None else 0
    lines = text.splitlines()
    source = lines[number] if number < len(lines) else ""
    hint = ""
    if "\\t" in str(getattr(error, "problem", "")):
        hint = " Indent with spaces, not tabs."
    elif "${" in source:
        hint = ' Inside {...} and [...] a variable stands in quotes: "${name}".'
    return f"{file}:{number + 1}: text must be valid YAML. Received: {getattr(error, 'problem', None) or error}.{hint}"
