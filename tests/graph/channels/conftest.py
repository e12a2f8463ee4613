"""The oracle of all surgery: a cut model gives what the whole one gives when nobody reads the channels that went."""

import numpy as np
import pytest

from edgecompress.backend import keras
from edgecompress.graph.channels import channel_graph, cut, silence
from edgecompress.models.copying import copy_model

# Relative to the largest output: sums over fewer terms are added up in another order, so their last bits differ.
ROUNDING = 1e-5


def vary_weights(model, rng):
    """Weights as a training may leave them: among initial zeros and ones, a wrong slice would not be seen."""
    for layer in model._flatten_layers(include_self=False):
        for variable in [] if hasattr(layer, "_nodes_by_depth") else layer.weights:
            name = variable.name.split("/")[-1].split(":")[0]
            if name in ("gamma", "moving_variance"):
                variable.assign(rng.uniform(0.8, 1.2, variable.shape))
            elif name in ("beta", "moving_mean", "bias", "alpha"):
                variable.assign(rng.normal(0, 0.1, variable.shape))
            elif variable.shape.rank > 1:
                variable.assign(rng.normal(0, np.prod(variable.shape[:-1]) ** -0.5, variable.shape))


def draw_removed(graph, rng, share=0.5):
    """Some channels of every group that has any to give; one of each group is left."""
    removed = {}
    for group in graph.groups:
        free = np.flatnonzero(~group.frozen)
        count = min(max(1, round(share * free.size)), free.size - (free.size == group.size))
        if free.size and count > 0:
            removed[group.name] = np.sort(rng.choice(free, count, replace=False)).tolist()
    return removed


def outputs(model, inputs):
    given = model(inputs if len(inputs) > 1 else inputs[0])
    return np.concatenate([np.ravel(output) for output in (given if isinstance(given, list | tuple) else [given])])


def difference(one, other):
    """Largest difference, relative to the largest value."""
    return np.abs(one - other).max() / np.abs(other).max()


@pytest.fixture(scope="session")
def assert_exact():
    """`assert_exact(model, share=0.5, vary=True)`: cuts at random, compares, and gives back graph and cut model."""

    def check(model, *, share=0.5, seed=0, vary=True, must_cut=True):
        rng = np.random.default_rng(seed)
        if vary:
            vary_weights(model, rng)
        graph = channel_graph(model)
        removed = draw_removed(graph, rng, share)
        smaller, silenced = cut(model, removed), copy_model(model)
        silence(silenced, graph, removed)
        shapes = [[size or 5 for size in tensor.shape[1:]] for tensor in model.inputs]
        inputs = [rng.normal(size=(3, *shape)).astype(np.float32) for shape in shapes]
        whole, cut_outputs, silent_outputs = outputs(model, inputs), outputs(smaller, inputs), outputs(silenced, inputs)
        assert difference(cut_outputs, silent_outputs) < ROUNDING
        if must_cut:
            assert smaller.count_params() < model.count_params()
            assert difference(silent_outputs, whole) > 1e-3  # or else nothing would be proved
        assert [layer.name for layer in smaller.layers] == [layer.name for layer in model.layers]
        assert [tuple(t.shape) for t in smaller.outputs] == [tuple(t.shape) for t in model.outputs]
        return graph, smaller

    return check


@pytest.fixture
def build():
    """`build((8, 8, 3), lambda x: ...)`: a functional model of one input, its weights from a fixed seed."""

    def make(shape, body, **options):
        keras.utils.set_random_seed(0)
        inputs = keras.Input(shape, **options)
        return keras.Model(inputs, body(inputs))

    return make
