"""Ranges for fake-quantization to start from.

TF-MOT starts every range at -6 to 6 and lets it follow the batches by a thousandth each step, so that a training of a few
epochs ends with ranges that are still half its guess. Samples know better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgecompress.backend import keras, tf
from edgecompress.samples import Samples, each, num_samples

BATCH_SIZE = 16


def output_ranges(model: keras.Model, names: Sequence[str], samples: Samples) -> dict[str, tuple[float, float]]:
    """The least and the largest value that layers give, as in inference.

    Args:
        model: a float model.
        names: layers of the model; inputs may be among them.
        samples: float32 [n, ...], n >= 1; of a model of several inputs, by name.
    """
    outputs = [[node.outputs for node in model.get_layer(name).inbound_nodes] for name in names]
    probe = keras.Model(model.inputs, outputs)

    @tf.function
    def limits(inputs: Any) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        values = probe(inputs, training=False)
        smallest = [tf.reduce_min([tf.reduce_min(value) for value in tf.nest.flatten(part)]) for part in values]
        largest = [tf.reduce_max([tf.reduce_max(value) for value in tf.nest.flatten(part)]) for part in values]
        return smallest, largest

    starts = range(0, num_samples(samples), BATCH_SIZE)
    batches = [limits(each(lambda values, start=start: tf.constant(values[start : start + BATCH_SIZE]), samples)) for start in starts]
    smallest, largest = np.min([low for low, _ in batches], axis=0), np.max([high for _, high in batches], axis=0)
    return {name: (float(low), float(high)) for name, low, high in zip(names, smallest, largest, strict=True)}


def start_from(model: keras.Model, ranges: Mapping[str, tuple[float, float]]) -> None:
    """Sets the ranges of a quantize-aware model, in place. A range holds zero, which padding and ReLU give.

    Args:
        model: of `wrap`.
        ranges: of the layers whose outputs are quantized, by their names without a wrapper.
    """
    for layer in model.layers:
        name = layer.name.removeprefix("quantize_") if type(layer).__name__ == "QuantizeLayer" else layer.name.removeprefix("quant_")
        limits = getattr(layer, "quantizer_vars", None) or getattr(layer, "_output_quantizer_vars", None)
        if limits and name in ranges and ranges[name][0] < ranges[name][1]:
            limits["min_var"].assign(min(ranges[name][0], 0.0))
            limits["max_var"].assign(max(ranges[name][1], 0.0))
