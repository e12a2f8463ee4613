"""Dead channels removed: the outputs stay, the MACs fall, and what cannot go says why."""

import numpy as np
import pytest

from edgecompress.backend import keras
from edgecompress.errors import RecipeError
from edgecompress.graph.channels import known_inputs
from edgecompress.graph.layers import describe_layers, total
from edgecompress.keeps import find_variable
from edgecompress.recipe.stages import PruneWeights, RemoveDead
from edgecompress.techniques import prune_weights, remove_dead

L = keras.layers


def macs(model):
    return total(describe_layers(model)).macs


def random_weights(model, seed=0):
    """Also statistics and biases, which Keras starts at 0 and 1."""
    draw = np.random.default_rng(seed)
    for layer in model.layers:
        layer.set_weights([np.abs(draw.normal(size=weight.shape)).astype(np.float32) * 0.3 + 0.05 if "variance" in variable.name
                           else draw.normal(size=weight.shape).astype(np.float32) * 0.3
                           for weight, variable in zip(layer.get_weights(), layer.weights, strict=True)])  # fmt: skip
    return model


def kill(model, name, channels, bias=None):
    """Zeroes filters of a layer; `bias` for its bias there."""
    layer = model.get_layer(name)
    kernel, *rest = layer.get_weights()
    kernel[..., channels] = 0
    if rest and bias is not None:
        rest[0][channels] = bias
    layer.set_weights([kernel, *rest])


def removed(model, make_context, **fields):
    before = [weight.copy() for weight in model.get_weights()]
    result = remove_dead.apply(model, RemoveDead(**fields), make_context())
    inputs = np.random.default_rng(1).normal(size=(16, *model.input_shape[1:])).astype(np.float32)
    was, now = np.asarray(model(inputs)), np.asarray(result.model(inputs))
    np.testing.assert_allclose(now, was, atol=1e-5 * np.abs(was).max())
    assert all((one == two).all() for one, two in zip(before, model.get_weights(), strict=True))
    return result


def reason(result, name):
    return next(record.reason for record in result.layers if record.name == name)


def filters(model, name):
    layer = model.get_layer(name)
    return layer.units if isinstance(layer, L.Dense) else layer.filters


def block(x, filters, name, size=3, **settings):
    return L.ReLU()(L.BatchNormalization()(L.Conv2D(filters, size, use_bias=False, name=name, **settings)(x)))


@pytest.fixture
def mobile():
    """Depthwise and pointwise convolutions, with a pad that nothing but zeros survives."""
    inputs = keras.Input((12, 12, 3))
    x = block(inputs, 8, "stem", padding="same")
    x = L.ReLU()(L.BatchNormalization(name="norm")(L.DepthwiseConv2D(3, use_bias=False, name="depthwise")(x)))
    x = block(x, 12, "pointwise", 1)
    x = L.Dense(6, "relu", name="hidden")(L.GlobalAveragePooling2D()(x))
    return random_weights(keras.Model(inputs, L.Dense(4, name="logits")(x)))


def test_constants_are_folded_through_depthwise_layers_into_biases_that_were_not_there(mobile, make_context):
    kill(mobile, "stem", [1, 4, 5])
    result = removed(mobile, make_context)
    assert filters(result.model, "stem") == 5
    assert result.model.get_layer("pointwise").use_bias
    assert macs(result.model) < 0.8 * macs(mobile)
    assert reason(result, "stem") == "5 of 8 channels left"


def test_channels_that_nothing_reads_go_and_then_what_only_they_read(mobile, make_context):
    kernel, bias = mobile.get_layer("logits").get_weights()
    kernel[[0, 2]] = 0
    mobile.get_layer("logits").set_weights([kernel, bias])
    hidden, bias = mobile.get_layer("hidden").get_weights()
    hidden[3, [1, 3, 4, 5]] = 0  # channel 3 of `pointwise` is read by neurons 0 and 2 alone
    mobile.get_layer("hidden").set_weights([hidden, bias])
    result = removed(mobile, make_context)
    assert (filters(result.model, "hidden"), filters(result.model, "pointwise")) == (4, 11)


@pytest.mark.parametrize(("bias", "left"), [(0.0, 5), (-1.0, 5), (1.0, 8)])
def test_a_padded_border_keeps_constants_other_than_zero(bias, left, make_context):
    inputs = keras.Input((8, 8, 2))
    x = L.Conv2D(8, 3, activation="relu", name="first")(inputs)
    x = L.Conv2D(4, 3, padding="same", name="second")(x)
    model = random_weights(keras.Model(inputs, x))
    kill(model, "first", [0, 3, 7], bias)
    result = removed(model, make_context)
    assert filters(result.model, "first") == left
    if left == 8:
        assert reason(result, "first") == (
            "3 of its channels are constant, but what they add to second differs between positions, as at a padded border"
        )


def test_a_sum_needs_both_of_its_parts_dead(make_context):
    inputs = keras.Input((8, 8, 2))
    one, other = (L.Conv2D(6, 1, name=name)(inputs) for name in ("one", "other"))
    model = random_weights(keras.Model(inputs, L.Conv2D(3, 3, name="last")(L.Add()([one, other]))))
    kill(model, "one", [0, 1, 2], 0.5)
    kill(model, "other", [1, 2, 3], 0.25)
    result = removed(model, make_context)
    assert (filters(result.model, "one"), filters(result.model, "other")) == (4, 4)


