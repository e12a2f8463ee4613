"""Every rule on a small graph: what goes together, what stays and why, and that a cut is exact."""

import numpy as np
import pytest

from edgecompress.backend import keras, tf
from edgecompress.graph.channels import cut

L = keras.layers


def conv(x, filters, size=1, **options):
    return L.Conv2D(filters, size, padding="same", **options)(x)


def head(x):
    return L.Dense(3, name="logits")(L.Flatten(name="flatten")(x))


def squeeze_excite(x):
    gate = L.GlobalAveragePooling2D(keepdims=True)(x)
    gate = conv(conv(gate, 4, activation="relu"), 8, activation="sigmoid")
    return L.Multiply()([x, gate])


def squeeze_excite_without_axes(x):
    """Keras adds the axes that the gate lacks behind the batch."""
    gate = L.Dense(8, "sigmoid")(L.Dense(4, "relu")(L.GlobalMaxPooling2D()(x)))
    return L.Multiply()([x, gate])


def residual(merge, x):
    return merge()([x, conv(L.ReLU()(conv(x, 12, 3)), 8)])


def inverted(x):
    """Two parallel branches, then a residual around both."""
    both = L.Concatenate()([conv(x, 6, 3), L.DepthwiseConv2D(3, padding="same", depth_multiplier=2)(conv(x, 5))])
    return L.Add()([x, conv(both, 8)])


def shared(x):
    layer, norm = L.Conv2D(8, 3, padding="same", name="shared"), L.BatchNormalization()
    return norm(layer(norm(layer(x))))


def shared_on_two_branches(x):
    layer = L.Conv2D(6, 3, padding="same")
    return L.Concatenate()([layer(conv(x, 4)), L.UpSampling2D()(layer(L.MaxPooling2D()(conv(x, 4))))])


def nested(x):
    inner_inputs = keras.Input(x.shape[1:])
    inner = keras.Model(inner_inputs, conv(L.BatchNormalization()(conv(inner_inputs, 10, 3)), 8), name="inner")
    return inner(inner(x))


def overlapping(x):
    """Parts of 4 and 8 meet parts of 8 and 4."""
    return L.Add()([L.Concatenate()([conv(x, 4), conv(x, 8)]), L.Concatenate()([conv(x, 8), conv(x, 4)])])


