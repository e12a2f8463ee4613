"""What a model file is made of: layers of a Keras model, operators of a .tflite. The content tells which, not the name."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecompress.model_file import TFLITE_SIGNATURE, model_format

UNKNOWN = "unknown"  # the number of MACs of a layer without a formula

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import RenderableType

    from edgecompress.graph.layers import LayerInfo, ModelTotals


def inspect(path: str | Path, *, allow_code: bool = False) -> dict[str, Any]:
    """Describes a .tflite, .h5, .keras or SavedModel.

    Returns:
        kind ("tflite" or "keras"), bytes, and for a .tflite the keys of the report's `artifact` and `operators`; for a Keras
        model parameters, nonzero_parameters, macs and `layers`; `macs` of a layer without a formula, and so the total, is None.

    Raises:
        ModelError: missing, damaged, or neither.
    """
    path = Path(path)
    return _inspect_tflite(path) if is_tflite(path) else _inspect_keras(path, allow_code)


def is_tflite(path: Path) -> bool:
    """Whether a file is a .tflite by its content, or claims to be one by its name."""
    return path.is_file() and (path.suffix == ".tflite" or has_tflite_content(path))


def has_tflite_content(path: Path) -> bool:
    """Whether a file starts like a .tflite."""
    with open(path, "rb") as file:
        return file.read(8)[4:] == TFLITE_SIGNATURE


def _inspect_tflite(path: Path) -> dict[str, Any]:
    """A .tflite, without TensorFlow."""
    from edgecompress.tflite import describe, list_operators, parse

    content = path.read_bytes()
    operators = [asdict(info) for info in list_operators(parse(content, path))]
    return {"kind": "tflite", "path": str(path), **describe(content), "operators": operators}


def _inspect_keras(path: Path, allow_code: bool) -> dict[str, Any]:
    """A Keras model."""
    model_format(path)  # refuses files of other tools without the seconds that TensorFlow takes
    from edgecompress.graph.layers import describe_layers, total
    from edgecompress.models import load_model

    layers = describe_layers(load_model(path, allow_code=allow_code))
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    size = sum(file.stat().st_size for file in files)
    return {"kind": "keras", "path": str(path), "bytes": size, **_facts(total(layers)), "layers": [_facts(layer) for layer in layers]}


def _facts(counted: LayerInfo | ModelTotals) -> dict[str, Any]:
    """The fields; MACs that are not known are None."""
    facts = asdict(counted)
    if not facts.pop("macs_known"):
        facts["macs"] = None
    return facts


def inspection_table(facts: dict[str, Any]) -> RenderableType:
    """The result of `inspect` for the terminal."""
    if facts["kind"] == "keras":
        macs = UNKNOWN if facts["macs"] is None else f"{facts['macs']:,}"
        title = f"{facts['path']}: {facts['parameters']:,} parameters, {macs} MACs, {facts['bytes']:,} bytes"
        rows = (
            (layer["name"], layer["type"], _shape(layer["output_shape"]), _count(layer["parameters"]), _count(layer["macs"]))
            for layer in facts["layers"]
        )
        return _table(title, ("layer", "type", "output", "parameters", "MACs"), rows)
    kinds = ", ".join(f"{kind} {size:,}" for kind, size in facts["bytes_by_type"].items())
    title = f"{facts['path']}: {facts['bytes']:,} bytes ({kinds}), runs from TensorFlow Lite {facts['min_runtime_version']} on"
    operators = (
        (item["name"], str(item["version"]), _types(item["outputs"]), _count(item["weight_bytes"]), _count(item["macs"]))
        for item in facts["operators"]
    )  # fmt: skip
    return _table(title, ("operator", "version", "outputs", "weight bytes", "MACs"), operators)


def _table(title: str, headers: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> RenderableType:
    """A title and a table whose last two columns are numbers."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for position, header in enumerate(headers):
        table.add_column(header, justify="right" if position >= len(headers) - 2 else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return Group(Text(title, style="bold"), table)


def _types(tensors: Iterable[dict[str, Any]]) -> str:
    """Type and shape of each tensor."""
    return ", ".join(f"{tensor['dtype']} {_shape(tensor['shape'])}" for tensor in tensors)


def _shape(shape: Iterable[int | None]) -> str:
    """[28, 28, 32] as 28 x 28 x 32."""
    return " x ".join("?" if size is None else str(size) for size in shape)


def _count(number: int | None) -> str:
    """Thousands separated; nothing for zero."""
    return UNKNOWN if number is None else f"{number:,}" if number else ""
