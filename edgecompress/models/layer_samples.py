"""What a layer of a model is given for real samples, and what it gives, batch by batch."""

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecompress.backend import keras, tf
from edgecompress.data import Split
from edgecompress.models.rebuild import calls_of
from edgecompress.models.replacing import alone, chain

Array = npt.NDArray[Any]


def layer_inputs(model: keras.Model, name: str, split: Split, batch_size: int) -> Iterator[Array]:
    """The first input of a layer at each of its calls.

    Args:
        model: Functional or Sequential.
        name: of one of its layers.
        split: of the data, in its own order.
        batch_size: samples that are in memory at a time.

    Yields:
        [b, ...], one array per batch and call.
    """
    tensors = [call.args[0] for call in calls_of(model) if call.layer.name == name]
    until_there = keras.Model(model.inputs, tensors)
    with split.readable():
        for inputs, _ in split.dataset(batch_size):
            outputs = until_there(inputs, training=False)
            yield from (np.asarray(output) for output in (outputs if isinstance(outputs, list) else [outputs]))


def linear_part(layer: keras.layers.Layer, kernel: Array, input_shape: tuple[int, ...]) -> keras.Model:
    """A layer with this kernel, without bias and activation, as a model of its own."""
    config = layer.get_config()
    config |= {key: value for key, value in (("activation", "linear"), ("use_bias", False)) if key in config}
    return alone(chain((type(layer).from_config(config), [kernel])), input_shape)


def rows(outputs: tf.Tensor) -> Array:
    """[positions of all samples, channels], in double precision: sums over them are long."""
    return np.asarray(outputs, np.float64).reshape(-1, outputs.shape[-1])


def patches(layer: keras.layers.Layer, inputs: tf.Tensor) -> Array:
    """What each output of a layer is a sum over: [positions of all samples, positions of the kernel, channels].

    Args:
        layer: Dense, or a convolution, whose stride, dilation and padding count.
        inputs: [b, ..., channels].
    """
    num_positions = prod(getattr(layer, "kernel_size", (1,)))
    num_channels = inputs.shape[-1]
    if num_positions > 1 or max(getattr(layer, "strides", (1,))) > 1:
        inputs = tf.image.extract_patches(
            inputs, sizes=[1, *layer.kernel_size, 1], strides=[1, *layer.strides, 1], rates=[1, *layer.dilation_rate, 1],
            padding=layer.padding.upper(),
        )  # fmt: skip
    return np.asarray(inputs, np.float64).reshape(-1, num_positions, num_channels)


def output_error(one: keras.Model, other: keras.Model, inputs: Iterator[Array]) -> float:
    """|one(x) - other(x)| / |one(x)| over all inputs x, in the Frobenius norm; 0 where `one` gives zeros."""
    lost = energy = 0.0
    for batch in inputs:
        outputs = rows(one(batch))
        energy += float((outputs**2).sum())
        lost += float(((outputs - rows(other(batch))) ** 2).sum())
    return float(np.sqrt(lost / energy)) if energy else 0.0
