"""The sections of report.json on the parts of the final file: bytes of layers, and its operators."""

from __future__ import annotations

from edgecompress.report.section import Section


class LayerBytes(Section):
    """Weights of one layer in bytes: in the float32 baseline and in the final .tflite. None: the layer is not there."""

    name: str
    baseline_bytes: int | None = None
    final_bytes: int | None = None


class OperatorReport(Section):
    """One operator of the final .tflite, in the order in which they run."""

    index: int
    operator: str
    layer: str | None = None  # of the Keras model, that it is part of; None: not known
    output: list[int] = []
    weight_bytes: int
    macs: int
