"""A Keras model and its .tflite, layer by layer: what the file had in its tensors, and what Keras computes from any of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgecompress.backend import keras, tf
from edgecompress.device.quantization import dequantize, quantize
from edgecompress.device.runtime import TensorSpec, TfliteModel
from edgecompress.graph.layers import wrapped_layer
from edgecompress.graph.order import nodes_in_order
from edgecompress.samples import Samples, each, names_in_file, ordered

TRANSPARENT = ("QuantizeLayer", "Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "GaussianDropout", "GaussianNoise")


@dataclass(frozen=True)
class Recording:
    """What a file computed for some samples.

    Attributes:
        samples: the inputs as the file had them, in real units.
        values: index of a tensor -> its values in real units, float32 [n, ...].
        specs: index of a tensor -> type, scale and name.
    """

    samples: Samples
    values: Mapping[int, np.ndarray]
    specs: Mapping[int, TensorSpec]

    def of_layers(self, tensors: Mapping[str, int]) -> dict[str, np.ndarray]:
        """Layer -> what the file had for its output."""
        return {layer: self.values[index] for layer, index in tensors.items()}


def record(file: Path, samples: Samples, tensors: Mapping[str, int]) -> Recording:
    """Runs a file and keeps what stands in the tensors of layers.

    It runs with the runtime's built-in kernels: a delegate does not show what it computes inside.

    Args:
        file: a .tflite with a batch of 1.
        samples: float32 [n, ...], by name for several inputs; a few: all outputs of all layers are held.
        tensors: layer -> index of its tensor, see `export.layer_tensors`.

    Raises:
        DeviceFault: the file does not run.
        ModelError: the inputs of the file cannot be told apart.
    """
    tflite = TfliteModel(file, kernels="builtin", keep_tensors=True)
    specs = tflite.tensor_specs()
    names = names_in_file(file, each(lambda values: values.shape[1:], samples))
    stored = [quantize(values, spec) for values, spec in zip(ordered(samples, names), tflite.inputs, strict=True)]
    values = _run(tflite, stored, {index: specs[index] for index in tensors.values()})
    real = [dequantize(part, spec) for part, spec in zip(stored, tflite.inputs, strict=True)]
    return Recording(dict(zip(names, real, strict=True)) if isinstance(samples, Mapping) else real[0], values, specs)


def _run(tflite: TfliteModel, inputs: Sequence[np.ndarray], specs: Mapping[int, TensorSpec]) -> dict[int, np.ndarray]:
    """Real values of tensors for all samples, [n, ...]."""
    found: dict[int, list[np.ndarray]] = {index: [] for index in specs}
    for row in range(len(inputs[0])):
        tflite.invoke([values[row : row + 1] for values in inputs])
        for index, spec in specs.items():
            found[index].append(dequantize(tflite.get_tensor(index), spec))
    return {index: np.concatenate([np.atleast_1d(value) for value in values]) for index, values in found.items()}


def walk(model: keras.Model, samples: Samples, values: Mapping[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray, tuple[str, ...]]]:
    """Calls the layers one after the other; after a layer in `values`, these stand for its output.

    Yields:
        Layer, the output that Keras computed, and the layers that it was computed with since the last value that was put in.
    """
    given = ordered(samples, model.input_names)
    outputs: dict[str, Any] = {str(id(tensor)): tf.constant(part) for tensor, part in zip(model.inputs, given, strict=True)}
    since: dict[str, tuple[str, ...]] = {}
    for node in nodes_in_order(model):
        results = call_node(node, outputs)
        layer = wrapped_layer(node.layer)
        before = dict.fromkeys(name for identity in node.flat_input_ids for name in since.get(identity, ()))
        layers = (*before, *(() if type(layer).__name__ in TRANSPARENT else (layer.name,)))
        if len(results) == 1:
            yield layer.name, results[0].numpy(), layers
        if layer.name in values:
            results, layers = [tf.reshape(values[layer.name], results[0].shape)], ()
        for identity, result in zip(node.flat_output_ids, results, strict=True):
            outputs[identity], since[identity] = result, layers


def call_node(node: Any, outputs: Mapping[str, Any]) -> list[Any]:
    """The outputs of one call in a Keras graph, from those of the calls before it by the identity of their tensors."""
    arguments, keywords = node.map_arguments({identity: [value] * len(node.flat_input_ids) for identity, value in outputs.items()})
    return list(tf.nest.flatten(node.layer(*arguments, **keywords)))
