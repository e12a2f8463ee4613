"""The bytes of a .tflite file from its object form, with nothing in it twice and nothing further apart than the runtimes need.

Equal vectors, texts and tables are written once and referred to from everywhere. Fields that hold their default are left out.
"""

import hashlib
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgecompress.errors import ModelError
from edgecompress.tflite.parse import IDENTIFIER
from edgecompress.tflite.schema_fields import Field, fields_of, union_tables

MAX_BYTES = 2**31 - 1  # what the offsets of a flatbuffer reach
ROOM, ROOM_OF_DATA = 1024, 8  # bytes, and one part in so many of the data, for tables: growing makes a second file of twice the size

LEAST_ALIGNMENT, FULL_ALIGNMENT = 4, 16  # bytes; the latter is what the schema asks writers for

# Kernels read constants of these types one element at a time or by loads that need no alignment. float32 is not among them: the built-in
# convolution with several threads hands its kernel to Eigen as aligned.
_PLAIN_TYPES = frozenset(
    getattr(schema.TensorType, name)
    for name in ("INT2", "INT4", "UINT4", "INT8", "UINT8", "BOOL", "INT16", "UINT16", "INT32", "UINT32", "FLOAT16", "BFLOAT16", "STRING")
)
_ONE_EACH = frozenset({"Tensor", "Operator"})  # so that the size of a file still limits the work of reading it


def pack(model: Any) -> bytes:
    """Writes a `ModelT`.

    Args:
        model: as `unpack` gives it. Vectors of numbers may be lists or arrays, texts str or bytes.

    Raises:
        ModelError: it would be larger than 2 GB.
    """
    num_bytes = sum(0 if buffer.data is None else len(buffer.data) for buffer in model.buffers)
    try:
        writer = _Writer(_alignments(model), max(num_bytes, min(ROOM + num_bytes + num_bytes // ROOM_OF_DATA, MAX_BYTES)))
        return writer.finish(writer.table("Model", model))
    except flatbuffers.builder.BuilderSizeError:
        raise ModelError(f"the .tflite file must be smaller than {MAX_BYTES:,} bytes. Received: {num_bytes:,} bytes of data.") from None


def _alignments(model: Any) -> dict[int, int]:
    """id of a buffer's object -> alignment of its data, for the buffers that need less than the full one."""
    types: dict[int, set[int]] = {}
    for subgraph in model.subgraphs:
        custom = {index for operator in subgraph.operators if _is_custom(model, operator) for index in _tensors_of(operator)}
        for index, tensor in enumerate(subgraph.tensors):
            types.setdefault(tensor.buffer, set()).add(-1 if index in custom else tensor.type)
    return {id(model.buffers[buffer]): LEAST_ALIGNMENT for buffer, found in types.items() if found <= _PLAIN_TYPES}


def _is_custom(model: Any, operator: Any) -> bool:
    code = model.operatorCodes[operator.opcodeIndex]
    return bool(max(code.builtinCode, code.deprecatedBuiltinCode) == schema.BuiltinOperator.CUSTOM)  # older files have the second alone


def _tensors_of(operator: Any) -> list[int]:
    """The indices of an operator's inputs."""
    return [] if operator.inputs is None else [int(index) for index in operator.inputs]


class _Writer:
    """A builder that remembers what it wrote.

    Args:
        alignments: of buffers, see `_alignments`.
        num_bytes: that are expected.
    """

    def __init__(self, alignments: dict[int, int], num_bytes: int) -> None:
        self._builder = flatbuffers.Builder(num_bytes)
        self._alignments = alignments
        self._written: dict[Any, int] = {}

    def finish(self, root: int) -> bytes:
        """The bytes of the file, with `root` as its outermost table."""
        self._builder.Finish(root, IDENTIFIER)
        return bytes(memoryview(self._builder.Bytes)[self._builder.Head() :])

    def table(self, name: str, made: Any) -> int:
        """Writes a table after all that it refers to; returns its place."""
        alignment = self._alignments.get(id(made), FULL_ALIGNMENT) if name == "Buffer" else LEAST_ALIGNMENT
        values = []
        for field in fields_of(name):
            value = getattr(made, field.attribute)
            if value is not None:
                values.append((field, self._refer(field, made, value, alignment) if field.kind != "number" else value))
        key = (name, *((field.number, value) for field, value in values))
        if key not in self._written or name in _ONE_EACH:
            self._written[key] = self._inline(values)
        return self._written[key]

    def _refer(self, field: Field, made: Any, value: Any, alignment: int) -> int:
        """Writes what a field refers to; returns its place."""
        if field.kind == "numbers":
            return self._numbers(np.asarray(value, field.what), alignment)
        if field.kind == "text":
            return self._text(value if isinstance(value, bytes) else value.encode())
        if field.kind == "tables":
            return self._references([self.table(field.what, child) for child in value])
        return self.table(field.what or union_tables(field.attribute)[getattr(made, f"{field.attribute}Type")], value)

    def _inline(self, values: list[tuple[Field, Any]]) -> int:
        """The table itself. Large fields first, so that little is lost between them."""
        builder = self._builder
        builder.StartObject(1 + max((field.number for field, _ in values), default=-1))
        for field, value in sorted(values, key=lambda pair: -_size(pair[0])):
            if field.kind == "number":
                _PREPEND[field.what](builder, field.number, value, field.default)
            else:
                builder.PrependUOffsetTRelativeSlot(field.number, value, 0)
        return int(builder.EndObject())

    def _numbers(self, values: np.ndarray, alignment: int) -> int:
        """A vector of numbers; its first element lies at a multiple of `alignment` and of its own size."""
        data = np.ascontiguousarray(values).reshape(-1).view(np.uint8).data  # not a copy: it may be most of the file
        alignment = max(alignment, values.itemsize)
        key = (alignment, values.itemsize, hashlib.sha256(data).digest())
        if key not in self._written:
            self._builder.Prep(alignment, len(data))
            self._builder.StartVector(values.itemsize, values.size, values.itemsize)
            head = self._builder.Head() - len(data)
            memoryview(self._builder.Bytes)[head : self._builder.Head()] = data
            self._builder.head = head
            self._written[key] = int(self._builder.EndVector())
        return self._written[key]

    def _text(self, value: bytes) -> int:
        if value not in self._written:
            self._written[value] = int(self._builder.CreateString(value))
        return self._written[value]

    def _references(self, places: list[int]) -> int:
        """A vector of references to tables."""
        self._builder.StartVector(4, len(places), 4)
        for place in reversed(places):
            self._builder.PrependUOffsetTRelative(place)
        return int(self._builder.EndVector())


_PREPEND = {
    "?": flatbuffers.Builder.PrependBoolSlot,
    "b": flatbuffers.Builder.PrependInt8Slot,
    "B": flatbuffers.Builder.PrependUint8Slot,
    "i": flatbuffers.Builder.PrependInt32Slot,
    "I": flatbuffers.Builder.PrependUint32Slot,
    "q": flatbuffers.Builder.PrependInt64Slot,
    "Q": flatbuffers.Builder.PrependUint64Slot,
    "f": flatbuffers.Builder.PrependFloat32Slot,
}


def _size(field: Field) -> int:
    """Bytes of a field inside its table."""
    return {"?": 1, "b": 1, "B": 1, "q": 8, "Q": 8}.get(field.what, 4) if field.kind == "number" else 4
