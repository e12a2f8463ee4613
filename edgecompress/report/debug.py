"""What `edgecompress debug` found, as words and a table for terminal and page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from edgecompress.report.document import Block, make_table
from edgecompress.report.words import NOT_KNOWN

MOST_ROWS = 20  # on a terminal
MEANING = (
    "Share: of the noise at the model's output, were each layer the only one that errs. SNR: of the layer alone, given what the file had "
    "before it. Shift: part of its error that is a constant per channel. Clipped: values outside its range. Range used: by all but the "
    "outer 0.2 % of the values. After quantize-aware training, trained: the layer's output there against the float model before it; float "
    "to file: the same of the file."
)


def debug_block(values: Mapping[str, Any], *, most: int | None = None) -> Block:
    """A sentence on the output, the layers, and what to change.

    Args:
        values: `Debugged.to_dict()`.
        most: rows at most.
    """
    layers = values["layers"][:most]
    columns = (
        "Layers", ">Share", ">SNR, dB", ">SNR from input, dB", ">Trained, dB", ">Float to file, dB", ">Steps", ">Shift", ">Clipped",
        ">Range used",
    )  # fmt: skip
    rows = [_row(layer, values["trained"], values["from_float"]) for layer in layers]
    title = f"Layers by harm, on {values['num_samples']} validation samples"
    if len(layers) < len(values["layers"]):
        title += f", the first {len(layers)} of {len(values['layers'])}"
    advice = tuple(f"{number}. {words}" for number, words in enumerate(values["advice"], start=1))
    sentence = f"Output of the {values['format']} file against Keras: {_ratio(values['output_snr_db'])} dB."
    return Block(
        "debug",
        "Layers by harm",
        (sentence, MEANING, "What to change in the recipe:", *advice),
        tables=(make_table(columns, rows, title=title),),
    )


def _row(layer: Mapping[str, Any], *against_float: Mapping[str, float]) -> tuple[str, ...]:
    names = layer["name"].split(" + ")
    moved = [_ratio(next((found[name] for name in reversed(names) if name in found), None)) for found in against_float]
    return (
        layer["name"], f"{layer['share']:.1%}", _ratio(layer.get("snr_db")), _ratio(layer.get("snr_from_input_db")), *moved,
        NOT_KNOWN if layer.get("error_steps") is None else f"{layer['error_steps']:.2f}", f"{layer['shift']:.0%}",
        f"{layer['clipped']:.2%}", NOT_KNOWN if layer["range_used"] is None else f"{layer['range_used']:.0%}",
    )  # fmt: skip


def _ratio(decibels: float | None) -> str:
    if decibels is None:
        return NOT_KNOWN
    return "exact" if decibels == math.inf else f"{decibels:.1f}"
