"""Keras model and file side by side, as a section of the report."""

from __future__ import annotations

from edgecompress.report.document import Block, Cell, make_table
from edgecompress.report.parity_schema import LayerParityReport, Parity
from edgecompress.report.words import NOT_KNOWN, metric_text, metric_title, percent_text

MEANING = (
    "Each layer was computed by Keras from what the file had before it, so a low ratio is the layer's own. "
    "The last column is the whole network up to there."
)


def parity_block(parity: Parity) -> Block:
    """A sentence on the outputs, and the layers where those differ."""
    if not parity.layers:
        return Block("parity", "Parity of Keras and the file", (_sentence(parity),))
    rows = [_row(layer) for layer in parity.layers]
    columns = ("Layers", "", ">SNR, dB", ">Cosine", ">Largest error", ">Error, steps", ">SNR from input, dB")
    table = make_table(columns, rows, title=f"Layers on {parity.num_samples} validation samples", collapsed=True)
    return Block("parity", "Parity of Keras and the file", (_sentence(parity), _finding(parity), MEANING), tables=(table,))


def _sentence(parity: Parity) -> str:
    values = f"{metric_text(parity.metric, parity.keras)} in Keras, {metric_text(parity.metric, parity.tflite)} in the file"
    alike = "" if parity.agreement is None else f"; both decide alike on {percent_text(parity.agreement)} of the samples"
    judged = "more than noise" if parity.differs else "no difference beyond noise"
    return f"{metric_title(parity.metric)} on the validation split: {values}{alike}: {judged}."


def _finding(parity: Parity) -> str:
    if parity.first_departure is not None:
        return f"The first layer that departs is {parity.first_departure}."
    return f"No layer departs by itself; {parity.weakest} loses most."


def _row(layer: LayerParityReport) -> tuple[str | Cell, ...]:
    departs = Cell("departs", "bad") if layer.departs else Cell("")
    steps = NOT_KNOWN if layer.error_steps is None else f"{layer.error_steps:.2f}"
    ratios = [("exact" if value is None else f"{value:.1f}") for value in (layer.snr_db, layer.snr_from_input_db)]
    return (" + ".join(layer.layers), departs, ratios[0], f"{layer.cosine:.4f}", f"{layer.largest_error:.4g}", steps, ratios[1])
