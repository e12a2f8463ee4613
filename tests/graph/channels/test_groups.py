"""What a channel graph says before anything is cut."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecompress.backend import keras
from edgecompress.errors import ModelError
from edgecompress.graph.channels import channel_graph
from edgecompress.graph.channels.components import components

L = keras.layers


def oracle(count, pairs):
    """Labels by repeated passes over single pairs."""
    labels = list(range(count))
    changed = True
    while changed:
        changed = False
        for one, other in pairs:
            low = min(labels[one], labels[other])
            changed |= labels[one] != low or labels[other] != low
            labels[one] = labels[other] = low
    return labels


@given(st.integers(1, 40), st.data())
def test_connected_numbers_share_their_least(count, data):
    number = st.integers(0, count - 1)
    pairs = data.draw(st.lists(st.tuples(number, number), max_size=60))
    arrays = [(np.array([one]), np.array([other])) for one, other in pairs]
    assert components(count, arrays).tolist() == oracle(count, pairs)


def test_a_long_chain_is_one_component():
    numbers = np.random.default_rng(0).permutation(10_000)
    assert not components(10_000, [(numbers[1:], numbers[:-1])]).any()


@pytest.fixture
def residual_model():
    inputs = keras.Input((8, 8, 3))
    x = L.Conv2D(4, 3, padding="same", name="stem")(inputs)
    y = L.BatchNormalization(name="norm")(L.Conv2D(6, 3, padding="same", use_bias=False, name="inner")(x))
    y = L.Conv2D(4, 3, padding="same", name="outer")(L.ReLU(name="relu")(y))
    x = L.Add(name="add")([x, y])
    return keras.Model(inputs, L.Dense(2, name="logits")(L.Flatten(name="flatten")(x)))


def test_a_group_names_every_axis_that_a_cut_touches(residual_model):
    inner = next(group for group in channel_graph(residual_model).groups if group.name == "inner")
    found = [(part.layer, part.weight, part.axis, part.role, part.positions.tolist()) for part in inner.slices]
    every = list(range(6))
    norm = [("norm", weight, 0, "carries", every) for weight in ("gamma", "beta", "moving_mean", "moving_variance")]
    assert found == [("inner", "kernel", 3, "makes", every), *norm, ("outer", "kernel", 2, "reads", every)]


def test_what_an_addition_joins_is_one_group(residual_model):
    stem = channel_graph(residual_model).groups[0]
    assert stem.layers("makes") == ["stem", "outer"]
    assert stem.layers("reads") == ["inner", "logits"]
    logits = next(part for part in stem.slices if part.layer == "logits")
    assert logits.channels.tolist() == [0, 1, 2, 3] * 64


def test_groups_can_be_printed(residual_model):
    assert channel_graph(residual_model).describe().splitlines() == [
        "4 channels of stem, outer, into inner, logits",
        "6 channels of inner, through norm, into outer",
        "2 channels of logits; all must stay: an output of the model",
        "10 of 12 channels can be cut (83.3%)",
    ]


def test_the_model_is_not_changed(residual_model):
    before = residual_model.get_config(), residual_model.get_weights()
    channel_graph(residual_model)
    assert residual_model.get_config() == before[0]
    assert all((one == two).all() for one, two in zip(before[1], residual_model.get_weights(), strict=True))


def test_model_without_kernels_has_no_groups():
    inputs = keras.Input((4,))
    graph = channel_graph(keras.Model(inputs, L.ReLU()(inputs)))
    assert (graph.groups, graph.num_channels) == ((), 0)
    assert graph.describe() == "0 of 0 channels can be cut (0.0%)"


def test_subclassed_model_is_refused():
    class Net(keras.Model):
        pass

    with pytest.raises(ModelError, match="must be a Functional or Sequential model"):
        channel_graph(Net())
