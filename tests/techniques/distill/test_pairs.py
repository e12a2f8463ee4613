"""Which layers pair, and what is done where they differ in size or channels."""

import numpy as np
import pytest

from edgecompress.backend import keras
from edgecompress.errors import ModelError, RecipeError
from edgecompress.models import build_model
from edgecompress.recipe.schema import BuilderModel
from edgecompress.techniques.distill.adaptors import make_adaptor, same_positions
from edgecompress.techniques.distill.pairs import Pair, find_pairs


def builder(name, width=8, shape=(28, 28, 1)):
    return build_model(BuilderModel(source="builder", name=name, width=width), shape, 10, seed=0)


@pytest.mark.parametrize(
    ("teacher", "student", "kind", "expected"),
    [
        ("cnn", "cnn", "map", [("conv2_relu", "conv2_relu"), ("conv4_relu", "conv4_relu")]),
        ("cnn", "cnn", "layer", [("conv2_relu", "conv2_relu"), ("conv4_relu", "conv4_relu"), ("dense1", "dense1")]),
        ("cnn", "ds_cnn", "map", [("conv4_relu", "block4_pointwise_relu")]),
        ("resnet8", "cnn", "map", [("block1_relu", "conv2_relu"), ("block2_relu", "conv4_relu")]),
        ("mlp", "mlp", "layer", [("dense1", "dense1"), ("dense2", "dense2")]),
        ("cnn", "mlp", "layer", [("dense1", "dense2")]),
        ("cnn", "ds_cnn", "embedding", [("dense1", "pool")]),
    ],
)
def test_found_pairs_have_equal_sizes_or_like_depth(teacher, student, kind, expected):
    assert find_pairs([], builder(teacher), builder(student), kind) == [Pair(*names) for names in expected]


def test_maps_without_a_common_size_pair_by_depth():
    pairs = find_pairs([], builder("cnn"), builder("cnn", shape=(20, 20, 1)), "map")
    assert pairs == [Pair("conv2_relu", "conv2_relu"), Pair("conv4_relu", "conv4_relu")]


def test_globs_pair_in_the_order_of_the_graphs():
    pairs = find_pairs([["conv[24]_relu", "block[13]_pointwise_relu"]], builder("cnn"), builder("ds_cnn"), "map")
    assert pairs == [Pair("conv2_relu", "block1_pointwise_relu"), Pair("conv4_relu", "block3_pointwise_relu")]


def test_globs_that_match_unequally_are_named_with_both_numbers():
    with pytest.raises(RecipeError, match=r"Received: 'conv\*_relu' matches 4, 'pool' matches 1"):
        find_pairs([["conv*_relu", "pool"]], builder("cnn"), builder("ds_cnn"), "map")


def test_unknown_layer_gets_near_names():
    with pytest.raises(RecipeError, match=r"pairs must match at least one layer. Received: 'conv2_rel'. Did you mean 'conv2_relu'"):
        find_pairs([["conv2_rel", "pool"]], builder("cnn"), builder("ds_cnn"), "map")


def test_nothing_to_pair_is_an_error():
    with pytest.raises(ModelError, match="pairs must be named where both models do not have maps before their last layer"):
        find_pairs([], builder("mlp"), builder("mlp"), "map")
    linear = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2)])
    with pytest.raises(ModelError, match="has no layer before it"):
        find_pairs([], linear, linear, "embedding")


def test_adaptor_is_made_only_where_channels_differ():
    assert make_adaptor("a", (None, 4, 4, 8), (None, 7, 7, 8), 0) is None
    adaptor = make_adaptor("a", (None, 4, 4, 8), (None, 7, 7, 6), 0)
    assert adaptor(np.ones((2, 4, 4, 8), np.float32)).shape == (2, 4, 4, 6)
    again = make_adaptor("a", (None, 4, 4, 8), (None, 7, 7, 6), 0)
    np.testing.assert_array_equal(adaptor.get_weights()[0], again.get_weights()[0])


@pytest.mark.parametrize(("one", "other", "size"), [((8, 6), (4, 3), (4, 3)), ((8, 3), (4, 6), (4, 3)), ((9,), (3,), (3,)), ((), (), ())])
def test_maps_meet_at_the_smaller_size(one, other, size):
    first, second = same_positions(*(np.ones((2, *shape, 5), np.float32) for shape in (one, other)))
    assert tuple(first.shape) == tuple(second.shape) == (2, *size, 5)
    np.testing.assert_allclose(first, 1, atol=1e-6)


def test_shrunk_map_is_an_average():
    checkers = np.indices((8, 8)).sum(0)[None, ..., None] % 2
    shrunk, _ = same_positions(checkers.astype(np.float32), np.zeros((1, 2, 2, 1), np.float32))
    np.testing.assert_allclose(shrunk, 0.5, atol=0.02)  # the filter's weights at the edge are not symmetric