def test_a_gate_of_zeros_kills_what_it_meets(make_context):
    inputs = keras.Input((6, 6, 4))
    x = L.Conv2D(5, 3, name="values")(inputs)
    gate = L.Dense(5, "relu", name="gate")(L.GlobalAveragePooling2D()(inputs))
    model = random_weights(keras.Model(inputs, L.Conv2D(3, 3, padding="same")(L.Multiply()([x, L.Reshape((1, 1, 5))(gate)]))))
    kill(model, "gate", [2], -0.5)
    result = removed(model, make_context)
    assert (filters(result.model, "values"), filters(result.model, "gate")) == (4, 4)


def test_concatenations_flattening_pools_and_shared_layers_are_followed(make_context):
    inputs = keras.Input((8, 8, 2))
    shared = L.Conv2D(4, 3, activation="tanh", name="shared")
    x = L.Concatenate()([shared(inputs), L.MaxPooling2D(1)(shared(inputs * 2.0)), L.Conv2D(3, 3, name="third")(inputs)])
    model = random_weights(keras.Model(inputs, L.Dense(5, name="logits")(L.Flatten()(L.AveragePooling2D(2)(x)))))
    kill(model, "shared", [1], 0.7)
    kill(model, "third", [0], -2.0)
    result = removed(model, make_context)
    assert (filters(result.model, "shared"), filters(result.model, "third")) == (3, 2)


def test_grouped_separable_and_transposed_convolutions(make_context):
    inputs = keras.Input((8, 8, 4))
    x = L.Conv2D(8, 3, groups=2, activation="relu", name="grouped")(inputs)
    x = L.SeparableConv2D(6, 3, depth_multiplier=2, activation="relu", name="separable")(x)
    model = random_weights(keras.Model(inputs, L.Conv2D(3, 1)(L.Conv2DTranspose(5, 2, name="transposed")(x))))
    kill(model, "grouped", [1, 5], -1.0)  # the same of each group
    pointwise = model.get_layer("separable").pointwise_kernel
    pointwise.assign(pointwise.numpy() * (np.arange(6) != 4))
    model.get_layer("separable").bias.assign([0.1, 0.1, 0.1, 0.1, 0, 0.1])
    result = removed(model, make_context)
    assert (filters(result.model, "grouped"), filters(result.model, "separable")) == (6, 5)


def test_one_channel_stays_of_a_layer_that_is_dead_as_a_whole(mobile, make_context):
    kill(mobile, "pointwise", range(12))
    result = removed(mobile, make_context)
    assert filters(result.model, "pointwise") == 1
    assert result.notes == ("stem: all of its channels are dead; one stays, as a layer must have one.",
                            "pointwise: all of its channels are dead; one stays, as a layer must have one.",
                            "hidden: all of its channels are dead; one stays, as a layer must have one.")  # fmt: skip


def test_what_is_known_is_what_the_layers_see(mobile):
    kill(mobile, "stem", [1, 4, 5])
    for layer in mobile.layers[1:]:
        (known,) = known_inputs(mobile)[layer.name]
        inputs = np.random.default_rng(2).normal(size=(4, 12, 12, 3)).astype(np.float32)
        seen = np.asarray(keras.Model(mobile.inputs, layer.input)(inputs))
        np.testing.assert_allclose(np.where(known.unknown, 0, seen), np.broadcast_to(known.values, seen.shape), rtol=1e-5, atol=1e-6)
        if layer.name in {"norm", "depthwise", "pointwise"}:
            assert np.flatnonzero(~known.unknown.any((0, 1, 2))).tolist() == [1, 4, 5]


def test_nothing_dead_is_no_operation_with_reasons(mobile, make_context):
    result = removed(mobile, make_context)
    assert {record.action for record in result.layers} == {"skipped"}
    assert reason(result, "stem") == "each of its channels depends on the input and is read"
    assert reason(result, "logits") == "an output of the model"


def test_patterns_choose_and_one_that_matches_nothing_is_an_error(mobile, make_context):
    kill(mobile, "stem", [1])
    kill(mobile, "pointwise", [2])
    result = removed(mobile, make_context, skip=["stem"])
    assert (filters(result.model, "stem"), filters(result.model, "pointwise")) == (8, 11)
    with pytest.raises(RecipeError, match="Did you mean 'stem'"):
        remove_dead.apply(mobile, RemoveDead(layers=["sten"]), make_context())


def test_inputs_of_unknown_size_lose_what_nothing_reads_alone(make_context):
    inputs = keras.Input((None, None, 2))
    x = L.Conv2D(6, 3, name="first")(inputs)
    model = random_weights(keras.Model(inputs, L.GlobalAveragePooling2D()(L.Conv2D(3, 3, name="second")(x))))
    kernel, bias = model.get_layer("second").get_weights()
    kernel[:, :, 2] = 0
    model.get_layer("second").set_weights([kernel, bias])
    result = remove_dead.apply(model, RemoveDead(), make_context())
    assert filters(result.model, "first") == 5


def test_masks_are_cut_along(mobile, make_context):
    pruned = prune_weights.apply(mobile, PruneWeights(sparsity=0.5), make_context())
    kill(pruned.model, "stem", [0, 6])
    result = remove_dead.apply(pruned.model, RemoveDead(), make_context(keeps=pruned.keeps))
    assert filters(result.model, "stem") <= 6
    for keep in result.keeps:
        kernel = find_variable(result.model, keep.layer, keep.weight).numpy()
        assert keep.values.shape == kernel.shape
        assert keep.held(kernel)
