"""Blocks that a model can do without, found and removed."""

import numpy as np
import pytest

from edgecompress.backend import keras, tf
from edgecompress.graph.blocks import find_blocks, without_block
from edgecompress.models.builders import build_model
from edgecompress.recipe.schema import BuilderModel

L = keras.layers


@pytest.fixture(scope="module")
def model():
    """conv, then a residual branch of two convolutions, then one beside a convolution, then a chain that keeps its shape."""
    keras.utils.set_random_seed(2)
    inputs = keras.Input((8, 8, 2))
    x = L.Conv2D(4, 3, padding="same", name="stem")(inputs)
    y = L.ReLU(name="relu1")(L.BatchNormalization(name="norm1")(L.Conv2D(6, 3, padding="same", name="inner")(x)))
    x = L.Add(name="add1")([x, L.Conv2D(4, 3, padding="same", name="outer")(y)])
    y = L.Conv2D(5, 3, padding="same", name="long2")(L.Conv2D(5, 3, padding="same", name="long1")(x))
    x = L.Add(name="add2")([L.Conv2D(5, 1, name="shortcut")(x), y])
    x = L.ReLU(name="relu2")(L.BatchNormalization(name="norm2")(L.Conv2D(5, 3, padding="same", name="keeps")(x)))
    return keras.Model(inputs, L.Dense(3, name="logits")(L.Flatten(name="flatten")(x)))


def named(model, name):
    return next(block for block in find_blocks(model) if block.name == name)


def test_blocks_are_branches_and_layers_that_keep_the_shape(model):
    assert {block.name: block.layers for block in find_blocks(model)} == {
        "add1": ("inner", "norm1", "relu1", "outer", "add1"),
        "long2": ("long2",),
        "add2": ("long1", "long2", "add2"),
        "keeps": ("keeps", "norm2", "relu2"),
    }


def run_by_hand(model, names, inputs):
    for name in names:
        inputs = model.get_layer(name)(inputs)
    return inputs


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("add1", ["stem"], ["shortcut"]),
        ("add2", [], []),
        ("keeps", [], ["flatten", "logits"]),
    ],
)
def test_the_tensor_that_a_block_takes_stands_in_for_what_it_gave(name, before, after, model):
    smaller = without_block(model, named(model, name))
    gone = set(named(model, name).layers)
    assert [layer.name for layer in smaller.layers if layer.name in gone] == []
    assert {layer.name for layer in model.layers} - gone == {layer.name for layer in smaller.layers}
    inputs = np.random.default_rng(0).normal(size=(2, 8, 8, 2)).astype(np.float32)

    def value(name_of_layer, values):
        """What the layer gives by hand, walked from the inputs."""
        return model.get_layer(name_of_layer)(values)

    stem = value("stem", inputs)
    first = stem if name == "add1" else stem + run_by_hand(model, ["inner", "norm1", "relu1", "outer"], stem)
    second = value("shortcut", first)
    second = second if name == "add2" else second + run_by_hand(model, ["long1", "long2"], first)
    third = second if name == "keeps" else run_by_hand(model, ["keeps", "norm2", "relu2"], second)
    np.testing.assert_allclose(smaller(inputs), run_by_hand(model, ["flatten", "logits"], third), rtol=1e-5, atol=1e-6)


def test_every_block_of_resnet8_can_go_in_turn():
    model = build_model(BuilderModel(source="builder", name="resnet8", width=4), (16, 16, 3), 5, seed=0)
    parameters = []
    while blocks := find_blocks(model):
        model = without_block(model, blocks[-1])
        parameters.append(model.count_params())
        assert model(np.ones((1, 16, 16, 3), np.float32)).shape == (1, 5)
    assert len(parameters) >= 3
    assert parameters == sorted(parameters, reverse=True)


def test_shared_layers_and_outputs_stay():
    inputs = keras.Input((4, 4, 2))
    shared = L.Conv2D(2, 3, padding="same", name="shared")
    middle = L.Conv2D(2, 3, padding="same", name="middle")(shared(shared(inputs)))
    model = keras.Model(inputs, [middle, L.ReLU(name="relu")(middle)])
    assert {block.name: block.layers for block in find_blocks(model)} == {"middle": ("middle",)}
    smaller = without_block(model, find_blocks(model)[0])
    assert [layer.name for layer in smaller.layers][1:] == ["shared", "relu"]


def test_the_layer_that_ends_a_model_is_no_block_with_or_without_an_activation_of_its_own():
    inputs = keras.Input((10,))
    hidden = L.Dense(10, activation="relu", name="hidden")(inputs)
    endings = [
        [L.Dense(10, activation="softmax", name="out")],
        [L.Dense(10, name="out"), L.Activation("softmax", name="softmax")],
        [L.Dense(10, name="out"), L.Softmax(name="softmax")],
        [L.Dense(10, activation="softmax", name="out"), L.Reshape((10,), name="reshape")],
        [L.Dense(10, name="out"), tf.nn.softmax],
        [lambda x: L.Add(name="add")([x, L.Dense(10, name="branch")(x)])],
    ]
    for ending in endings:
        x = hidden
        for layer in ending:
            x = layer(x)
        assert not {"out", "add"} & {name for block in find_blocks(keras.Model(inputs, x)) for name in block.layers}
        assert find_blocks(keras.Model(inputs, x))[0].layers == ("hidden",)


def test_additions_that_only_broadcast_or_double_have_no_branch():
    inputs = keras.Input((4, 4, 2))
    pooled = L.GlobalAveragePooling2D(keepdims=True)(inputs)
    x = L.Add(name="doubled")([inputs, inputs])
    x = L.Add(name="broadcast")([x, pooled])
    assert find_blocks(keras.Model(inputs, x)) == []
