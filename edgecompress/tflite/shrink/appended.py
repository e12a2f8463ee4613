"""What stands behind the flatbuffer of a .tflite file: the zip of associated files that metadata tools append.

Source: PKWARE's APPNOTE.TXT, sections 4.3.12 (central directory) and 4.3.16 (its end).
"""

import struct
from dataclasses import dataclass

_END, _ENTRY = b"PK\x05\x06", b"PK\x01\x02"  # signatures of the end of the central directory, and of one entry of it
_END_BYTES, _ENTRY_BYTES = 22, 46
_DIRECTORY = struct.Struct("<HII")  # at byte 10 of the end: number of entries, bytes and start of the central directory
_DIRECTORY_PLACE = 16  # of its start alone
_LENGTHS = struct.Struct("<HHH")  # at byte 28 of an entry: name, extra field, comment
_PLACE = struct.Struct("<I")  # at byte 42 of an entry: start of the file
_MOST_COMMENT = 1 << 16


@dataclass(frozen=True)
class _Zip:
    """A zip at the end of a file.

    Attributes:
        start, end: of the zip, and of the record that ends its central directory, in the file.
        is_absolute: its offsets count from the start of the file, not from its own.
        entries: places of the entries of the central directory.
    """

    start: int
    end: int
    is_absolute: bool
    entries: tuple[int, ...]


def find_appended(content: bytes) -> int | None:
    """Where an appended zip starts; None if there is none."""
    found = _find(content)
    return None if found is None else found.start


def move_appended(content: bytes, new_start: int) -> bytes:
    """The appended zip as it must be when it starts at `new_start`; no bytes where there is none."""
    found = _find(content)
    if found is None:
        return b""
    data = bytearray(content[found.start :])
    if found.is_absolute:
        for place in (*(entry + 42 for entry in found.entries), found.end + _DIRECTORY_PLACE):
            (before,) = _PLACE.unpack_from(content, place)
            _PLACE.pack_into(data, place - found.start, before + new_start - found.start)
    return bytes(data)


def _find(content: bytes) -> _Zip | None:
    """None where the file does not end with a whole zip."""
    end = content.rfind(_END, max(0, len(content) - _END_BYTES - _MOST_COMMENT))
    if end < 0 or end + _END_BYTES > len(content):
        return None
    number, num_bytes, written_at = _DIRECTORY.unpack_from(content, end + 10)
    directory = end - num_bytes
    before = directory - written_at  # what offsets leave out: nothing, or all that stands before the zip
    place, entries, start = directory, [], directory
    for _ in range(number):
        if place < 0 or place + _ENTRY_BYTES > end or content[place : place + 4] != _ENTRY:
            return None
        entries.append(place)
        start = min(start, before + _PLACE.unpack_from(content, place + 42)[0])
        place += _ENTRY_BYTES + sum(_LENGTHS.unpack_from(content, place + 28))
    if place != end or start < 0 or before not in (0, start):
        return None
    return _Zip(start, end, before == 0, tuple(entries))
