"""What each byte of a .tflite file is there for."""

from typing import Any

import numpy as np

from edgecompress.tflite.flatbuffer import Flatbuffer, Table
from edgecompress.tflite.parse import parse
from edgecompress.tflite.schema_fields import Field, fields_of, union_tables
from edgecompress.tflite.shrink.appended import find_appended

WEIGHTS, PADDING, APPENDED = "weights", "padding", "appended"
UNUSED = "unused buffers"

# (table, attribute) of a reference, or a table -> the kind of its bytes. What is not named here inherits the kind of the table around it.
_KINDS = {
    "Model": "structure",
    ("Model", "description"): "metadata",
    "Metadata": "metadata",
    "OperatorCode": "operators",
    "Operator": "operators",
    "SubGraph": "structure",
    ("SubGraph", "name"): "names",
    "Tensor": "tensors",
    ("Tensor", "name"): "names",
    "QuantizationParameters": "tensors",
    ("QuantizationParameters", "scale"): "scales",
    ("QuantizationParameters", "zeroPoint"): "zero points",
    ("QuantizationParameters", "min"): "ranges",
    ("QuantizationParameters", "max"): "ranges",
    "SparsityParameters": "sparsity",
    "Buffer": "structure",
    "SignatureDef": "signatures",
}


def bytes_by_kind(content: bytes) -> dict[str, int]:
    """Bytes per kind, largest first: weights by type, scales, zero points, names, metadata, operators, padding and so on.

    The values add up to the size of the file. What several tables share counts once. "padding" is what nothing refers to, "appended" what
    stands behind the flatbuffer.

    Raises:
        ModelError: not a .tflite file, or a damaged one.
    """
    painter = _Painter(content)
    painter.paint_table(painter.file.root(), "Model", "structure")
    painter.paint_buffers()
    counts = np.bincount(painter.colours, minlength=len(painter.kinds))
    sizes = {kind: int(counts[colour]) for kind, colour in painter.kinds.items() if counts[colour]}
    return dict(sorted(sizes.items(), key=lambda pair: -pair[1]))


class _Painter:
    """Gives every byte the colour of the first kind that claims it."""

    def __init__(self, content: bytes) -> None:
        self.file = Flatbuffer(content)
        self.colours = np.zeros(len(content), np.uint8)
        self.kinds = {PADDING: 0}
        self._tflite = parse(content)
        self._paint(0, 8, "structure")  # root and identifier
        if (start := find_appended(content)) is not None:
            self._paint(start, len(content) - start, APPENDED)

    def _paint(self, start: int, num_bytes: int, kind: str) -> None:
        colour = self.kinds.setdefault(kind, len(self.kinds))
        part = self.colours[start : start + num_bytes]
        part[part == 0] = colour

    def paint_table(self, table: Table, name: str, around: str) -> None:
        """A table, its list of fields, and all below it."""
        kind = _KINDS.get(name, around)
        start, num_bytes, list_start, list_bytes = table.extent()
        self._paint(start, num_bytes, kind)
        self._paint(list_start, list_bytes, kind)
        values: dict[str, Any] = {}
        for field in fields_of(name):
            if field.kind == "number":
                values[field.attribute] = table.number(field.number, f"<{field.what}", int(field.default or 0))
            elif table.has(field.number) and not (name == "Buffer" and field.attribute == "data"):
                self._paint_reference(table, name, field, kind, values.get(f"{field.attribute}Type", 0))

    def _paint_reference(self, table: Table, name: str, field: Field, around: str, kind_of_union: int) -> None:
        """What one field refers to."""
        kind = _KINDS.get((name, field.attribute), around)
        if field.kind in ("numbers", "text", "tables"):
            start, num_bytes = table.vector_extent(
                field.number, field.what if field.kind == "numbers" else "u1" if field.kind == "text" else "<u4"
            )
            self._paint(start, num_bytes + (field.kind == "text"), kind)  # a text ends with a zero
        if field.kind == "tables":
            for child in table.children(field.number):
                self.paint_table(child, field.what, kind)
        elif field.kind in ("table", "union"):
            what = field.what or union_tables(field.attribute).get(kind_of_union)
            inner = table.child(field.number)
            if inner is not None and what is not None:
                self.paint_table(inner, what, kind)

    def paint_buffers(self) -> None:
        """Data, by the type of the tensor that uses it."""
        users = {tensor.buffer: f"{WEIGHTS} {tensor.dtype}" for graph in self._tflite.subgraphs for tensor in reversed(graph.tensors)}
        apart = {
            graph.tensors[scheme.scale_tensor].buffer for graph in self._tflite.subgraphs for tensor in graph.tensors
            if (scheme := tensor.quantization) is not None and scheme.block
        }  # fmt: skip
        users |= dict.fromkeys(apart, "scales")
        users |= {buffer: "metadata" for _, buffer in self._tflite.metadata if buffer not in users}
        for index, data in enumerate(self._tflite.buffers):
            if data.size:
                start = data.__array_interface__["data"][0] - np.frombuffer(self.file.content, np.uint8).__array_interface__["data"][0]
                self._paint(start, data.size, users.get(index, UNUSED))
                self._paint(start - 4, 4, "structure")  # its length
