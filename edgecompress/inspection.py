"""What a model file is made of: layers of a Keras model, operators of a .tflite. The content tells which, not the name."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecompress.errors import ModelError
from edgecompress.model_file import TFLITE_SIGNATURE, model_format

UNKNOWN = "unknown"  # the number of MACs of a layer without a formula

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rich.console import RenderableType

    from edgecompress.graph.layers import LayerInfo, ModelTotals


def inspect(path: str | Path, *, allow_code: bool = False) -> dict[str, Any]:
    """Describes a .tflite, .h5, .keras or SavedModel.

    Returns:
        kind ("tflite" or "keras"), bytes, and for a .tflite the keys of the report's `artifact`, `bytes_by_kind`, `channels` (total,
        constant, equal), `edgetpu` (what a file that is compiled for the Edge TPU needs, in words; else None), `entropy_bytes` (order-0
        entropy of the weights, a floor for any coding of them) and `operators`; for a Keras model parameters, nonzero_parameters, macs
        and `layers`; `macs` of a layer without a formula, and so the total, is None.

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
    from edgecompress.tflite.byte_map import bytes_by_kind
    from edgecompress.tflite.edgetpu import explain_compiled, is_compiled
    from edgecompress.tflite.entropy import entropy_bytes
    from edgecompress.tflite.shrink.census import count_channels

    content = path.read_bytes()
    tflite = parse(content, path)
    operators = [{**asdict(info), "intensity": info.intensity} for info in list_operators(tflite)]
    try:
        kinds, channels = bytes_by_kind(content), asdict(count_channels(content))
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    floor = {"entropy_bytes": entropy_bytes(tflite), "bytes_by_kind": kinds, "channels": channels}
    floor["edgetpu"] = explain_compiled(tflite) if is_compiled(tflite) else None
    return {"kind": "tflite", "path": str(path), **describe(content), **floor, "operators": operators}


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
    return _tflite_table(facts)


def _tflite_table(facts: dict[str, Any]) -> RenderableType:
    """The bytes by kind, and the operators."""
    from rich.console import Group
    from rich.text import Text

    title = f"{facts['path']}: {facts['bytes']:,} bytes; oldest TensorFlow Lite that runs it: {facts['min_runtime_version']}"
    kinds = ((kind, _count(size), f"{100 * size / facts['bytes']:.1f} %") for kind, size in facts["bytes_by_kind"].items())
    operators = (
        (item["name"], str(item["version"]), _types(item["outputs"]), _count(item["weight_bytes"]), _count(item["moved_bytes"]),
         _count(item["macs"]), f"{item['intensity']:.1f}" if item["macs"] else "")
        for item in facts["operators"]
    )  # fmt: skip
    headers = ("operator", "version", "outputs", "weight bytes", "bytes moved", "MACs", "MACs per byte")
    return Group(
        _table(title, ("bytes of", "bytes", "share"), kinds, numbers=2),
        *(Text(sentence) for sentence in floor_sentences(facts)),
        _table("", headers, operators, numbers=4),
    )


def floor_sentences(facts: Mapping[str, Any]) -> list[str]:
    """How much of a .tflite is there for nothing, in words."""
    channels, sentences = facts["channels"], [f"It is {facts['edgetpu']}."] if facts["edgetpu"] else []
    if facts["entropy_bytes"]:
        sentences.append(
            f"The weights hold {facts['entropy_bytes']:,.0f} bytes of order-0 entropy; "
            f"the file is {facts['bytes'] / facts['entropy_bytes']:.2f} times that."
        )
    if channels["total"]:
        sentences.append(
            f"Of {channels['total']:,} channels {channels['constant']:,} never change, and {channels['equal']:,} equal another one."
        )
    if facts["arena_bytes"] is not None:
        sentences.append(f"Its tensors take {facts['arena_bytes']:,} bytes of memory when they share it.")
    return sentences


def _table(title: str, headers: tuple[str, ...], rows: Iterable[tuple[str, ...]], *, numbers: int = 2) -> RenderableType:
    """A title and a table whose last columns, so many, are numbers."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for position, header in enumerate(headers):
        table.add_column(header, justify="right" if position >= len(headers) - numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return Group(Text(title, style="bold"), table) if title else table


def _types(tensors: Iterable[dict[str, Any]]) -> str:
    """Type and shape of each tensor."""
    return ", ".join(f"{tensor['dtype']} {_shape(tensor['shape'])}" for tensor in tensors)


def _shape(shape: Iterable[int | None]) -> str:
    """[28, 28, 32] as 28 x 28 x 32."""
    return " x ".join("?" if size is None else str(size) for size in shape)


def _count(number: int | None) -> str:
    """Thousands separated; nothing for zero."""
    return UNKNOWN if number is None else f"{number:,}" if number else ""
