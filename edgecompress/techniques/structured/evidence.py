"""What criteria look at beyond the weights: gradients and activations on the calibration samples.

All arrays end in one number per channel of a graph, counted through as the graph does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecompress.backend import keras, tf
from edgecompress.data import Split
from edgecompress.errors import ModelError
from edgecompress.graph.channels import ChannelGraph
from edgecompress.graph.channels.surgery import layer_at
from edgecompress.graph.channels.trace import WeightAxis
from edgecompress.recipe.schema import Task
from edgecompress.training.compiling import keras_loss

BATCH_SIZE = 16  # small: changes of the loss of opposite sign cancel within a batch, before their magnitude is taken

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LossChanges:
    """What the loss would do without a channel, batch by batch.

    Attributes:
        first_order: sum of gradient * weight over all weights that read the channel, [batches, channels].
        second_order: sum of (gradient * weight)^2 over them, [batches, channels].
    """

    first_order: Floats
    second_order: Floats


def loss_changes(model: keras.Model, graph: ChannelGraph, samples: Split, task: Task) -> LossChanges:
    """Gradients of the loss as in inference, without dropout and with the statistics as they are.

    Args:
        model: not changed.
        graph: of `model`.
        samples: a few hundred with their targets.
        task: says what the loss is.
    """
    readers = [axis for axis in graph.weights if axis.role == "reads"]
    variables = [getattr(layer_at(model, axis.layer), axis.weight) for axis in readers]
    loss = keras_loss(task)

    @tf.function(reduce_retracing=True)
    def changes(inputs: Any, targets: Any) -> list[tuple[tf.Tensor, tf.Tensor]]:
        with tf.GradientTape() as tape:
            tape.watch(variables)  # also those of layers that do not train
            value = loss(targets, model(inputs, training=False))
        gradients = tape.gradient(value, variables, unconnected_gradients="zero")
        return [_along(gradient * variable, axis) for gradient, variable, axis in zip(gradients, variables, readers, strict=True)]

    first, second = [], []
    with samples.readable():
        for inputs, targets in samples.dataset(BATCH_SIZE):
            products = changes(inputs, targets)
            first.append(_collect(graph, readers, [product.numpy() for product, _ in products]))
            second.append(_collect(graph, readers, [square.numpy() for _, square in products]))
    return LossChanges(np.stack(first), np.stack(second))


def _along(product: tf.Tensor, axis: WeightAxis) -> tuple[tf.Tensor, tf.Tensor]:
    """Sums over all axes but one, of the values and of their squares."""
    others = [position for position in range(len(axis.shape)) if position != axis.axis]
    return tf.reduce_sum(product, others), tf.reduce_sum(tf.square(product), others)


def _collect(graph: ChannelGraph, readers: Sequence[WeightAxis], values: Sequence[npt.NDArray[np.float32]]) -> Floats:
    """Adds up what belongs to one channel."""
    numbers = np.concatenate([axis.numbers for axis in readers])
    everything = np.concatenate(values).astype(np.float64)
    return np.bincount(numbers[numbers >= 0], weights=everything[numbers >= 0], minlength=graph.num_channels).astype(np.float64)


@dataclass(frozen=True, eq=False)
class Activations:
    """What the readers of a channel see of it, on average over them: [channels]; NaN for a channel that nothing reads.

    Attributes:
        magnitudes: mean of the absolute value.
        zeros: fraction of values that are exactly zero.
    """

    magnitudes: Floats
    zeros: Floats


def activations(model: keras.Model, graph: ChannelGraph, samples: Split) -> Activations:
    """Looks at the tensors that are read, on samples.

    Raises:
        ModelError: channels are read inside a nested model, whose tensors cannot be reached.
    """
    readers = [axis for axis in graph.weights if axis.role == "reads"]
    if hidden := [axis.layer for axis in readers if axis.source is None]:
        raise ModelError(f"criteria that look at activations need a model without nested models. Received: a nested layer {hidden[0]!r}.")
    tensors = list({id(axis.source): axis.source for axis in readers}.values())
    probe = keras.Model(model.inputs, tensors)
    predict = tf.function(lambda inputs: probe(inputs, training=False), reduce_retracing=True)
    totals = {id(tensor): np.zeros((2, *tensor.shape[1:])) for tensor in tensors}
    with samples.readable():
        for inputs, _ in samples.dataset(BATCH_SIZE):
            for tensor, value in zip(tensors, tf.nest.flatten(predict(inputs)), strict=True):
                values = value.numpy()
                totals[id(tensor)] += np.stack([np.abs(values).sum(0), (values == 0).sum(0)])
    means = [_at_positions(totals[id(axis.source)] / len(samples), layer_at(model, axis.layer), axis) for axis in readers]
    return Activations(*(_mean_over_readers(graph, readers, [mean[row] for mean in means]) for row in (0, 1)))


def _at_positions(totals: Floats, layer: keras.layers.Layer, axis: WeightAxis) -> Floats:
    """Means over a sample's places, [2, positions on the axis of the kernel that reads them].

    A convolution with groups reads a channel of each group with one position; a separable one reads a channel with several.
    """
    channels = 1 if getattr(layer, "data_format", None) == "channels_first" else totals.ndim - 1
    means = np.moveaxis(totals, channels, -1).reshape(2, -1, totals.shape[channels]).mean(1)
    if means.shape[1] > axis.numbers.size:
        return means.reshape(2, -1, axis.numbers.size).mean(1)
    return np.repeat(means, axis.numbers.size // means.shape[1], axis=1)


def _mean_over_readers(graph: ChannelGraph, readers: Sequence[WeightAxis], values: Sequence[Floats]) -> Floats:
    """Of each channel, the mean over its positions with one reader, and then over its readers."""
    totals, num_readers = np.zeros((2, graph.num_channels))
    for axis, value in zip(readers, values, strict=True):
        known = axis.numbers >= 0
        sums = np.bincount(axis.numbers[known], weights=value[known], minlength=graph.num_channels)
        counts = np.bincount(axis.numbers[known], minlength=graph.num_channels)
        totals += sums / np.maximum(counts, 1)
        num_readers += counts > 0
    return np.divide(totals, num_readers, out=np.full(graph.num_channels, np.nan), where=num_readers > 0)