ON_MAPS = {
    "strides": lambda x: L.Conv2D(6, 3, strides=2)(x),
    "dilation": lambda x: L.Conv2D(6, 3, dilation_rate=2, padding="same")(x),
    "groups": lambda x: conv(conv(x, 12, 3, groups=4), 6),
    "groups after a concatenation": lambda x: conv(L.Concatenate()([x, conv(x, 4)]), 6, 3, groups=2),
    "groups of one channel": lambda x: conv(conv(x, 16, 3, groups=8), 6),
    "depthwise": lambda x: L.DepthwiseConv2D(3, activation="relu")(x),
    "depthwise with a multiplier": lambda x: L.BatchNormalization()(L.DepthwiseConv2D(3, depth_multiplier=3)(x)),
    "separable": lambda x: L.SeparableConv2D(6, 3, activation="tanh")(x),
    "separable with a multiplier": lambda x: L.SeparableConv2D(6, 3, depth_multiplier=2, use_bias=False)(x),
    "transposed": lambda x: L.Conv2DTranspose(6, 3, strides=2)(x),
    "batch normalization": lambda x: L.BatchNormalization()(x),
    "batch normalization without scale": lambda x: L.BatchNormalization(scale=False, center=False)(x),
    "prelu": lambda x: L.PReLU()(x),
    "prelu, one slope a channel": lambda x: L.PReLU(shared_axes=[1, 2])(x),
    "prelu, one slope": lambda x: L.PReLU(shared_axes=[1, 2, 3])(x),
    "activations": lambda x: L.ELU()(L.LeakyReLU()(L.Activation("swish")(L.ReLU(6.0)(x)))),
    "add": lambda x: residual(L.Add, x),
    "subtract": lambda x: residual(L.Subtract, x),
    "multiply": lambda x: residual(L.Multiply, x),
    "average": lambda x: residual(L.Average, x),
    "maximum": lambda x: residual(L.Maximum, x),
    "minimum": lambda x: residual(L.Minimum, x),
    "squeeze and excite": squeeze_excite,
    "squeeze and excite without axes": squeeze_excite_without_axes,
    "gate of the places": lambda x: L.Multiply()([x, L.Conv2D(1, 3, padding="same", activation="sigmoid")(x)]),
    "concatenate": lambda x: L.Concatenate()([x, conv(x, 5), x]),
    "concatenate places": lambda x: L.Concatenate(axis=1)([x, conv(x, 8, 3)]),
    "concatenations that overlap": overlapping,
    "inverted": inverted,
    "pooling": lambda x: L.AveragePooling2D(3, 1)(L.MaxPooling2D()(x)),
    "global pooling": lambda x: L.Dense(6)(L.GlobalAveragePooling2D()(x)),
    "resizing": lambda x: L.Resizing(5, 5)(L.Cropping2D(1)(L.ZeroPadding2D(2)(L.UpSampling2D(interpolation="bilinear")(x)))),
    "noise": lambda x: L.SpatialDropout2D(0.5)(L.GaussianNoise(1.0)(L.Dropout(0.5)(x))),
    "reshape to a row": lambda x: L.Reshape((64, 8))(x),
    "reshape and back": lambda x: conv(L.Reshape((8, 8, 8))(L.Reshape((-1,))(x)), 6),
    "reshape of a vector": lambda x: conv(L.Reshape((1, 1, 8))(L.GlobalAveragePooling2D()(x)), 6),
    "reshape with an open axis": lambda x: L.Conv1D(6, 3)(L.Reshape((-1, 8))(x)),
    "permute and back": lambda x: L.Permute((2, 3, 1))(L.Permute((3, 1, 2))(x)),
    "repeat": lambda x: L.RepeatVector(4)(L.GlobalAveragePooling2D()(x)),
    "rescaling": lambda x: L.Rescaling(2.0, offset=1.0)(x),
    "softmax over places": lambda x: L.Softmax(axis=[1, 2])(x),
    "normalization of places": lambda x: L.LayerNormalization(axis=[1, 2])(x),
    "shared layers": shared,
    "shared layers on two branches": shared_on_two_branches,
    "nested models": nested,
    "functions": lambda x: tf.nn.relu6(x + 3.0) * (1.0 / 6.0) + tf.abs(x) - 2.0 * tf.maximum(x, 0.0),
    "functions with two tensors": lambda x: tf.concat([x, x * conv(x, 8)], axis=-1),
    "function over places": lambda x: L.Dense(6)(tf.reduce_mean(x, axis=[1, 2])),
    "function over places with axes": lambda x: x * tf.reduce_max(x, [1, 2], True),
}  # fmt: skip


@pytest.mark.parametrize("name", ON_MAPS)
def test_everything_can_be_cut_and_exactly(name, build, assert_exact):
    model = build((8, 8, 3), lambda x: head(ON_MAPS[name](conv(x, 8, 3, name="first"))))
    graph, _ = assert_exact(model)
    gates = {"gate of the places": 1}  # its one channel meets all others
    assert graph.num_channels - graph.num_free == 3 + gates.get(name, 0)


ON_STEPS = {
    "causal": lambda x: L.Conv1D(6, 3, padding="causal", dilation_rate=2)(x),
    "depthwise": lambda x: L.DepthwiseConv1D(3)(x),
    "separable": lambda x: L.SeparableConv1D(6, 3)(x),
    "transposed": lambda x: L.Conv1DTranspose(6, 3)(x),
    "pooling": lambda x: L.UpSampling1D()(L.ZeroPadding1D()(L.Cropping1D()(L.MaxPooling1D()(x)))),
    "dense on each step": lambda x: L.Dense(6, "relu")(L.BatchNormalization()(x)),
    "global pooling": lambda x: L.GlobalMaxPooling1D()(x),
}


@pytest.mark.parametrize("name", ON_STEPS)
def test_sequences_can_be_cut_exactly(name, build, assert_exact):
    graph, _ = assert_exact(build((12, 3), lambda x: head(ON_STEPS[name](L.Conv1D(8, 3, name="first")(x)))))
    assert graph.num_channels - graph.num_free == 3


