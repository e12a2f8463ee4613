"""Keeps as pure functions on arrays, against NumPy oracles."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgecompress.keeps import Keep, centroids_of, mask_of, project

KERNELS = hnp.arrays(np.float32, st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 5)), elements=st.integers(-4, 4).map(float))


@given(KERNELS)
def test_a_kernel_holds_the_keeps_made_from_it(kernel):
    for keep in (mask_of("layer", "kernel", kernel), centroids_of("layer", "kernel", kernel)):
        assert keep.held(kernel)
        np.testing.assert_allclose(project(keep, kernel), kernel, rtol=1e-6)  # a mean of equal floats may round once


@given(KERNELS, st.integers(0, 2**32 - 1))
def test_projection_is_idempotent_and_keeps_the_promise(kernel, seed):
    other = np.random.default_rng(seed).normal(size=kernel.shape).astype(np.float32)
    for keep in (mask_of("layer", "kernel", kernel), centroids_of("layer", "kernel", kernel)):
        projected = project(keep, other)
        assert keep.held(projected)
        np.testing.assert_allclose(project(keep, projected), projected, rtol=1e-6)


def test_projection_on_centroids_is_the_mean_of_each_group():
    keep = Keep("centroids", "layer", "kernel", np.array([[0, 1], [0, 1], [0, 2]], np.int32))
    kernel = np.array([[1.0, 10.0], [2.0, 20.0], [6.0, 7.0]], np.float32)
    assert project(keep, kernel).tolist() == [[3.0, 15.0], [3.0, 15.0], [3.0, 7.0]]


def test_distinct_values_are_counted_per_output_channel():
    kernel = np.array([[1.0, 5.0], [1.0, 6.0], [2.0, 7.0]], np.float32)
    assert centroids_of("layer", "kernel", kernel).measure(kernel) == 3.0  # channels hold {1, 2} and {5, 6, 7}


def test_centroids_hold_when_each_channel_is_scaled_on_its_own():
    kernel = np.array([[1.0, 1.0], [2.0, 2.0], [1.0, 2.0]], np.float32)
    keep = centroids_of("layer", "kernel", kernel)
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
