"""Blocks in the place of convolutions: cheaper, fitted, matched, and left out where they do not pay."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecompress import layer_latency
from edgecompress.backend import keras
from edgecompress.errors import ModelError, RecipeError
from edgecompress.graph.layers import describe_layers
from edgecompress.keeps import mask_of
from edgecompress.layer_latency import LayerLatency
from edgecompress.recipe.stages import Match, ReplaceConvolutions, Train
from edgecompress.techniques import replace_convolutions
from edgecompress.techniques.replace_convolutions.fire import squeeze_weights
from edgecompress.techniques.replace_convolutions.separable import separable_kernels
from edgecompress.training.least_squares import fit_linear

layers = keras.layers


def untimed(**settings):
    return ReplaceConvolutions(timed_as=None, **settings)


@pytest.fixture(scope="module")
def trained(digits):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 1), name="input")
    x = layers.Conv2D(16, 3, padding="same", activation="relu", name="conv1")(inputs)
    x = layers.Conv2D(24, 3, padding="same", activation="relu", name="conv2")(x)
    x = layers.Flatten(name="flatten")(layers.MaxPooling2D(name="pool")(x))
    model = keras.Model(inputs, layers.Dense(10, name="logits")(x))
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(digits.train.dataset(64), epochs=3, verbose=0)
    return model


def together(depthwise, pointwise):
    """The kernel [height, width, in, out] that both compute."""
    return depthwise * pointwise[0, 0]


def record_of(result, name):
    return next(record for record in result.layers if record.name == name)


@given(st.tuples(*[st.integers(1, 4)] * 4), st.integers(0, 99))
def test_separable_of_a_separable_kernel_is_exact(shape, seed):
    generator = np.random.default_rng(seed)
    kernel = generator.normal(size=(*shape[:3], 1)) * generator.normal(size=shape[2:])
    np.testing.assert_allclose(together(*separable_kernels(kernel)), kernel, atol=1e-10)


def test_separable_loses_what_the_second_singular_value_of_each_channel_on_holds():
    kernel = np.random.default_rng(0).normal(size=(3, 3, 4, 6))
    lost = sum((np.linalg.svd(kernel[:, :, channel].reshape(9, 6), compute_uv=False)[1:] ** 2).sum() for channel in range(4))
    assert np.linalg.norm(kernel - together(*separable_kernels(kernel))) ** 2 == pytest.approx(lost)


def test_squeezed_channels_of_inputs_in_few_directions_keep_all_that_the_outputs_need():
    generator = np.random.default_rng(0)
    samples = generator.normal(size=(500, 3)) @ generator.normal(size=(3, 12)) + 1.0
    kernel = generator.normal(size=(3, 3, 12, 8))
    directions, bias = squeeze_weights(kernel, samples.mean(axis=0), samples.T @ samples / 500, 4)  # 3 directions and the mean
    squeezed = samples @ directions[0, 0]
    outputs = samples @ kernel[1, 1]
    best = squeezed @ np.linalg.lstsq(squeezed, outputs, rcond=None)[0]
    np.testing.assert_allclose(best, outputs, atol=1e-3)  # the tie-break between unseen directions
    assert (squeezed + bias > 0).mean() > 0.99  # three standard deviations


@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 30), st.integers(0, 99))
def test_fit_is_never_worse_on_the_data_than_the_weights_that_there_were(num_inputs, num_outputs, num_rows, seed):
    generator = np.random.default_rng(seed)
    features, targets = generator.normal(size=(num_rows, num_inputs)), generator.normal(size=(num_rows, num_outputs))
    before = generator.normal(size=(num_inputs, num_outputs))
    after = fit_linear([(features[::2], targets[::2]), (features[1::2], targets[1::2])], before)
    assert np.linalg.norm(features @ after - targets) <= np.linalg.norm(features @ before - targets) + 1e-12


def test_fit_finds_the_map_that_made_the_targets():
    generator = np.random.default_rng(0)
    features, truth = generator.normal(size=(200, 6)), generator.normal(size=(6, 3))
    np.testing.assert_allclose(fit_linear([(features, features @ truth)], np.zeros((6, 3))), truth, atol=1e-3)  # the ridge of 1e-4


def test_fit_without_any_signal_changes_nothing():
    before = np.ones((2, 3))
    assert (fit_linear([(np.zeros((4, 2)), np.ones((4, 3)))], before) == before).all()


def test_3x3_convolution_from_1_channel_to_10_has_90_weights_and_its_separable_replacement_19(make_context):
    inputs = keras.Input((8, 8, 1), name="input")
    model = keras.Model(inputs, layers.Conv2D(10, 3, padding="same", use_bias=False, name="conv")(inputs))
    result = replace_convolutions.apply(model, untimed(match=Match(epochs=0)), make_context())
    assert model.count_params() == 90
    assert result.model.count_params() == 19
    assert {layer.name: layer.count_params() for layer in result.model.layers[1:]} == {"conv_depthwise": 9, "conv": 10}
    record = record_of(result, "conv")
    assert (record.before["parameters"], record.after["parameters"]) == (90, 19)


@pytest.mark.parametrize(("method", "parts"), [
    ("separable", ["conv2_depthwise", "conv2"]),
    ("fire", ["conv2_squeeze", "conv2_expand_point", "conv2_expand", "conv2_join", "conv2"]),
])  # fmt: skip
def test_block_stands_in_the_place_of_the_convolution(trained, make_context, method, parts):
    result = replace_convolutions.apply(trained, untimed(method=method, layers=["conv2"], match=Match(epochs=0)), make_context())
    assert [layer.name for layer in result.model.layers if layer.name.startswith("conv2")] == parts
    assert result.model.get_layer("conv2").output_shape == trained.get_layer("conv2").output_shape
    record = record_of(result, "conv2")
    by_itself = sum(info.parameters for info in describe_layers(result.model) if info.name in parts)
    assert record.after["parameters"] == by_itself < record.before["parameters"]
    assert record.after["macs"] < record.before["macs"]


@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("activation", ["linear", "relu"])
@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("method", ["separable", "fire"])
def test_shapes_are_those_of_the_convolution_whatever_its_settings(make_context, method, use_bias, activation, strides):
    inputs = keras.Input((8, 8, 1), name="input")
    x = layers.Conv2D(5, 1, name="first")(inputs)
    conv = layers.Conv2D(7, (3, 2), strides=strides, padding="same", activation=activation, use_bias=use_bias, name="conv")
    model = keras.Model(inputs, conv(x))
    result = replace_convolutions.apply(model, untimed(method=method, match=Match(epochs=0)), make_context())
    assert result.model.output_shape == model.output_shape
    assert record_of(result, "conv").action == "changed"


@pytest.mark.parametrize("method", ["separable", "fire"])
def test_matching_brings_the_outputs_nearer_than_the_fit(trained, make_context, method):
    config = untimed(method=method, squeeze=0.25, match=Match(epochs=2, learning_rate=3e-3))
    result = replace_convolutions.apply(trained, config, make_context())
    for name in ("conv1", "conv2"):
        record = record_of(result, name)
        if record.action == "changed":
            assert record.after["error_after_match"] < record.after["error_after_fit"] < 1


def test_matching_changes_nothing_but_the_new_layers(trained, make_context):
    before = [weight.copy() for weight in trained.get_weights()]
    result = replace_convolutions.apply(trained, untimed(layers=["conv2"], match=Match(epochs=1)), make_context())
    assert all((was == now).all() for was, now in zip(before, trained.get_weights(), strict=True))
    for name in ("conv1", "logits"):
        weights = zip(trained.get_layer(name).get_weights(), result.model.get_layer(name).get_weights(), strict=True)
        assert all((one == two).all() for one, two in weights)
    assert all(layer.trainable for layer in result.model.layers)


def test_end_to_end_training_follows(trained, make_context):
    result = replace_convolutions.apply(trained, untimed(layers=["conv2"], match=Match(epochs=0), train=Train(epochs=1)), make_context())
    assert len(result.training) == 1
    assert (result.model.get_layer("conv1").get_weights()[0] != trained.get_layer("conv1").get_weights()[0]).any()


def test_block_that_would_not_be_faster_is_left_out(trained, make_context, monkeypatch):
    monkeypatch.setattr(
        layer_latency, "compare_latency", lambda before, *_: LayerLatency(0.2, 0.1, is_faster=before.layers[-1].name == "conv2")
    )
    config = ReplaceConvolutions(match=Match(epochs=0), timed_as="float32")
    result = replace_convolutions.apply(trained, config, make_context())
    assert record_of(result, "conv1").reason.startswith("its latency would not fall; parameters ")
    assert record_of(result, "conv2").action == "changed"


def test_nothing_is_trained_where_nothing_pays(make_context):
    inputs = keras.Input((8, 8, 1), name="input")
    model = keras.Model(inputs, layers.Conv2D(1, 3, name="conv")(inputs))
    result = replace_convolutions.apply(model, untimed(train=Train(epochs=1)), make_context())
    assert record_of(result, "conv").reason == "its parameters would not fall; parameters 10 -> 11, MACs 324 -> 360"
    assert result.training == []


def test_promises_about_replaced_kernels_are_let_go_with_a_sentence(trained, make_context):
    keeps = [mask_of(name, "kernel", trained.get_layer(name).kernel.numpy()) for name in ("conv2", "logits")]
    result = replace_convolutions.apply(trained, untimed(layers=["conv2"], match=Match(epochs=0)), make_context(keeps=keeps))
    assert result.keeps == (keeps[1],)
    assert result.released == ("conv2: sparsity 0.0000, replaced by a separable block",)


@pytest.mark.parametrize(
    ("layer", "method", "reason"),
    [
        (layers.Conv2D(4, 1, name="layer"), "separable", "its kernel has one position only"),
        (layers.Conv2D(4, 3, groups=2, name="layer"), "separable", "it has groups"),
        (layers.Conv2D(4, 3, kernel_constraint="non_neg", name="layer"), "separable", "its block would not keep the constraint"),
        (layers.Conv2D(4, 3, name="layer"), "fire", "a fire block needs the padding same"),
        (layers.Conv2D(1, 3, padding="same", name="layer"), "fire", "a fire block needs two outputs"),
        (layers.DepthwiseConv2D(3, name="layer"), "fire", "DepthwiseConv2D is no Conv2D"),
    ],
)
def test_layers_that_no_block_can_stand_for_are_errors_when_they_are_all(make_context, layer, method, reason):
    inputs = keras.Input((8, 8, 2), name="input")
    model = keras.Model(inputs, layer(inputs))
    with pytest.raises(ModelError, match=f"a layer must be left to work on: {method} takes Conv2D .*Received: {reason}"):
        replace_convolutions.apply(model, untimed(method=method), make_context())
    with pytest.raises(RecipeError, match=f"layers must match a layer that can be worked on: .*Received: 'layer' .layer: {reason}"):
        replace_convolutions.apply(model, untimed(method=method, layers=["layer"]), make_context())
