"""The `parity` section of report.json: the last Keras model against its file."""

from __future__ import annotations

from edgecompress.report.section import Section


class LayerParityReport(Section):
    """One layer: Keras against the file, both fed with what the file had before it."""

    layers: list[str]  # the layer last, before it those that the file computes together with it
    tensor: str
    snr_db: float | None  # of this layer alone; None: equal, or nothing but zeros
    cosine: float
    largest_error: float
    error_steps: float | None = None  # root mean square, in integer steps; None: a float tensor
    snr_from_input_db: float | None = None  # of the network up to here
    departs: bool


class Parity(Section):
    """Keras model and file on the validation split; layers are compared only where the outputs differ by more than noise."""

    metric: str
    keras: float | None
    tflite: float | None
    difference: float | None  # positive: the file is worse
    p_value: float | None = None
    p_value_of: str | None = None
    agreement: float | None = None  # fraction of samples on which both decide the same
    differs: bool
    num_samples: int = 0  # that layers were compared on
    first_departure: str | None = None
    weakest: str | None = None
    layers: list[LayerParityReport] = []
