"""A report as plain blocks of words, tables and names of plots: what Markdown, HTML and the terminal draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from edgecompress.report.words import NOT_KNOWN

Tone = Literal["plain", "good", "bad", "quiet"]


@dataclass(frozen=True)
class Cell:
    """Text with a tone; `good` and `bad` are drawn as a badge, whose text must say it without the colour too."""

    text: str
    tone: Tone = "plain"


@dataclass(frozen=True)
class Table:
    """Rows under column titles. A title that starts with ">" is of numbers, set to the right.

    Attributes:
        title: above the table; needed when `collapsed`.
        headed: False for a list of name and value, whose column titles say nothing.
        collapsed: folded away until asked for.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    title: str = ""
    headed: bool = True
    collapsed: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Column titles without the mark for numbers."""
        return tuple(column.removeprefix(">") for column in self.columns)

    @property
    def numeric(self) -> tuple[bool, ...]:
        return tuple(column.startswith(">") for column in self.columns)


@dataclass(frozen=True)
class Card:
    """One headline number. `detail` says what it was made of."""

    label: str
    value: str
    detail: str
    tone: Tone = "plain"


@dataclass(frozen=True)
class Block:
    """One section. Empty ones are left out by whoever builds the list.

    Attributes:
        key: short name, unique in a document: the target of links.
        paragraphs: whole sentences, before the tables.
        small_plots, plots: names of plots, drawn after the tables, three and two beside each other; see `plots`.
        text: preformatted, such as YAML.
    """

    key: str
    title: str
    paragraphs: tuple[str, ...] = ()
    small_plots: tuple[str, ...] = ()
    plots: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    text: str = ""


def make_table(columns: Sequence[str], rows: Sequence[Sequence[str | Cell]], *, title: str = "", collapsed: bool = False) -> Table:
    """A table without the columns that say nothing in any row."""
    cells = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in rows]
    shown = [index for index in range(len(columns)) if any(row[index].text not in ("", NOT_KNOWN) for row in cells)]
    return Table(
        tuple(columns[index] for index in shown), tuple(tuple(row[index] for index in shown) for row in cells), title, collapsed=collapsed
    )


def split_constant(table: Table, names: Sequence[str]) -> tuple[Table, dict[str, str]]:
    """Takes those of the columns `names` out of `table` that hold one text in all rows; returns what is left, and the texts by name."""
    constant = {}
    for index, name in enumerate(table.names):
        texts = {row[index].text for row in table.rows}
        if name in names and len(texts) == 1:
            constant[name] = texts.pop()
    return without(table, tuple(constant)), constant


def without(table: Table, names: Sequence[str]) -> Table:
    """`table` without the columns `names`."""
    kept = [index for index, name in enumerate(table.names) if name not in names]
    rows = tuple(tuple(row[index] for index in kept) for row in table.rows)
    return replace(table, columns=tuple(table.columns[index] for index in kept), rows=rows)


def make_facts(facts: Sequence[tuple[str, str | Cell]], *, title: str = "") -> Table:
    """A list of name and value, without those that are not known."""
    pairs = [(name, value if isinstance(value, Cell) else Cell(value)) for name, value in facts]
    rows = tuple((Cell(name), value) for name, value in pairs if value.text not in ("", NOT_KNOWN))
    return Table(("name", "value"), rows, title, headed=False)
