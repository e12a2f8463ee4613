"""Source `csv`: one sample per line, features that are numbers, and columns of labels."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path

import numpy as np

from edgecompress.data.array_parts import ArrayParts
from edgecompress.data.source import Source
from edgecompress.errors import DataError
from edgecompress.recipe import schema
from edgecompress.recipe.suggestions import did_you_mean, received

PARTS = ("train", "validation", "test")
DELIMITERS = ",;\t"
NUM_CONVERTED = 10_000  # lines that become numbers together: as text they take many times the memory
INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
GROUP = "group"  # the array of groups, whatever its column is called: x and y are taken
MISSING = ("", "?", "na", "n/a", "#n/a", "null", "none")  # how a sample writes a value that nobody knows

Row = tuple[int, list[str]]  # number of the line, from 1, and its fields


def read(path: Path, config: schema.Data, task: schema.Task) -> Source:
    """The parts of a folder with train.csv [, validation.csv, test.csv], or a file that is split.

    Whether the first line is a header, see `_is_header`. Fields are separated by comma, semicolon or tab, whichever the first
    line has most of. Labels of classes may be text: then the classes are the texts of train in sorted order.

    Args:
        path: a file or a folder.
        config: `label` and `group_by` name columns.
        task: a classification has one column of labels; an autoencoder may have none.

    Raises:
        DataError: a file that is missing, or a line that does not fit; the message has its number.
    """
    files = {"": path} if path.is_file() else {f"_{part}": path / f"{part}.csv" for part in PARTS if (path / f"{part}.csv").is_file()}
    if "" not in files and "_train" not in files:
        raise DataError(f"{path}: data.path must be a .csv file, or a folder that holds train.csv. Received: neither.")
    arrays: dict[str, np.ndarray] = {}
    class_names: list[str] | None = None
    warnings: list[str] = []
    for suffix, file in files.items():
        table = read_table(file, config, task)
        warnings += table.warnings
        arrays[f"x{suffix}"] = np.concatenate(table.features)
        if config.group_by is not None:
            arrays[f"{GROUP}{suffix}"] = np.asarray(table.groups)
        if table.texts:
            class_names = table.class_names() if suffix in ("", "_train") else class_names
            arrays[f"y{suffix}"] = table.classes(class_names)
        elif table.values:
            arrays[f"y{suffix}"] = np.concatenate(table.values)
    config = config.model_copy(update={"group_by": None if config.group_by is None else GROUP})
    return replace(ArrayParts(str(path), arrays, config, task, class_names).source(), warnings=tuple(warnings))


@dataclass(frozen=True)
class Columns:
    """What stands where in a line.

    Attributes:
        path: for messages.
        names: of all columns: those of the header, or their numbers.
        features, labels: positions.
        group: position; None where the recipe has no groups.
        has_classes: whether labels are classes, in one column, not values.
    """

    path: Path
    names: list[str]
    features: list[int]
    labels: list[int]
    group: int | None
    has_classes: bool

    @classmethod
    def of(cls, path: Path, names: list[str], config: schema.Data, task: schema.Task) -> Columns:
        """Finds the columns that the recipe names; all others are features."""

        def position(column: str | int, key: str) -> int:
            if isinstance(column, str) and column in names:
                return names.index(column)
            if isinstance(column, int) and -len(names) <= column < len(names):
                return column % len(names)
            known = f"one of the columns {', '.join(names)}, or a number from 0 to {len(names) - 1}"
            raise DataError(f"{path}: data.{key} must be {known}.{received(column)}{did_you_mean(column, names)}")

        wanted = config.label if config.label is not None else ([] if task.target == "input" else -1)
        labels = [position(column, "label") for column in (wanted if isinstance(wanted, list) else [wanted])]
        group = None if config.group_by is None else position(config.group_by, "group_by")
        features = [index for index in range(len(names)) if index not in (*labels, group)]
        if not features:
            raise DataError(f"{path}: must have columns of features beside labels and groups. Received: {', '.join(names)}.")
        has_classes = task.kind in ("classification", "autoencoder")
        if (has_classes and len(labels) > 1) or (not labels and task.target == "label"):
            expected = "one column of classes" if has_classes else "at least one column of values"
            raise DataError(f"{path}: data.label must be {expected} for a {task.kind} task.{received(config.label)}")
        return cls(path, names, features, labels, group, has_classes)

    def numbers(self, rows: Sequence[Row], columns: Sequence[int]) -> np.ndarray:
        """Fields of some columns as float32 [rows, columns]."""
        try:
            values = np.asarray([[float(row[column]) for column in columns] for _, row in rows], dtype=np.float64)
        except ValueError:
            values = np.full((len(rows), len(columns)), np.nan)
        with np.errstate(over="ignore"):
            numbers = values.astype(np.float32)
        if not np.isfinite(numbers).all():
            number, column, text = self._first_fault(rows, columns)
            what = f"column {self.names[column]!r} must hold finite float32 numbers"
            raise DataError(f"{self.path}:{number}: {what}.{received(text)}")
        return numbers.reshape(len(rows), len(columns))

    def _first_fault(self, rows: Sequence[Row], columns: Sequence[int]) -> tuple[int, int, str]:
        """Line, column and text of the first field that is no number."""
        fields = ((number, column, row[column]) for number, row in rows for column in columns)
        return next(field for field in fields if not _is_number(field[2]))


@dataclass
class Table:
    """One file.

    Attributes:
        columns: of the file.
        lines: number of each sample's line.
        features: float32 [lines, features] each.
        values: labels that are values, float32 [lines, columns] each.
        texts: label of each sample that is a class.
        groups: field of the group column of each sample.
        warnings: what may have been taken for something else than it is.
    """

    columns: Columns
    lines: list[int] = field(default_factory=list)
    features: list[np.ndarray] = field(default_factory=list)
    values: list[np.ndarray] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def add(self, rows: Sequence[Row]) -> None:
        """Takes over some lines."""
        columns = self.columns
        self.lines += [number for number, _ in rows]
        self.features.append(columns.numbers(rows, columns.features))
        if columns.group is not None:
            self.groups += [row[columns.group].strip() for _, row in rows]
        if columns.labels and columns.has_classes:
            self.texts += [row[columns.labels[0]].strip() for _, row in rows]
        elif columns.labels:
            self.values.append(columns.numbers(rows, columns.labels))

    def class_names(self) -> list[str] | None:
        """The texts of the labels, sorted; None where all are whole numbers."""
        texts = set(self.texts)
        return None if all(INTEGER.fullmatch(text) for text in texts) else sorted(texts)

    def classes(self, class_names: list[str] | None) -> np.ndarray:
        """Labels int64 [samples]: whole numbers, or positions in `class_names`."""
        positions = {name: index for index, name in enumerate(class_names or [])}
        classes = np.empty(len(self.texts), np.int64)
        for index, text in enumerate(self.texts):
            if class_names is None and INTEGER.fullmatch(text):
                classes[index] = int(text)
            elif text in positions:
                classes[index] = positions[text]
            else:
                expected = (
                    "a whole number, as in train" if class_names is None else f"one of the classes of train, {', '.join(class_names)}"
                )
                hint = did_you_mean(text, positions)
                raise DataError(f"{self.columns.path}:{self.lines[index]}: label must be {expected}.{received(text)}{hint}")
        return classes


def read_table(path: Path, config: schema.Data, task: schema.Task) -> Table:
    """Reads a file line by line.

    Raises:
        DataError: an empty file, no text, or a line that does not fit; the message has its number.
    """
    rows = _rows(path)
    first = next(rows, None)
    if first is None:
        raise DataError(f"{path}: must hold one sample per line. Received: an empty file.")
    fields, numbers = [text.strip() for text in first[1]], [str(index) for index in range(len(first[1]))]
    has_header = _is_header(path, fields, numbers, config, task)
    names = fields if has_header else numbers
    table = Table(Columns.of(path, names, config, task))
    if has_header and any(_is_number(text) for text in fields):
        what = "the first line was taken for the names of columns, not for a sample, though it holds numbers"
        table.warnings.append(f"{path}: {what}.{received(', '.join(fields))}")
    pending: list[Row] = []
    for number, row in rows if has_header else chain([first], rows):
        if len(row) != len(names):
            raise DataError(f"{path}:{number}: line must have {len(names)} fields, like the first. Received: {len(row)}.")
        pending.append((number, row))
        if len(pending) == NUM_CONVERTED:
            table.add(pending)
            pending.clear()
    table.add(pending)
    if not table.lines:
        raise DataError(f"{path}: must hold one sample per line. Received: a header alone.")
    return table


def _is_header(path: Path, fields: list[str], numbers: list[str], config: schema.Data, task: schema.Task) -> bool:
    """Whether the first line holds names of columns.

    It does if no field is a number, if a feature is none, or if a name in it is one that the recipe asks for; if all fields, or
    the features beside a label that is text, count from 0, as pandas names columns; or if its label is no number and all below are.
    """
    asked = [config.group_by, *(config.label if isinstance(config.label, list) else [config.label])]
    if not any(_is_number(text) for text in fields) or any(_is_text(text) and text in asked for text in fields):
        return True
    columns = Columns.of(path, numbers, config, task)
    features = [fields[index] for index in columns.features]
    labels = [index for index in columns.labels if _is_text(fields[index])]
    if fields == numbers or any(_is_text(text) for text in features) or (labels and not columns.has_classes):
        return True
    if not labels or (len(features) > 1 and features == numbers[: len(features)]):
        return bool(labels)
    return all(_is_number(row[index]) for _, row in islice(_rows(path), 1, None) for index in labels if index < len(row))


def _rows(path: Path) -> Iterator[Row]:
    """Lines that are not blank."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            start = file.readline()
            file.seek(0)
            reader = csv.reader(file, delimiter=max(DELIMITERS, key=start.count), strict=True)
            for row in reader:
                if any(text.strip() for text in row):
                    yield reader.line_num, row
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: must be a UTF-8 text file. Received: {error}.") from error
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: must be a line of fields. Received: {error}.") from error


def _is_text(text: str) -> bool:
    """Whether a field is a word: no number, not even one that is not finite, and no sign for a missing value."""
    try:
        float(text)
    except ValueError:
        return text.casefold() not in MISSING
    return False


def _is_number(text: str) -> bool:
    """Whether a field is a finite float32 number."""
    try:
        with np.errstate(over="ignore"):
            return bool(np.isfinite(np.float32(float(text))))
    except ValueError:
        return False
