"""Counts of a cut that was not made are those of the cut model."""

import numpy as np
import pytest

from edgecompress.backend import keras
from edgecompress.graph.channels import channel_costs, channel_graph, cut, removed_channels
from edgecompress.graph.layers import describe_layers, total

L = keras.layers


def network(body):
    inputs = keras.Input((9, 9, 4))
    return keras.Model(inputs, L.Dense(3)(L.Flatten()(body(inputs))))


def shared(x):
    layer = L.Conv2D(6, 3, padding="same")
    return layer(L.Conv2D(6, 1)(L.MaxPooling2D()(layer(L.Conv2D(6, 1)(x)))))


MODELS = {
    "convolutions": lambda: network(lambda x: L.Conv2D(8, 3, groups=2)(L.BatchNormalization()(L.Conv2D(6, 3, strides=2)(x)))),
    "separable on an input": lambda: network(lambda x: L.SeparableConv2D(5, 3)(L.SeparableConv2D(8, 3, depth_multiplier=2)(x))),
    "depthwise and transposed": lambda: network(lambda x: L.Conv2DTranspose(5, 3)(L.DepthwiseConv2D(3)(L.Conv2D(8, 1)(x)))),
    "a layer that is called twice": lambda: network(shared),
    "MobileNetV2": lambda: keras.applications.MobileNetV2(weights=None, input_shape=(32, 32, 3), alpha=0.35, classes=10),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_predicted_costs_are_those_of_the_cut_model(name):
    model, rng = MODELS[name](), np.random.default_rng(0)
    graph = channel_graph(model)
    removed = {
        group.name: rng.choice(np.flatnonzero(~group.frozen), group.num_free // 2, replace=False)
        for group in graph.groups if group.num_free > 1
    }  # fmt: skip
    costs = channel_costs(model, graph)
    for net, channels in ((model, {}), (cut(model, removed), removed)):
        expected, found = total(describe_layers(net)), costs.after(removed_channels(graph, channels))
        assert (found.parameters, found.macs) == (expected.parameters, expected.macs)
    assert costs.macs_known
    assert costs.after(removed_channels(graph, removed)).macs < costs.whole.macs
