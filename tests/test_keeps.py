"""Keeps: as pure functions on arrays against NumPy oracles, and bound to the variables of a model."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgecompress.backend import keras
from edgecompress.keeps import Keep, centroids_of, enforced, find_variable, mask_of, project, sliced
from edgecompress.recipe.stages import PruneWeights, TrainStage
from edgecompress.techniques import prune_weights, train

KERNELS = hnp.arrays(np.float32, st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 5)), elements=st.integers(-4, 4).map(float))


def keeps_of(kernel):
    return [mask_of("layer", "kernel", kernel), *(centroids_of("layer", "kernel", kernel, axis) for axis in range(kernel.ndim))]


@given(KERNELS)
def test_a_kernel_holds_the_keeps_made_from_it(kernel):
    for keep in keeps_of(kernel):
        assert keep.held(kernel)
        np.testing.assert_allclose(project(keep, kernel), kernel, rtol=1e-6)  # a mean of equal floats may round once


@given(KERNELS, st.integers(0, 2**32 - 1))
def test_projection_is_idempotent_and_keeps_the_promise(kernel, seed):
    other = np.random.default_rng(seed).normal(size=kernel.shape).astype(np.float32)
    for keep in keeps_of(kernel):
        projected = project(keep, other)
        assert keep.held(projected)
        np.testing.assert_allclose(project(keep, projected), projected, rtol=1e-6)


def test_projection_on_centroids_is_the_mean_of_each_group():
    keep = Keep("centroids", "layer", "kernel", np.array([[0, 1], [0, 1], [0, 2]], np.int32))
    kernel = np.array([[1.0, 10.0], [2.0, 20.0], [6.0, 7.0]], np.float32)
    assert project(keep, kernel).tolist() == [[3.0, 15.0], [3.0, 15.0], [3.0, 7.0]]


def test_distinct_values_are_counted_per_output_channel():
    kernel = np.array([[1.0, 5.0], [1.0, 6.0], [2.0, 7.0]], np.float32)
    assert centroids_of("layer", "kernel", kernel, -1).measure(kernel) == 3.0  # channels hold {1, 2} and {5, 6, 7}


@given(KERNELS, st.integers(-3, 2))
def test_distinct_values_are_counted_along_any_axis(kernel, axis):
    slices = [np.take(kernel, index, axis) for index in range(kernel.shape[axis])]
    assert centroids_of("layer", "kernel", kernel, axis).measure(kernel) == max(len(np.unique(part)) for part in slices)


def test_the_channels_of_a_transposed_convolution_are_its_last_axis_but_one():
    kernel = np.random.default_rng(0).integers(1, 4, (3, 3, 5, 2)).astype(np.float32)  # [height, width, out, in]
    scaled = kernel * np.linspace(0.5, 2.5, 5, dtype=np.float32)[:, None]  # as int8 scales do, one per output channel
    right, wrong = (centroids_of("up", "kernel", kernel, axis) for axis in (-2, -1))
    assert right.held(scaled)
    assert right.measure(scaled) == 3.0
    assert not wrong.held(scaled)


def test_centroids_hold_when_each_channel_is_scaled_on_its_own():
    kernel = np.array([[1.0, 1.0], [2.0, 2.0], [1.0, 2.0]], np.float32)
    keep = centroids_of("layer", "kernel", kernel, -1)
    assert keep.held(kernel * np.array([3.0, 0.5], np.float32))  # what folding a BatchNormalization does
    assert not keep.held(kernel + np.arange(6, dtype=np.float32).reshape(3, 2))


def test_a_mask_is_broken_by_one_weight():
    kernel = np.array([[0.0, 1.0], [2.0, 0.0]], np.float32)
    keep = mask_of("layer", "kernel", kernel)
    assert keep.measure(kernel) == 0.5
    kernel[0, 0] = 1e-9
    assert not keep.held(kernel)


@pytest.mark.parametrize("values", [np.array([True, False, False, True]), np.array([0, 1, 1, 3], np.int32)])
def test_keeps_say_what_they_promise(values):
    kind = "mask" if values.dtype == bool else "centroids"
    words = Keep(kind, "layer", "kernel", values).describe()
    assert words == ("sparsity 0.5000" if kind == "mask" else "4 distinct values")


def test_a_keep_is_itself_only():
    one, other = (mask_of("layer", "kernel", np.ones((2, 2))) for _ in range(2))
    assert one in [other, one]
    assert one != other
    assert len({one, other, one}) == 2


def test_a_constraint_of_the_model_holds_beside_the_keeps(make_context):
    layers = [keras.layers.Flatten(), keras.layers.Dense(16, "relu", name="hidden", kernel_constraint="non_neg")]
    model = keras.Sequential([keras.Input((8, 8, 1)), *layers, keras.layers.Dense(10, name="logits")])
    hidden = model.get_layer("hidden")
    hidden.kernel.assign(np.abs(hidden.kernel.numpy()))
    pruned = prune_weights.apply(model, PruneWeights(sparsity=0.5), make_context())
    trained = train.apply(pruned.model, TrainStage(epochs=1, learning_rate=0.01), make_context(keeps=pruned.keeps)).model
    assert find_variable(trained, "hidden", "kernel").numpy().min() >= 0
    assert find_variable(trained, "logits", "kernel").numpy().min() < 0
    assert all(keep.held(find_variable(trained, keep.layer, keep.weight).numpy()) for keep in pruned.keeps)


def test_the_constraint_of_the_model_is_applied_first_and_is_back_in_the_end():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False, kernel_constraint="non_neg", name="dense")])
    variable = find_variable(model, "dense", "kernel")
    variable.assign([[2.0], [4.0], [6.0]])
    own = variable.constraint
    with enforced(model, [Keep("centroids", "dense", "kernel", np.zeros((3, 1), np.int32))]):
        assert variable.numpy().tolist() == [[4.0]] * 3
        updated = variable.constraint(keras.backend.constant([[-3.0], [1.0], [2.0]]))
        assert updated.numpy().tolist() == [[1.0]] * 3  # the mean of 0, 1, 2: were it taken first, all would be 0
    assert variable.constraint is own


def test_variables_are_found_by_the_name_of_their_own_layer():
    inputs = keras.Input((4, 3))
    x = keras.layers.TimeDistributed(keras.layers.Dense(2, name="dense"), name="steps")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(5, name="dense")(x))
    assert tuple(find_variable(model, "dense", "kernel").shape) == (2, 5)
    assert tuple(find_variable(model, "steps", "kernel").shape) == (3, 2)
    assert find_variable(model, "dense", "embeddings") is None
    assert find_variable(model, "no_such", "kernel") is None


def test_keeps_are_cut_with_their_kernel():
    from edgecompress.graph.channels import channel_graph, cut, plan_cut

    layers = [keras.layers.Conv2D(4, 3, name="conv"), keras.layers.Flatten(), keras.layers.Dense(3, name="logits")]
    model = keras.Sequential([keras.Input((4, 4, 2)), *layers])
    rng = np.random.default_rng(0)
    for name in ("conv", "logits"):
        find_variable(model, name, "kernel").assign(rng.integers(-2, 3, find_variable(model, name, "kernel").shape))
    kernels = {name: find_variable(model, name, "kernel").numpy() for name in ("conv", "logits")}
    keeps = [
        keep for name, kernel in kernels.items() for keep in (mask_of(name, "kernel", kernel), centroids_of(name, "kernel", kernel, -1))
    ]
    removed = {"conv": [1, 2]}
    smaller, planned = cut(model, removed), plan_cut(channel_graph(model), removed)
    for keep in keeps:
        left, kernel = sliced(keep, planned), find_variable(smaller, keep.layer, "kernel").numpy()
        assert left.values.shape == kernel.shape
        assert left.held(kernel)
        if keep.kind == "centroids":
            assert left.describe() == f"{len(np.unique(kernel))} distinct values"
