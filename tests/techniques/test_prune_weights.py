"""Masks as pure functions, and what pruning leaves in a model."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgecompress.errors import ModelError, RecipeError
from edgecompress.keeps import find_variable
from edgecompress.recipe.stages import PruneWeights, Train
from edgecompress.techniques import prune_weights
from edgecompress.techniques.prune_weights import magnitude_mask, zeros_per_kernel

ARRAYS = hnp.arrays(np.float32, hnp.array_shapes(max_dims=4, max_side=4), elements=st.integers(-3, 3).map(float))


@given(ARRAYS, st.data())
def test_mask_has_exact_count_under_ties(kernel, data):
    num_zeros = data.draw(st.integers(0, kernel.size))
    assert int((~magnitude_mask(kernel, num_zeros)).sum()) == num_zeros


@given(ARRAYS, st.data())
def test_no_kept_weight_is_smaller_than_a_pruned_one(kernel, data):
    mask = magnitude_mask(kernel, data.draw(st.integers(1, kernel.size)))
    assert np.abs(kernel[~mask]).max() <= np.abs(kernel[mask]).min(initial=np.inf)


def test_of_equal_weights_the_earlier_go_first():
    assert magnitude_mask(np.array([[1.0, -1.0], [1.0, 2.0]]), 2).tolist() == [[False, False], [True, True]]


def test_layer_scope_takes_the_same_fraction_of_each_kernel():
    kernels = [np.ones((10, 10)), np.ones(7)]
    assert zeros_per_kernel(kernels, 0.5, "layer") == [50, 4]  # round half to even: 3.5 -> 4


@given(
    st.lists(hnp.arrays(np.float32, st.integers(2, 300), elements=st.floats(-1, 1, width=32)), min_size=1, max_size=4), st.floats(0, 0.95)
)
def test_global_scope_removes_the_exact_total_and_never_a_whole_kernel(kernels, sparsity):
    counts = zeros_per_kernel(kernels, sparsity, "global")
    total = sum(kernel.size for kernel in kernels)
    most = sum(kernel.size - max(1, int(0.01 * kernel.size)) for kernel in kernels)
    assert sum(counts) == min(round(sparsity * total), most)
    assert all(count < kernel.size for count, kernel in zip(counts, kernels, strict=True))


def test_global_scope_prefers_the_kernel_of_small_weights():
    small, large = np.linspace(0.001, 0.002, 200), np.linspace(1, 2, 200)
    assert zeros_per_kernel([small, large], 0.25, "global") == [100, 0]


def sparsities(model, result):
    return {keep.layer: float((find_variable(model, keep.layer, keep.weight).numpy() == 0).mean()) for keep in result.keeps}


@pytest.mark.parametrize("train", [None, Train(epochs=2)])
def test_requested_sparsity_is_exact_after_the_wrappers_are_gone(small_model, make_context, train):
    result = prune_weights.apply(small_model, PruneWeights(sparsity=0.6, train=train), make_context())
    assert [type(layer).__name__ for layer in result.model.layers] == [type(layer).__name__ for layer in small_model.layers]
    for keep in result.keeps:
        kernel = find_variable(result.model, keep.layer, keep.weight).numpy()
        assert int((kernel == 0).sum()) == round(0.6 * kernel.size)
    assert {keep.layer for keep in result.keeps} == {"conv1", "conv2", "logits"}


def test_pruning_learns_while_it_prunes(small_model, make_context):
    result = prune_weights.apply(small_model, PruneWeights(sparsity=0.5, train=Train(epochs=3)), make_context())
    assert [row["epoch"] for row in result.training] == [1, 2, 3]
    assert result.training[-1]["loss"] < 0.7 * result.training[0]["loss"]


def test_second_pruning_keeps_the_zeros_of_the_first(small_model, make_context):
    first = prune_weights.apply(small_model, PruneWeights(sparsity=0.3), make_context())
    second = prune_weights.apply(first.model, PruneWeights(sparsity=0.5, train=Train(epochs=1)), make_context(keeps=first.keeps))
    for keep in first.keeps:
        assert keep.held(find_variable(second.model, keep.layer, keep.weight).numpy())
    assert sparsities(second.model, second) == pytest.approx({"conv1": 0.5, "conv2": 0.5, "logits": 0.5}, abs=0.01)


def test_constant_schedule_reaches_the_sparsity_too(small_model, make_context):
    config = PruneWeights(sparsity=0.5, schedule="constant", train=Train(epochs=1))
    result = prune_weights.apply(small_model, config, make_context())
    assert set(sparsities(result.model, result).values()) == {0.5}


def test_layers_left_alone_are_named_with_the_reason(small_model, make_context):
    result = prune_weights.apply(small_model, PruneWeights(sparsity=0.5, layers=["type:Conv2D"], skip=["conv2"]), make_context())
    reasons = {record.name: record.reason for record in result.layers if record.action == "skipped"}
    assert reasons["conv2"] == "named in `skip`"
    assert reasons["logits"] == "not named in `layers`"
    assert [keep.layer for keep in result.keeps] == ["conv1"]


def test_pattern_without_match_lists_near_names(small_model, make_context):
    with pytest.raises(RecipeError, match=r"'convv1'.*Did you mean 'conv1'"):
        prune_weights.apply(small_model, PruneWeights(sparsity=0.5, layers=["convv1"]), make_context())


def test_nothing_to_prune_is_an_error(small_model, make_context):
    with pytest.raises(ModelError, match="no layer is left to work on"):
        prune_weights.apply(small_model, PruneWeights(sparsity=0.5, layers=["type:BatchNormalization"]), make_context())
