"""Each rewriting keeps the model's function, on random weights and inputs, and leaves no layer of the kind that it is for."""

import numpy as np
import pytest

from edgecompress.backend import keras, tf
from edgecompress.keeps import Keep, find_variable, mask_of
from edgecompress.techniques.quantize_aware.rewrite import rewrite
from edgecompress.techniques.quantize_aware.rules import RULES

layers = keras.layers
IMAGE, SEQUENCE, VECTOR = (6, 8, 3), (12, 4), (5,)

CASES = {
    "Conv1D": (SEQUENCE, lambda x: layers.Conv1D(6, 3, strides=2, padding="same", activation="relu")(x)),
    "Conv1D causal": (SEQUENCE, lambda x: layers.Conv1D(6, 3, dilation_rate=2, padding="causal")(x)),
    "Conv1D groups": (SEQUENCE, lambda x: layers.Conv1D(6, 3, groups=2, use_bias=False)(x)),
    "Conv1DTranspose": (SEQUENCE, lambda x: layers.Conv1DTranspose(6, 3, strides=2, output_padding=1)(x)),
    "DepthwiseConv1D": (SEQUENCE, lambda x: layers.DepthwiseConv1D(3, strides=2, depth_multiplier=2)(x)),
    "SeparableConv1D": (SEQUENCE, lambda x: layers.SeparableConv1D(6, 3, strides=3, padding="causal", activation="tanh")(x)),
    "MaxPooling1D": (SEQUENCE, lambda x: layers.MaxPooling1D(3, strides=2, padding="same")(x)),
    "AveragePooling1D": (SEQUENCE, lambda x: layers.AveragePooling1D(2)(x)),
    "UpSampling1D": (SEQUENCE, lambda x: layers.UpSampling1D(3)(x)),
    "SeparableConv2D": (IMAGE, lambda x: layers.SeparableConv2D(6, 3, dilation_rate=2, depth_multiplier=2, activation="swish")(x)),
    "hard_sigmoid": (IMAGE, lambda x: layers.Activation("hard_sigmoid")(x)),
    "hard_sigmoid inside": (VECTOR, lambda x: layers.Dense(4, activation="hard_sigmoid")(x)),
    "ReLU with a limit": (IMAGE, lambda x: layers.ReLU(1.5)(x)),
    "Average": (IMAGE, lambda x: layers.Average()([x, layers.ReLU()(x), 2.0 * x])),
    "Rescaling": (IMAGE, lambda x: layers.Rescaling(1 / 127.5, -1)(x)),
    "Rescaling by channel": (SEQUENCE, lambda x: layers.Rescaling([1.0, 2.0, 3.0, 4.0], 0.5)(x)),
    "Normalization": (IMAGE, lambda x: layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[1.0, 4.0, 9.0])(x)),
    "Normalization back": (VECTOR, lambda x: layers.Normalization(mean=[1.0] * 5, variance=[4.0] * 5, invert=True)(x)),
    "Dense before BatchNormalization": (VECTOR, lambda x: layers.BatchNormalization()(layers.Dense(4, use_bias=False)(x))),
    "Dense on steps": (SEQUENCE, lambda x: layers.BatchNormalization()(layers.Dense(4)(x))),
    "pool over all": (IMAGE, lambda x: layers.AveragePooling2D((6, 8))(x)),
    "number minus tensor": (IMAGE, lambda x: 1.0 - x / 3.0),
    "vector times tensor": (IMAGE, lambda x: (x - [0.1, 0.2, 0.3]) * [1.0, 2.0, 4.0]),
    "operators": (IMAGE, lambda x: tf.concat([tf.nn.silu(x) + x, tf.maximum(x, -x) * x], -1)),
    "mean": (IMAGE, lambda x: tf.reduce_mean(x, axis=(1, 2), keepdims=True)),
}  # fmt: skip

GONE = ("SeparableConv2D", "Average", "Normalization", "TFOpLambda")  # and all of one dimension


@pytest.mark.parametrize("name", CASES)
def test_rewritten_layer_computes_the_same(name, stirred, samples_for):
    shape, build = CASES[name]
    inputs = keras.Input(shape)
    model = stirred(keras.Model(inputs, build(inputs)))
    rewritten = rewrite(model, RULES)
    samples = samples_for(model)
    # Another order of float32 operations: a few units in the last place of values up to 10.
    np.testing.assert_allclose(rewritten.model(samples), model(samples), rtol=1e-5, atol=1e-5)
    assert rewritten.model.output_shape == model.output_shape
    kinds = {type(layer).__name__ for layer in rewritten.model.layers}
    assert kinds.isdisjoint(GONE)
    assert not any(kind.endswith("1D") for kind in kinds)
    assert rewritten.notes


