"""What `inspect` found in a .tflite, as a page: where its bytes are, and its operators in order."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgecompress import __version__
from edgecompress.errors import ModelError
from edgecompress.inspection import floor_sentences
from edgecompress.report.document import Block, Card, make_table
from edgecompress.report.html import render_page
from edgecompress.report.treemap import treemap
from edgecompress.report.words import NOT_KNOWN, bytes_text, count_text, percent_text, ratio_text
from edgecompress.store import write_atomic


def write_lens(facts: Mapping[str, Any], path: Path) -> None:
    """Writes the page.

    Raises:
        ModelError: the facts are not of a .tflite.
        StorageError: the file cannot be written.
    """
    if facts["kind"] != "tflite":
        raise ModelError(f"{facts['path']}: must be a .tflite file to be drawn. Received: a {facts['kind'].capitalize()} model.")
    write_atomic(path, render_lens(facts))


def render_lens(facts: Mapping[str, Any]) -> str:
    """The page.

    Args:
        facts: as `inspection.inspect` gives them for a .tflite.
    """
    drawings = {
        "kinds": treemap("kinds", "Bytes of the file by what they are for", facts["bytes_by_kind"]),
        "weights": treemap("weights", "Bytes of constants by operator", _weights_by_operator(facts)),
    }
    return render_page(
        "edgecompress inspect", Path(facts["path"]).name, [f"{facts['bytes']:,} bytes", f"version {__version__}"], _cards(facts),
        [_bytes_block(facts), _operators_block(facts)], drawings,
    )  # fmt: skip


def _cards(facts: Mapping[str, Any]) -> list[Card]:
    """The file in a few numbers."""
    channels, macs = facts["channels"], sum(operator["macs"] for operator in facts["operators"])
    cards = [Card("Size", bytes_text(facts["bytes"]), f"{len(facts['operators'])} operators, {count_text(macs)} multiply-accumulates")]
    if facts["entropy_bytes"]:
        floor = facts["bytes"] / facts["entropy_bytes"]
        cards.append(
            Card(
                "Above its entropy floor", ratio_text(floor), f"weights hold {bytes_text(round(facts['entropy_bytes']))} of order-0 entropy"
            )
        )
    if channels["total"]:
        useless = channels["constant"] + channels["equal"]
        detail = f"{channels['constant']:,} never change, {channels['equal']:,} equal another one, of {channels['total']:,}"
        cards.append(Card("Useless channels", percent_text(useless / channels["total"]), detail, "bad" if useless else "good"))
    if facts["arena_bytes"] is not None:
        cards.append(Card("Memory of its tensors", bytes_text(facts["arena_bytes"]), "when they share it, greedily by size"))
    return cards


def _bytes_block(facts: Mapping[str, Any]) -> Block:
    rows = [(kind, count_text(size), percent_text(size / facts["bytes"])) for kind, size in facts["bytes_by_kind"].items()]
    table = make_table(("What for", ">Bytes", ">Share"), rows, title="Bytes by kind")
    return Block("bytes", "Where the bytes are", tuple(floor_sentences(facts)), plots=("kinds", "weights"), tables=(table,))


def _operators_block(facts: Mapping[str, Any]) -> Block:
    """In the order in which they run."""
    rows = [
        (str(number), operator["name"], ", ".join(_tensor(tensor) for tensor in operator["outputs"]), count_text(operator["weight_bytes"]),
         count_text(operator["moved_bytes"]), count_text(operator["macs"]), _intensity(operator))
        for number, operator in enumerate(facts["operators"])
    ]  # fmt: skip
    columns = (">No.", "Operator", "Output", ">Weight bytes", ">Bytes moved", ">MACs", ">MACs per byte")
    words = "Bytes moved are weights, inputs and outputs, once each. Few MACs per byte: memory sets the speed, not arithmetic."
    return Block("operators", "Operators in order", (words,), tables=(make_table(columns, rows),))


def _intensity(operator: Mapping[str, Any]) -> str:
    return f"{operator['intensity']:.1f}" if operator["macs"] else NOT_KNOWN


def _tensor(tensor: Mapping[str, Any]) -> str:
    """Type and shape."""
    return f"{tensor['dtype']} {' x '.join(str(size) for size in tensor['shape'])}"


def _weights_by_operator(facts: Mapping[str, Any]) -> dict[str, int]:
    """Number and name of an operator -> bytes of its constants."""
    return {
        f"{number} {operator['name']}": operator["weight_bytes"]
        for number, operator in enumerate(facts["operators"])
        if operator["weight_bytes"]
    }
