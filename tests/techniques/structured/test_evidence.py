"""Gradients and activations per channel, against what Keras gives one channel at a time."""

import numpy as np
import pytest

from edgecompress.backend import keras, tf
from edgecompress.errors import ModelError
from edgecompress.graph.channels import channel_graph, silence
from edgecompress.models.copying import copy_model
from edgecompress.recipe.schema import Task
from edgecompress.techniques.structured.evidence import BATCH_SIZE, activations, loss_changes
from edgecompress.training.compiling import keras_loss

L = keras.layers


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(4)
    inputs = keras.Input((8, 8, 1))
    x = L.Conv2D(4, 3, padding="same", activation="relu", name="stem")(inputs)
    x = L.Add(name="add")([x, L.Conv2D(4, 3, padding="same", name="inner")(L.SeparableConv2D(6, 3, padding="same", name="separable")(x))])
    x = L.Conv2D(8, 3, groups=2, activation="relu", name="grouped")(x)
    return keras.Model(inputs, L.Dense(10, name="logits")(L.Flatten(name="flatten")(x)))


def loss_of(model, samples, task):
    loss = keras_loss(task)
    return np.array([float(loss(targets, model(inputs))) for inputs, targets in samples.dataset(BATCH_SIZE)])


def test_first_order_changes_predict_small_steps_towards_silence(network, digits):
    """The derivative of the loss, when all that is read of a channel shrinks together, by central differences."""
    samples, task, step = digits.calibration, Task(), 1e-3
    graph = channel_graph(network)
    found = loss_changes(network, graph, samples, task).first_order
    for group, start in zip(graph.groups, graph.starts, strict=False):
        if group.frozen.all():
            continue
        silent = copy_model(network)
        silence(silent, graph, {group.name: [1]})
        losses = []
        for factor in (1 + step, 1 - step):
            scaled = copy_model(network)
            scaled.set_weights([s + factor * (w - s) for w, s in zip(network.get_weights(), silent.get_weights(), strict=True)])
            losses.append(loss_of(scaled, samples, task))
        slope = (losses[0] - losses[1]) / (2 * step)
        np.testing.assert_allclose(found[:, start + 1], slope, rtol=0.02, atol=2e-4)  # float32 losses, differences of 1e-3


def test_second_order_changes_are_sums_of_squares(network, digits):
    graph = channel_graph(network)
    changes = loss_changes(network, graph, digits.calibration, Task())
    assert (changes.second_order >= 0).all()
    inputs, targets = next(iter(digits.calibration.dataset(BATCH_SIZE)))
    kernel = network.get_layer("inner").kernel
    with tf.GradientTape() as tape:
        value = keras_loss(Task())(targets, network(inputs))
    product = (tape.gradient(value, kernel) * kernel).numpy()
    start = graph.starts[[group.name for group in graph.groups].index("separable")]
    np.testing.assert_allclose(changes.second_order[0, start : start + 6], (product**2).sum((0, 1, 3)), rtol=1e-4)  # float32 sums


def test_frozen_layers_have_gradients_too(network, digits):
    frozen = copy_model(network)
    frozen.trainable = False
    found, expected = (loss_changes(model, channel_graph(model), digits.calibration, Task()).first_order for model in (frozen, network))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)  # another order of float32 sums


def test_activations_are_those_of_the_tensors_that_are_read(network, digits):
    graph = channel_graph(network)
    seen = activations(network, graph, digits.calibration)
    inputs, names = digits.calibration.arrays()[0], ("stem", "add", "separable", "grouped")
    tensors = [keras.Model(network.inputs, network.get_layer(name).output)(inputs).numpy() for name in names]
    magnitudes = dict(zip(names, (np.abs(tensor).mean((0, 1, 2)) for tensor in tensors), strict=True))
    zeros = dict(zip(names, ((tensor == 0).mean((0, 1, 2)) for tensor in tensors), strict=True))
    start = dict(zip([group.name for group in graph.groups], graph.starts, strict=False))
    np.testing.assert_allclose(seen.magnitudes[start["separable"] :][:6], magnitudes["separable"], rtol=1e-4)
    # Of a convolution with two groups, the n-th channels of both are one.
    np.testing.assert_allclose(seen.zeros[start["grouped"] :][:4], zeros["grouped"].reshape(2, 4).mean(0), rtol=1e-4)
    read_twice = np.stack([magnitudes["add"], magnitudes["stem"]]).reshape(2, 2, 2).mean((0, 1))
    np.testing.assert_allclose(seen.magnitudes[start["stem"] :][:2], read_twice, rtol=1e-4)
    assert np.isnan(seen.magnitudes[start["logits"] :]).all()


def test_activations_inside_nested_models_cannot_be_seen(digits):
    inner = keras.Sequential([keras.Input((8, 8, 1)), L.Conv2D(4, 3), L.Conv2D(4, 3, name="deep")], name="inner")
    model = keras.Sequential([keras.Input((8, 8, 1)), inner, L.Flatten(), L.Dense(10)])
    with pytest.raises(ModelError, match=r"need a model without nested models\. Received: a nested layer 'inner/deep'"):
        activations(model, channel_graph(model), digits.calibration)
