"""A .tflite file in a form that can be changed: the objects of `ai_edge_litert.schema_py_generated`, filled by a reader that checks.

The generated code has a reader of its own, which believes every offset and length in the file. Here each is checked and counted.
"""

from typing import Any

import numpy as np

from edgecompress.errors import ModelError
from edgecompress.tflite.flatbuffer import Flatbuffer, Table
from edgecompress.tflite.parse import parse
from edgecompress.tflite.schema_fields import Field, fields_of, new_table, union_tables

MAX_DEPTH = 16  # of tables in tables; the schema itself needs 6


def unpack(content: bytes) -> Any:
    """Reads a whole file into a `ModelT`.

    Numbers in vectors are NumPy arrays, as views into `content`: replace them, they cannot be written to. Texts are bytes. Data that
    stand behind the flatbuffer (in files made for more than 2 GB) become part of it.

    Raises:
        ModelError: not a .tflite file, a damaged one, or one of a newer schema.
    """
    parse(content)  # its checks: the identifier, the version, every index
    file = Flatbuffer(content)
    model = _read(file.root(), "Model", 0)
    model.operatorCodes, model.buffers = model.operatorCodes or [], model.buffers or [new_table("Buffer")]
    for buffer in model.buffers:
        if buffer.offset > 1:  # 1 marks a place that was never filled in
            buffer.data = _behind(file, buffer.offset, buffer.size)
        buffer.offset = buffer.size = 0
    for subgraph in model.subgraphs:
        subgraph.tensors, subgraph.operators = subgraph.tensors or [], subgraph.operators or []
        for operator in subgraph.operators:
            if operator.largeCustomOptionsOffset > 1:
                operator.customOptions = _behind(file, operator.largeCustomOptionsOffset, operator.largeCustomOptionsSize)
            operator.largeCustomOptionsOffset = operator.largeCustomOptionsSize = 0
    return model


def _behind(file: Flatbuffer, start: int, num_bytes: int) -> np.ndarray:
    """Data that a 64-bit offset points to."""
    file.check(start, num_bytes)
    return np.frombuffer(file.content, np.uint8, num_bytes, start)


def _read(table: Table, name: str, depth: int) -> Any:
    """One table and all below it."""
    if depth > MAX_DEPTH:
        raise ModelError(f"tables of the .tflite file must not be nested more than {MAX_DEPTH} deep: it is damaged.")
    made, known = new_table(name), {field.number: field for field in fields_of(name)}
    for number in table.present():
        if number > max(known, default=-1) or (number in known and known[number].kind == "unknown"):
            raise _newer(f"{name} field {number}")
        if number in known:  # gaps in the numbers are fields that the schema has given up
            field = known[number]
            kind = getattr(made, f"{field.attribute}Type") if field.kind == "union" else 0
            setattr(made, field.attribute, _value(table, field, kind, depth))
    return made


def _value(table: Table, field: Field, kind: int, depth: int) -> Any:
    """The value of a field that is there; `kind` says which table of a union it is."""
    if field.kind == "number":
        return table.number(field.number, f"<{field.what}")
    if field.kind == "numbers":
        return table.array(field.number, field.what)
    if field.kind == "text":
        return table.raw_text(field.number)
    if field.kind == "tables":
        return [_read(child, field.what, depth + 1) for child in table.children(field.number)]
    what = field.what or union_tables(field.attribute).get(kind)
    if what is None and kind:
        raise _newer(f"{field.attribute} of kind {kind}")
    child = table.child(field.number)
    return _read(child, what, depth + 1) if child is not None and what is not None else None


def _newer(what: str) -> ModelError:
    """The error for what the schema of this package does not have."""
    return ModelError(f"all parts of the .tflite file must be known; this file follows a newer schema. Received: {what}.")
