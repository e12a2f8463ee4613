"""Merging changes nothing but the number of layers, and undoes factorizing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecompress.backend import keras
from edgecompress.graph.layers import describe_layers, total
from edgecompress.keeps import centroids_of, mask_of
from edgecompress.models.replacing import replace_layers
from edgecompress.recipe.stages import Factorize, MergeLinear
from edgecompress.techniques import factorize, merge_linear
from edgecompress.techniques.factorize.chains import factor_chain
from edgecompress.techniques.factorize.choosing import choose_candidates

layers = keras.layers


def randomize(model, seed=0):
    """Weights of any size, positive where a variance must be."""
    generator = np.random.default_rng(seed)
    model.set_weights(
        [
            np.abs(generator.normal(size=weight.shape)) + 0.1 if "variance" in weight.name else generator.normal(size=weight.shape)
            for weight in model.weights
        ]
    )
    return model


def stack(input_shape, *parts):
    inputs = x = keras.Input(input_shape, name="input")
    for part in parts:
        x = part(x)
    return randomize(keras.Model(inputs, x))


def assert_same_outputs(one, other):
    inputs = np.random.default_rng(1).normal(size=(3, *one.input_shape[1:])).astype(np.float32)
    expected = one(inputs).numpy()
    # Sums of products in another order, of layers whose outputs are of very different sizes: 1e-5 of the largest.
    np.testing.assert_allclose(other(inputs), expected, atol=1e-5 * max(1.0, np.abs(expected).max()))


def merged(model, make_context, **settings):
    result = merge_linear.apply(model, MergeLinear(**settings), make_context())
    assert_same_outputs(model, result.model)
    return result


def names(model):
    return [layer.name for layer in model.layers[1:]]


def reasons(result):
    return {record.name: record.reason for record in result.layers if record.action == "skipped"}


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize(
    ("input_shape", "layer"),
    [
        ((6,), lambda bias: layers.Dense(5, use_bias=bias, name="layer")),
        ((8, 4), lambda bias: layers.Conv1D(5, 3, use_bias=bias, name="layer")),
        ((8, 8, 4), lambda bias: layers.Conv2D(6, 3, strides=2, padding="same", use_bias=bias, name="layer")),
        ((8, 8, 4), lambda bias: layers.Conv2D(6, 3, groups=2, use_bias=bias, name="layer")),
        ((8, 8, 4), lambda bias: layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=bias, name="layer")),
        ((4, 4, 3), lambda bias: layers.Conv2DTranspose(5, 3, strides=2, use_bias=bias, name="layer")),
    ],
)
def test_batch_normalization_goes_into_the_layer_before_it(make_context, input_shape, layer, use_bias):
    model = stack(input_shape, layer(use_bias), layers.BatchNormalization(name="norm"), layers.ReLU(name="relu"))
    result = merged(model, make_context)
    assert names(result.model) == ["layer", "relu"]
    assert result.model.get_layer("layer").use_bias
    assert result.layers[0].reason.startswith("holds norm: parameters ")


@pytest.mark.parametrize("settings", [{"scale": False}, {"center": False}, {"epsilon": 0.5}])
def test_every_kind_of_batch_normalization_is_exact(make_context, settings):
    model = stack((6,), layers.Dense(5, name="dense"), layers.BatchNormalization(name="norm", **settings))
    assert names(merged(model, make_context).model) == ["dense"]


@given(st.lists(st.integers(1, 8), min_size=2, max_size=5), st.booleans())
@settings(max_examples=25)
def test_dense_layers_in_a_row_never_cost_more_after_it(widths, use_bias):
    first, *rest = widths
    model = stack((first,), *(layers.Dense(width, use_bias=use_bias, name=f"dense{index}") for index, width in enumerate(rest)))
    plan, _ = merge_linear.plan(model, MergeLinear())
    assert_same_outputs(model, plan)
    before, after = total(describe_layers(model)), total(describe_layers(plan))
    assert after.parameters <= before.parameters
    assert after.macs <= before.macs


def test_bottleneck_between_dense_layers_stays(make_context):
    model = stack((20,), layers.Dense(2, name="narrow"), layers.Dense(20, name="wide"))
    result = merged(model, make_context)
    assert names(result.model) == ["narrow", "wide"]
    assert reasons(result)["wide"] == "one layer with narrow would be dearer: parameters 102 -> 420, MACs 80 -> 400"


@pytest.mark.parametrize("method", ["svd", "spatial_svd", "tucker2"])
@pytest.mark.parametrize(
    ("strides", "padding", "dilation"), [((1, 1), "same", (1, 1)), ((2, 3), "valid", (1, 1)), ((1, 1), "same", (2, 1))]
)
def test_what_was_factorized_at_full_rank_becomes_one_layer_again(make_context, method, strides, padding, dilation):
    convolution = layers.Conv2D(7, (3, 2), strides=strides, padding=padding, dilation_rate=dilation, activation="relu", name="conv")
    model = stack((12, 11, 5), convolution)
    (candidate,), _ = choose_candidates(model, method, [], [])
    factors = candidate.factorize(candidate.full_rank, seed=0, time_limit_s=60.0)
    chained = replace_layers(model, {"conv": factor_chain(convolution, candidate.method, factors, lambda ending: f"conv{ending}")})
    result = merged(chained, make_context)
    assert names(result.model) == ["conv"]
    assert_same_outputs(model, result.model)
    np.testing.assert_allclose(result.model.get_layer("conv").kernel, convolution.kernel, atol=1e-5)
    kept = ("strides", "padding", "dilation_rate", "kernel_size", "activation", "filters", "use_bias")
    one, other = convolution.get_config(), result.model.get_layer("conv").get_config()
    assert {key: one[key] for key in kept} == {key: other[key] for key in kept}


def test_the_chain_of_a_cp_factorization_is_left_as_it_is(make_context):
    model = stack((8, 8, 8), layers.Conv2D(8, 3, padding="same", name="conv"))
    chained = factorize.apply(model, Factorize(method="cp", rank=4, timed_as=None), make_context()).model
    assert names(merged(chained, make_context).model) == ["conv_in", "conv_column", "conv_row", "conv"]


def test_factors_that_save_stay_as_they_are(make_context):
    model = stack((32,), layers.Dense(32, name="dense"))
    low = factorize.apply(model, Factorize(rank=4, timed_as=None), make_context())
    assert names(merged(low.model, make_context).model) == ["dense_in", "dense"]


@pytest.mark.parametrize(
    ("parts", "layer", "reason"),
    [
        ([layers.Dense(4, activation="relu", name="a"), layers.BatchNormalization(name="b")], "b", "a before it has an activation"),
        ([layers.ReLU(name="a"), layers.BatchNormalization(name="b")], "b", "no linear layer stands right before it"),
        ([layers.Dense(4, kernel_constraint="non_neg", name="a"), layers.BatchNormalization(name="b")], "a", "it has a constraint"),
    ],
)
def test_layers_that_stay_apart_say_why(make_context, parts, layer, reason):
    result = merged(stack((4,), *parts), make_context)
    assert reasons(result)[layer] == reason
    assert names(result.model) == ["a", "b"]


PADDED = {"padding": "same"}


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        (layers.Conv2D(2, 3, name="a"), layers.Conv2D(2, 3, name="b"), "both work along the same axis"),
        (layers.Conv2D(2, (3, 1), **PADDED, use_bias=False, name="a"), layers.Conv2D(2, (1, 3), name="b"), "they pad differently"),
        (layers.Conv2D(2, 1, name="a"), layers.Conv2D(2, 3, **PADDED, name="b"), "the bias of a is not in the padding of b"),
        (layers.Conv2D(2, 1, groups=2, name="a"), layers.Conv2D(2, 1, name="b"), "grouped convolutions are not merged"),
        (
            layers.DepthwiseConv2D((3, 1), use_bias=False, name="a"), layers.DepthwiseConv2D((1, 3), name="b"),
            "two layers of the class DepthwiseConv2D are not merged",
        ),
        (
            layers.Conv2DTranspose(2, 1, use_bias=False, name="a"), layers.Conv2DTranspose(2, 3, strides=2, name="b"),
            "two layers of the class Conv2DTranspose are not merged",
        ),
        (layers.DepthwiseConv2D(3, name="a"), layers.Conv2D(2, 1, name="b"), "DepthwiseConv2D and Conv2D make no single layer"),
    ],
)  # fmt: skip
def test_convolutions_that_are_no_single_one_say_why(make_context, first, second, reason):
    assert reasons(merged(stack((8, 8, 2), first, second), make_context))["b"] == f"not one with a: {reason}"


def test_output_that_is_read_twice_keeps_its_layer(make_context):
    inputs = keras.Input((4,), name="input")
    x = layers.Dense(4, name="dense")(inputs)
    model = randomize(keras.Model(inputs, layers.Add(name="add")([x, layers.BatchNormalization(name="norm")(x)])))
    assert reasons(merged(model, make_context))["norm"] == "what dense gives is read elsewhere too"


def test_layer_that_is_called_twice_is_not_merged(make_context):
    inputs, shared = keras.Input((4,), name="input"), layers.Dense(4, name="shared")
    model = randomize(keras.Model(inputs, layers.BatchNormalization(name="norm")(shared(shared(inputs)))))
    assert reasons(merged(model, make_context))["shared"] == "it is called several times"


def test_whole_network_gives_the_same_and_is_shorter(small_model, make_context):
    model = keras.models.clone_model(small_model)
    randomize(model)
    result = merged(model, make_context)
    assert "norm1" not in names(result.model)
    assert "norm2" not in names(result.model)
    assert {record.name for record in result.layers if record.action == "changed"} == {"conv1", "depthwise"}


def test_layers_that_are_skipped_stay(small_model, make_context):
    result = merged(small_model, make_context, skip=["norm1"])
    assert "norm1" in names(result.model)
    assert reasons(result)["norm1"] == "not chosen by `layers` and `skip`"


def test_zeros_stay_promised_through_a_batch_normalization_and_shared_values_do_not(small_model, make_context):
    kernel = small_model.get_layer("conv1").kernel.numpy()
    keeps = [
        mask_of("conv1", "kernel", kernel),
        centroids_of("conv1", "kernel", kernel, -1),
        mask_of("logits", "kernel", np.ones((1536, 10))),
    ]
    result = merge_linear.apply(small_model, MergeLinear(), make_context(keeps=keeps))
    assert result.keeps == (keeps[0], keeps[2])
    assert result.released == ("conv1: 144 distinct values, merged with other weights",)


def test_nothing_to_merge_leaves_everything_with_reasons(make_context):
    result = merged(stack((4,), layers.Dense(4, activation="relu", name="a"), layers.Dense(4, name="b")), make_context)
    assert reasons(result) == {"a": "no linear layer stands right before it", "b": "a before it has an activation"}
