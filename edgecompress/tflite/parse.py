"""Parses a .tflite file into plain data, with everything that the rest relies on checked.

Field numbers are positions in the tables of schema.fbs (`ai_edge_litert.schema_py_generated` has the same in another form).
"""

import os
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgecompress.errors import ModelError
from edgecompress.tflite.flatbuffer import Flatbuffer, Table
from edgecompress.tflite.model import Operator, OperatorCode, Quantization, Signature, Subgraph, Tensor, Tflite

IDENTIFIER = b"TFL3"
SCHEMA_VERSION = 3
SMALLEST_BYTES = 12  # root offset, identifier, one empty table


def _names(enumeration: type) -> dict[int, str]:
    """Value -> name of a generated enumeration."""
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


OPERATOR_NAMES = _names(schema.BuiltinOperator)
DTYPES = {value: name.lower() for value, name in _names(schema.TensorType).items()}


def parse(content: bytes, path: str | os.PathLike[str] | None = None) -> Tflite:
    """Parses the bytes of a .tflite file.

    Args:
        content: the whole file. Buffers of the result are views into it.
        path: the file's path, for messages only.

    Raises:
        ModelError: the bytes are not a .tflite file, are truncated or damaged, or follow a newer schema. One line.
    """
    try:
        _check_identifier(content)
        return _model(Flatbuffer(content).root())
    except ModelError as error:
        if path is None:
            raise
        raise ModelError(f"{os.fspath(path)}: {error}") from None


def _check_identifier(content: bytes) -> None:
    """Raises ModelError unless the bytes begin like a .tflite file."""
    if len(content) < SMALLEST_BYTES or content[4:8] != IDENTIFIER:
        raise ModelError(
            f"the file must be a .tflite file (a flatbuffer with identifier TFL3). Received: {len(content)} bytes, {content[:8]!r}."
        )


def _model(table: Table) -> Tflite:
    """The root table."""
    if (version := table.number(0, "<I")) != SCHEMA_VERSION:
        raise ModelError(f"the schema version of the .tflite file must be {SCHEMA_VERSION}. Received: {version}.")
    file = Tflite(
        version=version,
        operator_codes=tuple(_operator_code(child) for child in table.children(1)),
        subgraphs=tuple(_subgraph(child) for child in table.children(2)),
        description=table.text(3),
        buffers=tuple(_buffer(child) for child in table.children(4)) or (np.empty(0, "u1"),),  # buffer 0 always stands for "no data"
        metadata=tuple((child.text(0), child.number(1, "<I")) for child in table.children(6)),
        signatures=tuple(_signature(child) for child in table.children(7)),
    )
    if not file.subgraphs:
        raise ModelError("the .tflite file must have at least one subgraph. Received: none.")
    _check_indices(file)
    return file


def _operator_code(table: Table) -> OperatorCode:
    """Codes above 126 stand in a field of their own; older files have only the old field."""
    code = max(table.number(0, "<b"), table.number(3, "<i"))
    if code not in OPERATOR_NAMES:
        raise ModelError(f"operators of the .tflite file must be of a known kind; this file follows a newer schema. Received: code {code}.")
    name = OPERATOR_NAMES[code]
    return OperatorCode(f"CUSTOM:{table.text(1)}" if name == "CUSTOM" else name, table.number(2, "<i", default=1))


def _subgraph(table: Table) -> Subgraph:
    return Subgraph(
        tensors=tuple(_tensor(child) for child in table.children(0)),
        inputs=table.integers(1),
        outputs=table.integers(2),
        operators=tuple(
            Operator(child.number(0, "<I"), child.integers(1), child.integers(2), child.integers(8)) for child in table.children(3)
        ),
        name=table.text(4),
    )


def _tensor(table: Table) -> Tensor:
    code = table.number(1, "<b")
    if code not in DTYPES:
        raise ModelError(f"tensors of the .tflite file must be of a known type; this file follows a newer schema. Received: type {code}.")
    quantization = table.child(4)
    return Tensor(
        shape=table.integers(0),
        dtype=DTYPES[code],
        buffer=table.number(2, "<I"),
        name=table.text(3),
        quantization=None if quantization is None else _quantization(quantization),
        is_sparse=table.child(6) is not None,
        is_variable=bool(table.number(5, "<?")),
        shape_signature=table.integers(7),
    )


def _quantization(table: Table) -> Quantization | None:
    """None for a table that only records a range (fields 0 and 1)."""
    scales, details_type = table.array(2, "<f4"), table.number(4, "<B")
    if not scales.size and not details_type:
        return None
    made = Quantization(scales, table.array(3, "<i8"), axis=table.number(6, "<i"))
    if details_type != schema.QuantizationDetails.BlockwiseQuantization or (details := table.child(5)) is None:
        return made
    scale_tensor, zero_point_tensor, block = (details.number(number, "<i") for number in range(3))
    return replace(made, block=block, scale_tensor=scale_tensor, zero_point_tensor=zero_point_tensor)


def _buffer(table: Table) -> np.ndarray:
    """Data inside the flatbuffer, or, in files over 2 GB, behind it."""
    start, num_bytes = table.number(1, "<Q"), table.number(2, "<Q")
    if start <= 1:  # 1 marks a buffer whose place was never filled in
        return table.array(0, "u1")
    table.file.check(start, num_bytes)
    return np.frombuffer(table.file.content, "u1", num_bytes, start)


def _signature(table: Table) -> Signature:
    inputs, outputs = ({child.text(0): child.number(1, "<I") for child in table.children(number)} for number in (0, 1))
    return Signature(table.text(2), table.number(4, "<I"), inputs, outputs)


def _check_indices(file: Tflite) -> None:
    """Raises ModelError for an index that points at nothing."""
    _check("buffers", (buffer for _, buffer in file.metadata), len(file.buffers))
    for subgraph in file.subgraphs:
        num_tensors = len(subgraph.tensors)
        _check("buffers", (tensor.buffer for tensor in subgraph.tensors), len(file.buffers))
        _check("tensors", (*subgraph.inputs, *subgraph.outputs), num_tensors)
        for tensor in subgraph.tensors:
            _check_blocks(subgraph, tensor)
        _check("operator codes", (operator.code for operator in subgraph.operators), len(file.operator_codes))
        for operator in subgraph.operators:
            _check("tensors", (*operator.inputs, *operator.outputs, *operator.intermediates), num_tensors, least=-1)
    _check("subgraphs", (signature.subgraph for signature in file.signatures), len(file.subgraphs))
    for signature in file.signatures:
        arguments = (*signature.inputs.values(), *signature.outputs.values())
        _check("tensors", arguments, len(file.subgraphs[signature.subgraph].tensors))


def _check_blocks(subgraph: Subgraph, tensor: Tensor) -> None:
    """Raises ModelError for block-wise scales that are not there, or have such scales themselves."""
    if (found := tensor.quantization) is None:
        return
    numbers = [found.scale_tensor, found.zero_point_tensor]
    _check("tensors", numbers, len(subgraph.tensors), least=-1)
    for number in numbers:
        inner = subgraph.tensors[number].quantization if number >= 0 else None
        if number >= 0 and inner is not None and inner.scale_tensor >= 0:
            raise ModelError(f"scales of tensor {tensor.name!r} in the .tflite file must be plain numbers: it is damaged.")


def _check(what: str, indices: Iterable[int], number: int, least: int = 0) -> None:
    """Raises ModelError unless all indices lie in [least, number)."""
    for index in indices:
        if not least <= index < number:
            raise ModelError(f"indices of {what} in the .tflite file must be in [{least}, {number}): it is damaged. Received: {index}.")
