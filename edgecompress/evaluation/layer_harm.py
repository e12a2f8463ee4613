"""How much each layer's own error in a .tflite costs at the model's output, and what kind of error it is.

A layer with a low signal-to-noise ratio may harm nothing, if the layers after it do not listen; one with a high ratio may decide the
output. So the error that a layer makes by itself (see `parity`) is added to its output in the Keras model, alone, and the outputs are
compared. What the layers add up to is close to the error of the file as long as errors are small.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from edgecompress.backend import keras, tf
from edgecompress.device import DeviceFault
from edgecompress.device.runtime import TensorSpec
from edgecompress.errors import ModelError
from edgecompress.evaluation.layer_walk import Recording, call_node, record, walk
from edgecompress.evaluation.parity import LayerParity, compare_recorded, snr_db
from edgecompress.graph.layers import wrapped_layer
from edgecompress.graph.order import nodes_in_order
from edgecompress.samples import Samples, ordered

INPUT = "(input)"  # stands for the rounding of the samples themselves
OUTER_PERCENT = 0.1  # of the values at each end, that count as outliers


@dataclass(frozen=True)
class LayerHarm:
    """What one layer's own error does.

    Attributes:
        parity: how far Keras and the file agree on it; None for the input.
        share: of the noise at the model's output, in [0, 1]: all layers add up to 1.
        output_snr_db: of the model's output, were this the only error.
        shift: share of the error's power that is one constant per channel, in [0, 1]: what a bias could mend.
        clipped: share of the values that lie outside the tensor's range, in [0, 1].
        range_used: part of the tensor's range that holds all but the outer 0.2 % of the values; None for a float tensor.
    """

    parity: LayerParity | None
    share: float
    output_snr_db: float
    shift: float
    clipped: float
    range_used: float | None

    @property
    def name(self) -> str:
        """The layer, with those that are computed together with it."""
        return INPUT if self.parity is None else self.parity.name


def file_harms(
    model: keras.Model, content: bytes, samples: Samples, tensors: Mapping[str, int], advance: Callable[[], None] = lambda: None
) -> list[LayerHarm]:  # fmt: skip
    """`layer_harms` of a file that is not stored yet.

    Raises:
        ModelError: the layers cannot be compared.
    """
    with TemporaryDirectory(prefix="edgecompress-") as folder:
        path = Path(folder, "model.tflite")
        path.write_bytes(content)
        try:
            recording = record(path, samples, tensors)
        except DeviceFault as fault:
            raise ModelError(f"{model.name}: the layers of model and file cannot be compared: {fault.reason}") from fault
    return layer_harms(model, recording, samples, tensors, advance)


def layer_harms(
    model: keras.Model, recording: Recording, samples: Samples, tensors: Mapping[str, int], advance: Callable[[], None] = lambda: None
) -> list[LayerHarm]:
    """Measures all layers that the file has a tensor for, the most harmful first.

    Args:
        model: what was converted.
        recording: what the file had for `samples`.
        samples: float32 [n, ...], by name for several inputs.
        tensors: layer -> index of its tensor in the file.
        advance: called after each layer.
    """
    parities = {parity.layers[-1]: parity for parity in compare_recorded(model, recording, samples, tensors)}
    values = recording.of_layers({layer: tensors[layer] for layer in parities})
    errors: dict[str, np.ndarray] = {}
    kinds: dict[str, tuple[float, float, float | None]] = {INPUT: (0.0, 0.0, None)}
    for layer, output, _ in walk(model, recording.samples, values):
        if layer in parities:
            errors[layer] = values[layer].reshape(output.shape) - output
            kinds[layer] = kind_of_error(output, errors[layer], recording.specs[tensors[layer]])
    signal, noises = _output_noise(model, samples, recording.samples, errors, advance)
    total = sum(float(np.mean(noise**2)) for noise in noises.values())
    harms = [
        LayerHarm(parities.get(layer), float(np.mean(noise**2)) / total if total else 0.0, snr_db(signal, noise), *kinds[layer])
        for layer, noise in noises.items()
    ]
    return sorted(harms, key=lambda harm: -harm.share)


def kind_of_error(expected: np.ndarray, error: np.ndarray, spec: TensorSpec) -> tuple[float, float, float | None]:
    """(shift, clipped, range_used) of a layer, see `LayerHarm`.

    Args:
        expected: [n, ..., channels], what Keras computes.
        error: of the same shape, what the file had less `expected`.
        spec: the file's tensor.
    """
    power = float(np.mean(error.astype(np.float64) ** 2))
    channels = error.reshape(-1, error.shape[-1]).astype(np.float64)
    shift = float(np.mean(channels.mean(axis=0) ** 2)) / power if power else 0.0
    if spec.scale is None or not np.issubdtype(spec.dtype, np.integer):
        return shift, 0.0, None
    limits = np.iinfo(spec.dtype)
    low, high = ((limit - (spec.zero_point or 0)) * spec.scale for limit in (limits.min, limits.max))
    outside = (expected < low - spec.scale / 2) | (expected > high + spec.scale / 2)
    inner = np.percentile(expected, [OUTER_PERCENT, 100 - OUTER_PERCENT])
    return shift, float(outside.mean()), float(np.clip((inner[1] - inner[0]) / (high - low), 0, 1))


def _output_noise(
    model: keras.Model, samples: Samples, rounded: Samples, errors: Mapping[str, np.ndarray], advance: Callable[[], None]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The model's outputs in one row, and layer -> what they change by if it alone errs."""
    given = ordered(samples, model.input_names)
    numbers = {layer: number for number, layer in enumerate(errors)}
    constants = {layer: tf.constant(error) for layer, error in errors.items()}

    @tf.function  # one graph for all layers: a switch for each error
    def run(inputs: list[Any], switches: tf.Tensor) -> tf.Tensor:
        outputs: dict[str, Any] = {str(id(tensor)): part for tensor, part in zip(model.inputs, inputs, strict=True)}
        for node in nodes_in_order(model):
            results, layer = call_node(node, outputs), wrapped_layer(node.layer).name
            if layer in numbers:
                results = [results[0] + switches[numbers[layer]] * tf.reshape(constants[layer], results[0].shape)]
            outputs |= dict(zip(node.flat_output_ids, results, strict=True))
        return tf.concat([tf.reshape(outputs[str(id(tensor))], [-1]) for tensor in model.outputs], axis=0)

    off = np.zeros(max(1, len(errors)), np.float32)
    clean = run([tf.constant(part) for part in given], off).numpy()
    noises = {INPUT: run([tf.constant(part) for part in ordered(rounded, model.input_names)], off).numpy() - clean}
    for layer, number in numbers.items():
        noises[layer] = run([tf.constant(part) for part in given], np.eye(1, len(off), number, dtype=np.float32)[0]).numpy() - clean
        advance()
    return clean, noises