@pytest.fixture(scope="module")
def network(stirred):
    """Layers of one dimension, each kind of BatchNormalization, joins of three, a shared layer."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input(SEQUENCE, name="steps")
    x = layers.BatchNormalization(name="first")(inputs)
    x = layers.Conv1D(6, 3, padding="same", use_bias=False, name="conv")(x)
    x = layers.Activation("swish", name="swish")(layers.BatchNormalization(name="norm")(x))
    shared = layers.SeparableConv1D(6, 3, padding="same", activation="hard_sigmoid", name="shared")
    y, z = shared(x), shared(layers.Dropout(0.1, name="dropout")(x))
    x = layers.Add(name="add")([x, y, z])
    x = layers.Concatenate(axis=1, name="join")([layers.ZeroPadding1D(1, name="pad")(x), layers.Cropping1D((0, 1), name="crop")(y)])
    x = layers.GlobalMaxPooling1D(name="pool")(layers.MaxPooling1D(2, name="small")(x))
    x = layers.BatchNormalization(name="last")(layers.Dense(8, activation="relu", name="hidden")(x))
    return stirred(keras.Model(inputs, layers.Dense(3, activation="softmax", name="classes")(x)))


def test_whole_network_computes_the_same(network, samples_for):
    samples = samples_for(network)
    np.testing.assert_allclose(rewrite(network, RULES).model(samples), network(samples), rtol=1e-5, atol=1e-6)


def test_input_model_is_untouched_and_nothing_is_shared_with_it(network):
    before = [weight.copy() for weight in network.get_weights()]
    num_calls = [len(layer.outbound_nodes) for layer in network.layers]
    rewritten = rewrite(network, RULES).model
    for weight in rewritten.weights:
        weight.assign_add(tf.ones_like(weight))
    assert all((was == now).all() for was, now in zip(before, network.get_weights(), strict=True))
    assert [len(layer.outbound_nodes) for layer in network.layers] == num_calls
    assert not {id(layer) for layer in network.layers} & {id(layer) for layer in rewritten.layers}


def test_lifted_part_begins_and_ends_with_one_reshape(network):
    """The input is lifted; the pool gives the vector that Dense takes, which the last BatchNormalization lifts again."""
    names = [layer.name for layer in rewrite(network, RULES).model.layers if type(layer).__name__ == "Reshape"]
    assert names == ["steps_as_image", "hidden_as_image", "last_as_before"]


def test_batch_normalization_gets_a_convolution_only_where_it_has_none(network):
    rewritten = rewrite(network, RULES)
    identities = [layer for layer in rewritten.model.layers if layer.name.endswith("_identity")]
    assert [layer.name for layer in identities] == ["first_identity", "last_identity"]
    assert all((layer.get_weights()[0] == 1).all() and not layer.trainable for layer in identities)


def test_scales_that_follow_each_other_become_one_layer(stirred, samples_for):
    inputs = keras.Input(IMAGE)
    x = layers.Rescaling(1 / 255, name="bytes")(inputs)
    x = layers.Normalization(mean=[0.5] * 3, variance=[0.1, 0.2, 0.3], name="norm")(x)
    model = stirred(keras.Model(inputs, layers.Conv2D(4, 3, name="conv")(layers.Rescaling([3.0, 2.0, 1.0], 0.1, name="more")(x))))
    rewritten = rewrite(model, RULES)
    assert [type(layer).__name__ for layer in rewritten.model.layers] == ["InputLayer", "DepthwiseConv2D", "Conv2D"]
    np.testing.assert_allclose(rewritten.model(samples_for(model)), model(samples_for(model)), rtol=1e-5, atol=1e-5)


def test_scale_that_something_else_reads_too_stays_apart():
    inputs = keras.Input(IMAGE)
    scaled = layers.Rescaling(2.0, name="scale")(inputs)
    model = keras.Model(inputs, [layers.Rescaling(3.0, 1.0, name="more")(scaled), layers.ReLU(name="other")(scaled)])
    assert "scale" in {layer.name for layer in rewrite(model, RULES).model.layers}


def test_untouched_layers_stay_as_they_are(network):
    rewritten = rewrite(network, RULES, untouched=["conv", "shared"]).model
    assert [type(rewritten.get_layer(name)).__name__ for name in ("conv", "shared")] == ["Conv1D", "SeparableConv1D"]


@pytest.mark.parametrize("weight", ["kernel", "pointwise_kernel"])
def test_keep_follows_its_kernel(network, weight):
    layer = {"kernel": "conv", "pointwise_kernel": "shared"}[weight]
    kernel = find_variable(network, layer, weight).numpy()
    rewritten = rewrite(network, RULES)
    for keep in (
        mask_of(layer, weight, np.round(kernel)),
        Keep("centroids", layer, weight, np.arange(kernel.size, dtype=np.int32).reshape(kernel.shape)),
    ):
        moved = rewritten.move(keep)
        there = find_variable(rewritten.model, moved.layer, moved.weight).numpy()
        np.testing.assert_array_equal(there.reshape(kernel.shape), kernel)
        np.testing.assert_array_equal(moved.values.reshape(kernel.shape), keep.values)
        assert moved.values.shape == there.shape
        assert moved.measure(there) == keep.measure(kernel)


def test_keep_of_a_layer_that_was_copied_stays_where_it_is(network):
    keep = mask_of("hidden", "kernel", find_variable(network, "hidden", "kernel").numpy())
    assert rewrite(network, RULES).move(keep) is keep


def test_names_of_new_layers_give_way_to_names_that_are_there(samples_for):
    inputs = keras.Input(VECTOR)
    x = layers.Dense(4, activation="swish", name="a")(inputs)
    model = keras.Model(inputs, layers.Dense(4, name="a_activation")(x))
    rewritten = rewrite(model, RULES).model
    assert [layer.name for layer in rewritten.layers[1:]] == ["a", "a_activation_", "a_activation"]


def test_several_inputs_and_outputs_keep_their_order(samples_for):
    first, second = keras.Input(VECTOR, name="first"), keras.Input(VECTOR, name="second")
    model = keras.Model([second, first], [layers.Dense(2, name="a")(first), layers.Dense(3, name="b")(second)])
    rewritten = rewrite(model, RULES).model
    assert [tensor.name for tensor in rewritten.inputs] == [tensor.name for tensor in model.inputs]
    assert [tuple(tensor.shape) for tensor in rewritten.outputs] == [(None, 2), (None, 3)]