def test_volumes_can_be_cut_exactly(build, assert_exact):
    assert_exact(build((4, 4, 4, 2), lambda x: head(L.Conv3DTranspose(5, 2)(L.MaxPooling3D()(L.Conv3D(6, 2)(x))))))


def test_embeddings_can_be_cut_exactly(build, assert_exact):
    model = build((7,), lambda x: head(L.Conv1D(5, 3)(L.Embedding(10, 6, name="words")(tf.abs(x)))))
    assert "words" in [group.name for group in assert_exact(model)[0].groups]


def test_sequential_models_can_be_cut_exactly(assert_exact):
    layers = [keras.Input((6, 6, 2)), L.Conv2D(6, 3), L.BatchNormalization(), L.Flatten(), L.Dense(5), L.Dense(2)]
    smaller = assert_exact(keras.Sequential(layers))[1]
    assert type(smaller) is keras.Sequential


def test_unknown_lengths_of_other_axes_do_not_matter(build, assert_exact):
    assert_exact(build((None, None, 3), lambda x: L.Dense(2)(L.GlobalAveragePooling2D()(conv(conv(x, 8, 3), 6)))))


def test_several_inputs_and_outputs(assert_exact):
    one, other = keras.Input((8, 8, 3)), keras.Input((8, 8, 1))
    both = L.Concatenate()([conv(one, 6, 3), conv(other, 4, 3)])
    outputs = [conv(both, 2, name="map"), head(conv(both, 5, name="inner"))]
    graph, _ = assert_exact(keras.Model([one, other], outputs))
    assert {group.name: group.num_free for group in graph.groups}["map"] == 0


