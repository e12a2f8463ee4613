"""Cuts by hand, what is refused, and what is left untouched."""

import numpy as np
import pytest

from edgecompress.backend import keras
from edgecompress.errors import ModelError
from edgecompress.graph.channels import channel_graph, cut, plan_cut
from edgecompress.graph.channels.surgery import carry_out
from edgecompress.models import load_model, save_model

L = keras.layers


@pytest.fixture
def model():
    keras.utils.set_random_seed(1)
    inputs = keras.Input((4, 4, 2))
    x = L.BatchNormalization(name="norm")(L.Conv2D(3, 3, padding="same", name="conv")(inputs))
    return keras.Model(inputs, L.Dense(2, name="logits")(L.Flatten(name="flatten")(L.Dropout(0.3, name="dropout")(x))), name="net")


def test_a_cut_takes_exactly_the_named_channels(model):
    smaller = cut(model, {"conv": [1]})
    for layer, weight, axis in (("conv", "kernel", 3), ("conv", "bias", 0), ("norm", "gamma", 0), ("norm", "moving_variance", 0)):
        whole, left = (getattr(net.get_layer(layer), weight).numpy() for net in (model, smaller))
        np.testing.assert_array_equal(left, np.take(whole, [0, 2], axis))
    kernel = model.get_layer("logits").kernel.numpy().reshape(16, 3, 2)[:, [0, 2]].reshape(32, 2)
    np.testing.assert_array_equal(smaller.get_layer("logits").kernel.numpy(), kernel)


def test_the_model_that_is_cut_stays_as_it_is(model):
    before = model.get_config(), model.get_weights()
    cut(model, {"conv": [0]})
    assert model.get_config() == before[0]
    assert all((one == two).all() for one, two in zip(before[1], model.get_weights(), strict=True))


def test_nothing_to_remove_gives_an_equal_model(model):
    same = cut(model, {})
    assert same is not model
    assert same.get_config() == model.get_config()
    assert all((one == two).all() for one, two in zip(same.get_weights(), model.get_weights(), strict=True))


def test_a_cut_model_is_plain_keras_and_loads_again(model, tmp_path):
    smaller = cut(model, {"conv": [2]})
    assert [type(layer) for layer in smaller.layers] == [type(layer) for layer in model.layers]
    save_model(smaller, tmp_path / "smaller.h5")
    inputs = np.random.default_rng(0).normal(size=(2, 4, 4, 2)).astype(np.float32)
    np.testing.assert_array_equal(load_model(tmp_path / "smaller.h5")(inputs), smaller(inputs))


def test_settings_of_layers_survive(model):
    model.get_layer("norm").trainable = False
    smaller = cut(model, {"conv": [0]})
    assert not smaller.get_layer("norm").trainable
    assert smaller.get_layer("dropout").rate == 0.3
    assert smaller.name == "net"


def test_two_cuts_are_one_cut(model):
    twice, once = cut(cut(model, {"conv": [0]}), {"conv": [1]}), cut(model, {"conv": [0, 2]})
    assert all((one == two).all() for one, two in zip(twice.get_weights(), once.get_weights(), strict=True))


def test_a_plan_slices_arrays_of_the_shape_of_a_weight(model):
    planned = plan_cut(channel_graph(model), {"conv": [0]})
    kernel = model.get_layer("conv").kernel.numpy()
    np.testing.assert_array_equal(planned.slice("conv", "kernel", kernel != 0), kernel[..., 1:] != 0)
    assert planned.slice("dropout", "kernel", kernel) is kernel
    assert carry_out(planned, model).get_layer("conv").filters == 2


def test_statistics_of_a_normalization_layer_are_in_force_after_a_cut():
    norm = L.Normalization(name="statistics")
    norm.adapt(np.random.default_rng(0).normal(5, 3, (100, 4)).astype(np.float32))
    model = keras.Sequential([keras.Input((4,)), norm, L.Dense(6, name="dense"), L.Dense(1, use_bias=False, name="out")])
    inputs = np.full((1, 4), 7.0, np.float32)
    expected = model.layers[1](model.layers[0](inputs)).numpy()[:, 1:] @ model.get_layer("out").kernel.numpy()[1:]
    np.testing.assert_allclose(cut(model, {"dense": [0]})(inputs), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("removed", "message"),
    [
        ({"conf": [0]}, r"must be one that the model has\. Received: 'conf'\. Did you mean 'conv'\?"),
        ({"conv": [0, 3]}, r"channels of conv must lie in 0 to 2\. Received: 0 to 3"),
        ({"conv": [-1]}, r"channels of conv must lie in 0 to 2\. Received: -1 to -1"),
        ({"logits": [0]}, r"channels of logits that must stay cannot be cut: an output of the model"),
        ({"conv": [0, 1, 2]}, r"must leave at least one channel of each layer\. Received: all channels of conv"),
    ],
)
def test_impossible_cuts_are_refused(model, removed, message):
    with pytest.raises(ModelError, match=message):
        cut(model, removed)
