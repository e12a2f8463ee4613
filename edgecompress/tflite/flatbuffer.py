"""Reads a flatbuffer with every offset checked.

The flatbuffers package for Python has no verifier: it follows offsets to before the file, cuts strings short, and tables that
share their children can keep it busy for hours. Files come from strangers, so each read here is checked and counted.

Source: the binary format, https://flatbuffers.dev/internals/
"""

import struct
from dataclasses import dataclass, field

import numpy as np

from edgecompress.errors import ModelError

# In a file that shares nothing, reading everything once costs less than one unit per byte; in one that shares all that `pack` shares, up
# to three.
WORK_PER_BYTE = 4
LEAST_WORK = 4096
TABLE_WORK = 8  # a table takes at least 4 bytes, and the reference to it 4 more

_SIGNED, _UNSIGNED, _SHORT, _PAIR = struct.Struct("<i"), struct.Struct("<I"), struct.Struct("<H"), struct.Struct("<HH")


@dataclass
class Flatbuffer:
    """The bytes of a file, and how much more work may be spent on them."""

    content: bytes
    work_left: int = field(init=False)

    def __post_init__(self) -> None:
        self.work_left = LEAST_WORK + WORK_PER_BYTE * len(self.content)

    def root(self) -> "Table":
        """The outermost table."""
        return self.table(self.unpack(_UNSIGNED, 0)[0])

    def table(self, position: int) -> "Table":
        """The table at `position`, with its list of fields checked."""
        self.spend(TABLE_WORK)
        list_at = position - self.unpack(_SIGNED, position)[0]
        list_bytes, table_bytes = self.unpack(_PAIR, list_at)
        self.check(position, table_bytes)
        self.check(list_at, list_bytes)
        return Table(self, position, list_at + _PAIR.size, max(list_bytes - _PAIR.size, 0) // _SHORT.size)

    def unpack(self, layout: struct.Struct, position: int) -> tuple[int, ...]:
        """The numbers at `position`."""
        self.check(position, layout.size)
        return layout.unpack_from(self.content, position)

    def check(self, position: int, num_bytes: int) -> None:
        """Raises ModelError unless `num_bytes` from `position` on lie inside the file."""
        if position < 0 or position + num_bytes > len(self.content):
            raise ModelError(
                "the .tflite file must be complete: it is truncated or damaged. "
                f"Received: {len(self.content)} bytes, of which bytes {position} to {position + num_bytes} are needed."
            )

    def spend(self, amount: int) -> None:
        """Counts work, so that no file can keep the reader busy for long."""
        self.work_left -= amount
        if self.work_left < 0:
            raise ModelError("the .tflite file must not hold the same tables many times over: it is damaged.")


@dataclass(frozen=True, slots=True)
class Table:
    """One table. Its fields are numbered from 0 in the order of the schema.

    Attributes:
        file: the file around it.
        position: of the table, in bytes.
        fields_at: where the file keeps how far from `position` each field is; 0 = absent. It is not copied: lists may be long and overlap.
        num_fields: how many there are.
    """

    file: Flatbuffer
    position: int
    fields_at: int
    num_fields: int

    def _find(self, number: int) -> int | None:
        """Position of a field, or None where the file leaves it out."""
        offset = self.file.unpack(_SHORT, self.fields_at + _SHORT.size * number)[0] if number < self.num_fields else 0
        return self.position + offset if offset else None

    def has(self, number: int) -> bool:
        """Whether the file holds a field."""
        return self._find(number) is not None

    def present(self) -> list[int]:
        """The numbers of the fields that the file holds."""
        found: list[int] = np.flatnonzero(np.frombuffer(self.file.content, "<u2", self.num_fields, self.fields_at)).tolist()
        return found

    def _follow(self, number: int) -> int | None:
        """Position of what a field refers to."""
        at = self._find(number)
        return None if at is None else at + self.file.unpack(_UNSIGNED, at)[0]

    def number(self, number: int, layout: str, default: int = 0) -> int:
        """A scalar field; `layout` is a format of `struct`, such as "<i"."""
        at = self._find(number)
        return default if at is None else self.file.unpack(struct.Struct(layout), at)[0]

    def array(self, number: int, dtype: str) -> np.ndarray:
        """A vector of scalars, as a view into the file; an empty one where it is absent."""
        start = self._follow(number)
        if start is None:
            return np.empty(0, dtype)
        (length,) = self.file.unpack(_UNSIGNED, start)
        self.file.check(start + 4, length * np.dtype(dtype).itemsize)
        return np.frombuffer(self.file.content, dtype, length, start + 4)

    def integers(self, number: int, dtype: str = "<i4") -> tuple[int, ...]:
        """A short vector of integers."""
        values = self.array(number, dtype)
        self.file.spend(values.nbytes)
        return tuple(values.tolist())

    def text(self, number: int) -> str:
        """A string; "" where it is absent. Bytes that are not UTF-8 are replaced."""
        return self.raw_text(number).decode("utf-8", errors="replace")

    def raw_text(self, number: int) -> bytes:
        """The bytes of a string; none where it is absent."""
        values = self.array(number, "u1")
        self.file.spend(values.nbytes)
        return values.tobytes()

    def child(self, number: int) -> "Table | None":
        """A table inside this one."""
        start = self._follow(number)
        return None if start is None else self.file.table(start)

    def children(self, number: int) -> "list[Table]":
        """A vector of tables."""
        start = self._follow(number)
        if start is None:
            return []
        (length,) = self.file.unpack(_UNSIGNED, start)
        self.file.check(start + 4, 4 * length)
        places = range(start + 4, start + 4 + 4 * length, 4)
        return [self.file.table(place + self.file.unpack(_UNSIGNED, place)[0]) for place in places]

    def extent(self) -> tuple[int, int, int, int]:
        """Start and bytes of the table, start and bytes of its list of fields."""
        list_at = self.position - self.file.unpack(_SIGNED, self.position)[0]
        list_bytes, table_bytes = self.file.unpack(_PAIR, list_at)
        return self.position, table_bytes, list_at, list_bytes

    def vector_extent(self, number: int, dtype: str) -> tuple[int, int]:
        """Start and bytes of a vector, its length included; of no bytes where it is absent."""
        start = self._follow(number)
        return (0, 0) if start is None else (start, 4 + self.array(number, dtype).nbytes)
