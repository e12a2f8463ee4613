"""Units of pruning as pure functions, against hand-worked cases and loops over every unit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgecompress.techniques.weight_patterns import blocks, single_weights, two_of_four, zeroed_per_kernel

ARRAYS = hnp.arrays(np.float32, hnp.array_shapes(max_dims=4, max_side=4), elements=st.integers(-3, 3).map(float))
KERNELS = hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=4, max_side=9), elements=st.integers(-9, 9).map(float))
CHANNEL_AXES = st.sampled_from([-1, -2])


@given(ARRAYS, st.data())
def test_mask_has_exact_count_under_ties(kernel, data):
    num_zeros = data.draw(st.integers(0, kernel.size))
    assert int((~single_weights(kernel).mask(num_zeros)).sum()) == num_zeros


@given(ARRAYS, st.data())
def test_no_kept_weight_is_smaller_than_a_pruned_one(kernel, data):
    mask = single_weights(kernel).mask(data.draw(st.integers(1, kernel.size)))
    assert np.abs(kernel[~mask]).max() <= np.abs(kernel[mask]).min(initial=np.inf)


def test_of_equal_weights_the_earlier_go_first():
    assert single_weights(np.array([[1.0, -1.0], [1.0, 2.0]])).mask(2).tolist() == [[False, False], [True, True]]


def as_file(kernel, channel_axis):
    """[..., out, in]: output channels before input channels, as in a .tflite."""
    return kernel if channel_axis == -2 else np.swapaxes(kernel, -1, -2)


@given(KERNELS, CHANNEL_AXES)
def test_two_of_four_keeps_the_two_largest_of_each_four_input_channels(kernel, channel_axis):
    units = two_of_four(kernel, channel_axis)
    mask = units.mask(len(units.scores))
    assert mask.shape == kernel.shape
    rows = zip(*(as_file(array, channel_axis).reshape(-1, as_file(array, channel_axis).shape[-1]) for array in (kernel, mask)), strict=True)
    for weights, kept in rows:
        for start in range(0, len(weights), 4):
            group, stays = np.abs(weights[start : start + 4]), kept[start : start + 4]
            assert stays.sum() == min(2, len(group))
            assert group[stays].min() >= group[~stays].max(initial=0)


def test_two_of_four_by_hand():
    kernel = np.array([[4.0, 1.0, -3.0, 2.0, 9.0, -8.0, 7.0], [1.0, 1.0, 1.0, 1.0, 0.0, 5.0, 0.0]]).T  # [in 7, out 2]
    units = two_of_four(kernel, -1)
    assert sorted(units.scores.tolist()) == [0.0, 2.0, 3.0, 7.0]  # the last groups have three weights and lose one
    assert units.mask(4).T.astype(int).tolist() == [[1, 0, 1, 0, 1, 1, 0], [0, 0, 1, 1, 0, 1, 1]]
    assert units.mask(1).T.astype(int).tolist() == [[1] * 7, [1, 1, 1, 1, 0, 1, 1]]  # the group that loses least goes first


@pytest.mark.parametrize("num_in", [1, 2])
def test_one_or_two_input_channels_fit_the_pattern_as_they_are(num_in):
    units = two_of_four(np.ones((3, 3, num_in, 8)), -1)
    assert len(units.scores) == 0
    assert units.mask(0).all()


@given(KERNELS, CHANNEL_AXES, st.tuples(st.integers(1, 5), st.integers(1, 5)), st.sampled_from(["average", "max"]), st.data())
def test_blocks_go_as_a_whole_and_those_of_least_score_first(kernel, channel_axis, shape, pooling, data):
    units = blocks(kernel, shape, pooling, channel_axis)
    num_zeroed = data.draw(st.integers(0, len(units.scores)))
    weights = np.abs(as_file(kernel, channel_axis)).reshape(-1, *as_file(kernel, channel_axis).shape[-2:])
    mask = as_file(units.mask(num_zeroed), channel_axis).reshape(weights.shape)
    kept, zeroed = [], []
    for position in range(len(weights)):
        for row in range(0, weights.shape[1], shape[0]):
            for column in range(0, weights.shape[2], shape[1]):
                block = (position, slice(row, row + shape[0]), slice(column, column + shape[1]))
                assert mask[block].all() or not mask[block].any()
                score = weights[block].mean() if pooling == "average" else weights[block].max()
                (kept if mask[block].all() else zeroed).append(float(score))
    assert len(zeroed) == num_zeroed
    # A mean of float32 in another order of its terms differs by a rounding.
    assert max(zeroed, default=0) <= min(kept, default=np.inf) * (1 + 1e-6)


def test_blocks_of_one_weight_are_single_weights():
    kernel = np.random.default_rng(0).normal(size=(3, 3, 5, 7)).astype(np.float32)
    for num_zeroed in (0, 100, 315):
        np.testing.assert_array_equal(blocks(kernel, (1, 1), "max", -1).mask(num_zeroed), single_weights(kernel).mask(num_zeroed))


def test_layer_scope_takes_the_same_fraction_of_each_kernel():
    assert zeroed_per_kernel([np.ones(100), np.ones(7)], 0.5, "layer") == [50, 4]  # round half to even: 3.5 -> 4


@given(
    st.lists(hnp.arrays(np.float32, st.integers(2, 300), elements=st.floats(0, 1, width=32)), min_size=1, max_size=4), st.floats(0, 0.95)
)
def test_global_scope_removes_the_exact_total_and_never_a_whole_kernel(scores, fraction):
    counts = zeroed_per_kernel(scores, fraction, "global")
    total = sum(one.size for one in scores)
    most = sum(one.size - max(1, int(0.01 * one.size)) for one in scores)
    assert sum(counts) == min(round(fraction * total), most)
    assert all(count < one.size for count, one in zip(counts, scores, strict=True))


def test_global_scope_prefers_the_kernel_of_small_scores():
    small, large = np.linspace(0.001, 0.002, 200), np.linspace(1, 2, 200)
    assert zeroed_per_kernel([small, large], 0.25, "global") == [100, 0]
