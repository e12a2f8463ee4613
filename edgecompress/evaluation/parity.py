"""Where a .tflite departs from its Keras model: every layer compared on real samples, each fed with what the file fed it.

Errors add up on the way through a network, so that a comparison from the input on blames the layers at the end. Here a layer's
Keras output is computed from the *file's* values before it. What remains is the error of that layer alone: rounding, unless
something is wrong with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgecompress.backend import keras
from edgecompress.device.runtime import TensorSpec
from edgecompress.evaluation.layer_walk import Recording, record, walk
from edgecompress.samples import Samples

LEAST_SNR_DB = 10.0  # a healthy 8-bit layer has 20 to 60
MOST_SUSPECTS = 8  # tensors that are tried without
MOST_ERROR_STEPS = 2.0  # a layer of tiny values may have a low ratio and still be right to the last integer step


@dataclass(frozen=True)
class LayerParity:
    """How far Keras and a file agree on one layer's output.

    Attributes:
        layers: the layer, after those that the file computes together with it: (conv, norm, relu).
        tensor: name of the tensor in the file.
        snr_db: of this layer alone, 10 log10(mean(keras^2) / mean((keras - file)^2)); infinite where both are equal.
        cosine: of the angle between both outputs; 1 where both are zero.
        largest_error: largest absolute difference, in real units.
        error_steps: root of the mean squared difference in integer steps of the tensor; None for a float tensor.
        snr_from_input_db: of the whole network up to here, both computed from the samples.
    """

    layers: tuple[str, ...]
    tensor: str
    snr_db: float
    cosine: float
    largest_error: float
    error_steps: float | None
    snr_from_input_db: float

    @property
    def name(self) -> str:
        """The layers in one word."""
        return " + ".join(self.layers)

    @property
    def departs(self) -> bool:
        """Whether the error is more than rounding: under 10 dB, and over 2 integer steps where the tensor has some."""
        return self.snr_db < LEAST_SNR_DB and (self.error_steps is None or self.error_steps > MOST_ERROR_STEPS)


def first_departure(parities: Sequence[LayerParity]) -> LayerParity | None:
    """The first layer that departs, in the order of the model; None where none does."""
    return next((parity for parity in parities if parity.departs), None)


def weakest(parities: Sequence[LayerParity]) -> LayerParity | None:
    """The layer that loses most by itself."""
    return min(parities, key=lambda parity: parity.snr_db, default=None)


def compare_layers(model: keras.Model, file: Path, samples: Samples, tensors: Mapping[str, int]) -> list[LayerParity]:
    """Compares the outputs of all layers that the file has a tensor for, in the order of the model.

    Args:
        model: what was converted.
        file: the .tflite, with a batch of 1.
        samples: float32 [n, ...], by name for several inputs; a few: all outputs of all layers are held.
        tensors: layer -> index of its tensor in the file, see `export.layer_tensors`.

    Raises:
        DeviceFault: the file does not run.
        ModelError: the inputs of the file cannot be told apart.
    """
    return compare_recorded(model, record(file, samples, tensors), samples, tensors)


def compare_recorded(model: keras.Model, recording: Recording, samples: Samples, tensors: Mapping[str, int]) -> list[LayerParity]:
    """`compare_layers` of what a file had."""
    from_input = {layer: output for layer, output, _ in walk(model, samples, {})}

    def measure(chosen: Mapping[str, int]) -> list[LayerParity]:
        values = recording.of_layers(chosen)
        return [
            _parity(layers, recording.specs[chosen[layer]], output, values[layer], from_input[layer])
            for layer, output, layers in walk(model, recording.samples, values)
            if layer in values
        ]

    return _without_false_tensors(measure, tensors)


def _without_false_tensors(measure: Callable[[Mapping[str, int]], list[LayerParity]], tensors: Mapping[str, int]) -> list[LayerParity]:
    """Leaves out tensors that are not what they are called, such as that of a layer whose last step went into the next operator.

    A wrong layer departs alone, as the layers after it are fed with what it gave: without its tensor the next one would depart in its
    place. A false tensor makes the next layer depart too; without it there are no more that do.
    """
    parities = measure(tensors)
    order = [parity.layers[-1] for parity in parities]
    for suspect in [parity.layers[-1] for parity in parities if parity.departs][:MOST_SUSPECTS]:
        later = set(order[order.index(suspect) + 1 :])
        fewer = {layer: index for layer, index in tensors.items() if layer != suspect}
        others = measure(fewer)
        before, after = (sum(parity.departs and parity.layers[-1] in later for parity in found) for found in (parities, others))
        if 0 < before >= after:
            tensors, parities = fewer, others
    return parities


def _parity(layers: tuple[str, ...], spec: TensorSpec, expected: np.ndarray, received: np.ndarray, from_input: np.ndarray) -> LayerParity:
    """Measures one layer."""
    keras_values, file_values = expected.astype(np.float64).ravel(), received.astype(np.float64).ravel()
    error = keras_values - file_values
    lengths = float(np.linalg.norm(keras_values) * np.linalg.norm(file_values))
    equal = 1.0 if not keras_values.any() and not file_values.any() else 0.0
    return LayerParity(
        layers=layers,
        tensor=spec.name,
        snr_db=snr_db(keras_values, error),
        cosine=float(keras_values @ file_values) / lengths if lengths else equal,
        largest_error=float(np.abs(error).max(initial=0.0)),
        error_steps=None if spec.scale is None else float(np.sqrt(np.mean(error**2)) / spec.scale),
        snr_from_input_db=snr_db(from_input, from_input.astype(np.float64).ravel() - file_values),
    )


def snr_db(signal: np.ndarray, error: np.ndarray) -> float:
    """10 log10(mean(signal^2) / mean(error^2)): infinite without error, minus infinite without signal."""
    power, noise = float(np.mean(np.square(signal, dtype=np.float64))), float(np.mean(np.square(error, dtype=np.float64)))
    if not noise:
        return math.inf
    return 10 * math.log10(power / noise) if power else -math.inf
