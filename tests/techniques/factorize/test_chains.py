"""The layers in the place of one compute what it does, whatever its settings."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecompress.backend import keras
from edgecompress.graph.layers import describe_layers, total
from edgecompress.models.replacing import replace_layers
from edgecompress.techniques.factorize.chains import factor_chain
from edgecompress.techniques.factorize.choosing import choose_candidates

layers = keras.layers
SECONDS = 60.0


def around(layer, input_shape):
    """A model of this layer alone, with a bias that is not zero."""
    inputs = keras.Input(input_shape, name="input")
    model = keras.Model(inputs, layer(inputs))
    generator = np.random.default_rng(0)
    layer.set_weights([generator.normal(size=weight.shape) for weight in layer.get_weights()])
    return model


def factorized(model, method, rank=None):
    """The model with its one layer in factors, and the layer as a candidate."""
    (candidate,), _ = choose_candidates(model, method, [], [])
    rank = candidate.full_rank if rank is None else rank
    factors = candidate.factorize(rank, seed=0, time_limit_s=SECONDS)
    part = factor_chain(candidate.layer, candidate.method, factors, lambda ending: candidate.name + ending)
    return replace_layers(model, {candidate.name: part}), candidate, factors


def assert_same_outputs(one, other, input_shape):
    inputs = np.random.default_rng(1).normal(size=(2, *input_shape)).astype(np.float32)
    expected = one(inputs).numpy()
    # Sums of some hundred float32 products in another order: 1e-5 of the largest output.
    np.testing.assert_allclose(other(inputs), expected, atol=1e-5 * max(1.0, np.abs(expected).max()))


@st.composite
def convolutions(draw):
    """A Conv2D with any settings that Keras takes, and an input that it fits."""
    kernel_size = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    strides, dilation = (1, 1), (1, 1)
    if draw(st.booleans()):
        strides = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    else:
        dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    groups = draw(st.sampled_from([1, 1, 2]))
    layer = layers.Conv2D(
        groups * draw(st.integers(1, 4)), kernel_size, strides=strides, dilation_rate=dilation, groups=groups,
        padding=draw(st.sampled_from(["same", "valid"])), use_bias=draw(st.booleans()),
        activation=draw(st.sampled_from(["linear", "relu", "tanh"])), name="layer",
    )  # fmt: skip
    return layer, (draw(st.integers(8, 12)), draw(st.integers(8, 12)), groups * draw(st.integers(1, 4)))


@given(convolutions(), st.sampled_from(["svd", "spatial_svd", "tucker2"]))
@settings(max_examples=60)
def test_full_rank_reproduces_a_convolution_whatever_its_settings(drawn, method):
    layer, input_shape = drawn
    model = around(layer, input_shape)
    if method != "svd" and min(layer.kernel_size) == 1:
        return
    replaced, _, _ = factorized(model, method)
    assert_same_outputs(model, replaced, input_shape)


@given(convolutions())
@settings(max_examples=15)
def test_cp_chain_computes_the_kernel_of_its_factors(drawn):
    """CP has no full rank to speak of, so the layer gets the kernel that the factors make."""
    layer, input_shape = drawn
    model = around(layer, input_shape)
    if min(layer.kernel_size) == 1:
        return
    replaced, candidate, factors = factorized(model, "cp", (2,))
    layer.set_weights([candidate.reconstruct(factors), *layer.get_weights()[1:]])
    assert_same_outputs(model, replaced, input_shape)


@pytest.mark.parametrize("activation", ["linear", "sigmoid"])
@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("input_shape", [(12,), (5, 12)])
def test_full_rank_reproduces_dense(input_shape, use_bias, activation):
    model = around(layers.Dense(7, use_bias=use_bias, activation=activation, name="layer"), input_shape)
    assert_same_outputs(model, factorized(model, "svd")[0], input_shape)


@pytest.mark.parametrize("padding", ["same", "valid", "causal"])
def test_full_rank_reproduces_a_convolution_of_sequences(padding):
    model = around(layers.Conv1D(6, 3, strides=2, padding=padding, name="layer"), (11, 4))
    assert_same_outputs(model, factorized(model, "svd")[0], (11, 4))


def test_full_rank_reproduces_an_embedding():
    model = around(layers.Embedding(20, 6, name="layer"), (5,))
    replaced, _, _ = factorized(model, "svd")
    words = np.arange(20).reshape(4, 5)
    np.testing.assert_allclose(replaced(words), model(words), atol=1e-5)  # float32
    assert [type(layer).__name__ for layer in replaced.layers[1:]] == ["Embedding", "Dense"]


@given(convolutions(), st.sampled_from(["svd", "spatial_svd", "tucker2", "cp"]))
@settings(max_examples=30)
def test_counts_of_a_rank_are_those_of_the_layers(drawn, method):
    layer, input_shape = drawn
    model = around(layer, input_shape)
    if method != "svd" and min(layer.kernel_size) == 1:
        return
    (candidate,), _ = choose_candidates(model, method, [], [])
    rank = tuple(1 for _ in candidate.full_rank)
    replaced, _, _ = factorized(model, method, rank)
    num_biases = layer.filters if layer.use_bias else 0
    before, after = total(describe_layers(model)), total(describe_layers(replaced))
    assert (candidate.macs_before, candidate.macs(rank)) == (before.macs, after.macs)
    assert (candidate.parameters_before, candidate.parameters(rank)) == (before.parameters - num_biases, after.parameters - num_biases)


def test_last_layer_has_the_name_and_the_others_do_not_train_where_it_did_not():
    layer = layers.Conv2D(4, 3, trainable=False, kernel_regularizer="l2", name="conv")
    replaced, _, _ = factorized(around(layer, (6, 6, 3)), "tucker2")
    assert [layer.name for layer in replaced.layers] == ["input", "conv_in", "conv_core", "conv"]
    assert not any(layer.trainable for layer in replaced.layers[1:])
    assert all(layer.kernel_regularizer is not None for layer in replaced.layers[1:])


def test_layer_that_is_called_twice_is_replaced_at_both_calls():
    inputs, shared = keras.Input((6,)), layers.Dense(6, name="shared")
    model = keras.Model(inputs, shared(layers.ReLU(name="relu")(shared(inputs))))
    replaced, candidate, _ = factorized(model, "svd")
    assert_same_outputs(model, replaced, (6,))
    assert candidate.macs_before == 2 * 36