FROZEN = {
    "LayerNormalization": (L.LayerNormalization(), "LayerNormalization takes its statistics over the channels"),
    "Softmax": (L.Softmax(), "Softmax looks at all channels"),
    "softmax activation": (L.Activation("softmax"), "its activation looks at all channels"),
    "unknown layer": (L.UnitNormalization(), "UnitNormalization is not followed"),
    "unknown function": (lambda x: tf.cumsum(x, axis=-1), "tf.math.cumsum is not followed"),
    "function over channels": (lambda x: tf.reduce_mean(x, -1, keepdims=True), "tf.math.reduce_mean runs over the channels"),
    "constant for each channel": (lambda x: x * tf.range(8.0), "tf.math.multiply with a constant for each channel"),
    "rescaling of each channel": (L.Rescaling([1.0] * 8), "Rescaling holds a number for each channel in its configuration"),
    "shuffle": (L.Reshape((8, 8, 2, 4)), "Reshape spreads the channels over several axes"),
    "rows become channels": (lambda x: conv(L.Permute((3, 1, 2))(x), 4), "Conv2D sums over axis 3, the channels lie on axis 1"),
    "pooling over channels": (
        lambda x: L.MaxPooling2D()(L.Permute((3, 1, 2))(x)), "MaxPooling2D works along axis 3, the channels lie on axis 1",
    ),
    "turned against each other": (
        lambda x: L.Add()([x, L.Permute((3, 1, 2))(x)]), "takes tensors whose channels lie on different axes: 1, 3",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FROZEN)
def test_what_is_not_followed_freezes_what_it_touches_and_says_why(name, build, assert_exact):
    body, reason = FROZEN[name]
    model = build((8, 8, 3), lambda x: head(body(conv(conv(x, 6, 3, name="free"), 8, name="first"))))
    groups = {group.name: group for group in assert_exact(model)[0].groups}
    assert groups["first"].frozen.all()
    assert reason in [words.split(": ", 1)[1] for words in groups["first"].reasons]
    assert groups["free"].num_free == 6


def test_channels_that_meet_an_input_stay(build, assert_exact):
    model = build((8, 8, 3), lambda x: head(L.Add(name="add")([x, conv(conv(x, 6, 3), 3, name="first")])))
    groups = {group.name: group for group in assert_exact(model)[0].groups}
    assert groups["first"].reasons == ("add: meets an input of the model",)


def test_a_layer_that_one_call_holds_is_not_cut_by_its_other_call(assert_exact):
    inputs = keras.Input((8, 8, 4))
    layer = L.Conv2D(6, 3, name="shared", padding="same")
    model = keras.Model(inputs, head(L.Concatenate()([layer(inputs), layer(conv(inputs, 4, name="held"))])))
    groups = {group.name: group for group in assert_exact(model)[0].groups}
    assert groups["held"].reasons == ("shared: is also called on an input of the model",)
    assert groups["shared"].num_free == 6


def test_statistics_of_a_shared_normalization_on_an_input_stay(assert_exact):
    inputs = keras.Input((8, 8, 4))
    norm = L.BatchNormalization(name="norm")
    model = keras.Model(inputs, head(L.Concatenate()([conv(norm(inputs), 3), norm(conv(inputs, 4, name="held"))])))
    groups = {group.name: group for group in assert_exact(model)[0].groups}
    assert groups["held"].reasons == ("norm: is also called on an input of the model",)


@pytest.mark.parametrize("shape", [(64, 8), (-1, 8)])
def test_a_shared_layer_beyond_the_rules_at_one_call_keeps_its_channels_at_the_other(shape, assert_exact):
    inputs = keras.Input((8, 8, 3))
    shared = L.Reshape(shape, name="shared")
    first, second = conv(inputs, 8, name="first"), L.Permute((3, 1, 2))(conv(inputs, 8, name="second"))
    model = keras.Model(inputs, head(L.Concatenate()([shared(first), shared(second)])))
    graph, _ = assert_exact(model, must_cut=False)
    assert graph.num_free == 0
    assert "shared: its calls have their channels on different axes" in graph.groups[0].reasons


def test_a_layer_on_axes_it_cannot_follow_still_makes_channels_of_its_own(build, assert_exact):
    graph, _ = assert_exact(build((8, 8, 3), lambda x: head(conv(L.Permute((3, 1, 2))(conv(x, 8, name="turned")), 6, name="own"))))
    assert {group.name: group.num_free for group in graph.groups} == {"turned": 0, "own": 6, "logits": 0}


def test_channels_first_is_followed(build):
    """TensorFlow does not compute it on every CPU, so the graph is looked at."""
    options = {"data_format": "channels_first"}

    def body(x):
        x = L.Conv2D(8, 3, name="first", **options)(x)
        x = L.MaxPooling2D(**options)(L.BatchNormalization(axis=1, name="norm")(x))
        return L.Dense(3, name="logits")(L.Flatten(name="flatten", **options)(L.Conv2D(6, 3, name="second", **options)(x)))

    model = build((3, 12, 12), body)
    smaller = cut(model, {"first": [0, 5], "second": [1]})
    assert smaller.get_layer("norm").gamma.shape == (6,)
    assert smaller.get_layer("second").kernel.shape == (3, 3, 6, 5)
    assert smaller.get_layer("logits").kernel.shape == (3 * 3 * 5, 3)
    positions = np.arange(9 * 6).reshape(9, 6)[:, [0, 2, 3, 4, 5]].reshape(-1)  # Keras flattens the channels last
    kept = model.get_layer("logits").kernel.numpy()[positions]
    np.testing.assert_array_equal(smaller.get_layer("logits").kernel.numpy(), kept)


def test_groups_keep_their_number_unless_each_reads_one_channel(build):
    model = build((8, 8, 3), lambda x: head(conv(conv(conv(x, 8, name="in"), 16, groups=4, name="four"), 4)))
    smaller = cut(model, {"in": [1], "four": [0, 3]})
    four = smaller.get_layer("four")
    assert (four.groups, four.filters, four.kernel.shape[2]) == (4, 8, 1)
    assert smaller.get_layer("in").filters == 4  # the second channel of each of 4 groups of 2
    model = build((8, 8, 3), lambda x: head(conv(conv(conv(x, 8, name="in"), 16, groups=8, name="eight"), 4)))
    eight = cut(model, {"in": [1, 7]}).get_layer("eight")
    assert (eight.groups, eight.filters) == (6, 12)
