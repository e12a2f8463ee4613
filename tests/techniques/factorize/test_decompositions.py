"""Kernels in factors: optimal where the maths gives an optimum, exact at full rank, never worse for a higher rank."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecompress.techniques.factorize import cp, spatial_svd, svd, tucker2
from edgecompress.techniques.factorize.activation_svd import activation_svd, output_error, output_singular_values
from edgecompress.techniques.factorize.arrays import balanced, energy_beyond, relative_error
from edgecompress.techniques.factorize.methods import METHODS

# Factors are computed in double precision: products of some hundred numbers agree to 1e-12.
ROUNDING = 1e-10

SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 6), st.integers(1, 6))


def random_kernel(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def ranks_of(method, shape):
    """Ranks from 1 to full, each number growing until it is full."""
    full = METHODS[method].full_rank(shape)
    return [METHODS[method].matched(shape, tuple(min(number, most) for most in full)) for number in range(1, max(full) + 1)]


def error_at(method, kernel, rank):
    factors = METHODS[method].factorize(kernel, rank, 0, 60.0)
    return relative_error(kernel, METHODS[method].reconstruct(factors))


@given(SHAPES, st.integers(0, 99), st.sampled_from(["svd", "spatial_svd", "tucker2"]))
@settings(max_examples=60)
def test_full_rank_gives_the_kernel_back(shape, seed, method):
    kernel = random_kernel(shape, seed)
    assert error_at(method, kernel, METHODS[method].full_rank(shape)) < ROUNDING


@given(SHAPES, st.integers(0, 99), st.sampled_from(["svd", "spatial_svd", "tucker2"]))
@settings(max_examples=40)
def test_error_never_rises_with_the_rank(shape, seed, method):
    kernel = random_kernel(shape, seed)
    errors = [error_at(method, kernel, rank) for rank in ranks_of(method, shape)]
    assert all(after <= before + ROUNDING for before, after in pairwise(errors))


@given(SHAPES, st.integers(0, 99), st.data())
def test_factors_have_the_shapes_that_are_counted_with(shape, seed, data):
    for method in METHODS.values():
        rank = data.draw(st.sampled_from([tuple(1 for _ in method.full_rank(shape)), method.full_rank(shape)]))
        if method is METHODS["cp"]:
            rank = (min(*rank, 3),)
        factors = method.factorize(random_kernel(shape, seed), rank, 0, 60.0)
        assert [factor.shape for factor in factors] == method.shapes(shape, rank)
        assert method.reconstruct(factors).shape == shape


@pytest.mark.parametrize("shape", [(20, 12), (12, 20), (3, 8, 10), (3, 3, 6, 10)])
def test_svd_is_the_eckart_young_optimum(shape):
    kernel = random_kernel(shape)
    values = np.linalg.svd(kernel.reshape(-1, shape[-1]), compute_uv=False)
    for rank in range(1, len(values) + 1):
        error = np.linalg.norm(kernel - svd.reconstruct(svd.svd(kernel, rank)))
        assert error == pytest.approx(np.sqrt((values[rank:] ** 2).sum()), abs=ROUNDING)


def test_spatial_svd_beats_every_other_pair_of_column_and_row():
    """Against a descent over both factors from ten random starts: none ends lower."""
    kernel = random_kernel((3, 3, 2, 4))
    least = np.linalg.norm(kernel - spatial_svd.reconstruct(spatial_svd.spatial_svd(kernel, 2)))
    matrix = kernel.transpose(0, 2, 1, 3).reshape(6, 12)
    for seed in range(10):
        row = random_kernel((2, 12), seed)
        for _ in range(200):
            column = matrix @ np.linalg.pinv(row)
            row = np.linalg.pinv(column) @ matrix
        assert np.linalg.norm(matrix - column @ row) >= least - ROUNDING


def test_one_column_and_one_row_by_hand():
    """The Sobel filter is a column [1, 2, 1] times a row [1, 0, -1]."""
    sobel = np.array([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]])[:, :, np.newaxis, np.newaxis]
    column, row = spatial_svd.spatial_svd(sobel, 1)
    np.testing.assert_allclose(column.ravel() / column.ravel()[0], [1, 2, 1])
    np.testing.assert_allclose(row.ravel() / row.ravel()[0], [1, 0, -1], atol=ROUNDING)


@pytest.mark.parametrize(("shape", "rank"), [((3, 3, 16, 24), (5, 7)), ((5, 5, 8, 8), (2, 6)), ((3, 1, 32, 16), (4, 4))])
def test_tucker_recovers_kernels_of_low_rank(shape, rank):
    inner, outer = random_kernel((shape[2], rank[0]), 1), random_kernel((shape[3], rank[1]), 2)
    kernel = np.einsum("hwab,ia,ob->hwio", random_kernel((*shape[:2], *rank), 3), inner, outer)
    assert error_at("tucker2", kernel, rank) < 1e-5


def test_tucker_is_between_its_bounds():
    """At least the worse of both truncations, at most the root of the sum of their squares."""
    kernel = random_kernel((3, 3, 8, 12))
    in_values, out_values = (energy_beyond(values) for values in tucker2.singular_values(kernel))
    for rank in [(2, 3), (4, 6), (7, 11)]:
        lost = error_at("tucker2", kernel, rank) ** 2
        parts = in_values[rank[0]], out_values[rank[1]]
        assert max(parts) - ROUNDING <= lost <= sum(parts) + ROUNDING


@pytest.mark.parametrize(("shape", "rank"), [((3, 3, 16, 16), 8), ((3, 3, 8, 24), 6)])
def test_cp_recovers_kernels_of_low_rank(shape, rank):
    """Not convex, so a case may fail: at least 9 of 10 do not."""
    errors = []
    for seed in range(10):
        generator = np.random.default_rng(seed)
        column, row, inner, outer = (generator.normal(size=(length, rank)) for length in shape)
        kernel = np.einsum("hr,wr,ir,or->hwio", column, row, inner, outer)
        errors.append(relative_error(kernel, cp.reconstruct(cp.cp(kernel, rank, seed=seed))))
    assert sum(error < 1e-5 for error in errors) >= 9


def test_cp_error_falls_from_rank_to_doubled_rank():
    kernel = random_kernel((3, 3, 8, 8))
    errors = [error_at("cp", kernel, (rank,)) for rank in (1, 2, 4, 8, 16)]
    assert errors == sorted(errors, reverse=True)


def test_cp_gives_the_same_factors_for_the_same_seed():
    kernel = random_kernel((3, 3, 6, 6))
    assert all((one == two).all() for one, two in zip(cp.cp(kernel, 4, seed=5), cp.cp(kernel, 4, seed=5), strict=True))


def test_cp_out_of_time_finds_nothing():
    with pytest.raises(cp.NotFound, match=r"did not end within time_limit_s 0$"):
        cp.cp(random_kernel((3, 3, 16, 16)), 8, time_limit_s=0.0)


def test_cp_of_a_kernel_of_zeros_finds_nothing():
    with pytest.raises(cp.NotFound, match="no finite factors of rank 2"):
        cp.cp(np.zeros((3, 3, 4, 4)), 2)


def inputs_of_low_rank(num_inputs, seed):
    """Inputs that lie near a few directions, as features of real data do; returns their second moment."""
    generator = np.random.default_rng(seed)
    samples = generator.normal(size=(200, 4)) @ generator.normal(size=(4, num_inputs)) + 0.1 * generator.normal(size=(200, num_inputs))
    return samples.T @ samples / len(samples)


@given(st.integers(2, 12), st.integers(2, 12), st.integers(0, 99))
@settings(max_examples=60)
def test_activation_aware_outputs_are_never_worse_than_those_of_plain_svd(num_inputs, num_outputs, seed):
    kernel, moment = random_kernel((num_inputs, num_outputs), seed), inputs_of_low_rank(num_inputs, seed)
    for rank in range(1, min(kernel.shape) + 1):
        aware = svd.reconstruct(activation_svd(kernel, kernel.T @ moment @ kernel, rank))
        plain = svd.reconstruct(svd.svd(kernel, rank))
        # The tie-break has a weight of 1e-9 in the squared error: its root where the error itself is 0.
        assert output_error(kernel, aware, moment) <= output_error(kernel, plain, moment) + 1e-4


def test_activation_aware_is_much_better_on_inputs_of_low_rank():
    kernel, moment = random_kernel((24, 16)), inputs_of_low_rank(24, 1)
    aware = svd.reconstruct(activation_svd(kernel, kernel.T @ moment @ kernel, 4))
    plain = svd.reconstruct(svd.svd(kernel, 4))
    assert output_error(kernel, aware, moment) < 0.2 * output_error(kernel, plain, moment)


def test_activation_aware_loss_is_what_its_spectrum_says():
    kernel, moment = random_kernel((10, 8)), inputs_of_low_rank(10, 2)
    output_moment = kernel.T @ moment @ kernel
    lost = energy_beyond(output_singular_values(kernel, output_moment))
    for rank in (1, 3, 6):
        aware = svd.reconstruct(activation_svd(kernel, output_moment, rank))
        assert output_error(kernel, aware, moment) == pytest.approx(np.sqrt(lost[rank]), abs=1e-6)  # the tie-break


def test_activation_aware_without_any_activity_is_plain_svd():
    kernel = random_kernel((6, 5))
    aware = svd.reconstruct(activation_svd(kernel, np.zeros((5, 5)), 2))
    np.testing.assert_allclose(aware, svd.reconstruct(svd.svd(kernel, 2)), atol=ROUNDING)


@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 5), st.integers(0, 99))
def test_balancing_keeps_the_product_and_evens_the_lengths(num_inputs, rank, num_outputs, seed):
    first, second = random_kernel((num_inputs, rank), seed) * 100, random_kernel((rank, num_outputs), seed + 1)
    one, two = balanced(first, second)
    np.testing.assert_allclose(one @ two, first @ second, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(one, axis=0), np.linalg.norm(two, axis=1))


def test_kernel_of_zeros_has_no_error():
    zeros = np.zeros((3, 3, 4, 4))
    assert [error_at(method, zeros, METHODS[method].full_rank(zeros.shape)) for method in ("svd", "spatial_svd", "tucker2")] == [0, 0, 0]
