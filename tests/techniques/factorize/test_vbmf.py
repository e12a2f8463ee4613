"""The rank that is signal: right where the truth is known, and where the free energy is least."""

import numpy as np
import pytest
from scipy.optimize import minimize

from edgecompress.techniques.factorize.vbmf import _free_energy, _noise_variance, _threshold, evbmf_rank


def noisy(small, large, rank, noise, seed):
    generator = np.random.default_rng(seed)
    signal = generator.normal(size=(small, rank)) @ generator.normal(size=(rank, large)) / np.sqrt(max(rank, 1))
    return signal + noise * generator.normal(size=(small, large))


@pytest.mark.parametrize(
    ("small", "large", "rank", "noise"), [(64, 576, 10, 0.1), (128, 640, 5, 0.3), (100, 100, 20, 0.2), (64, 64, 0, 1.0)]
)
def test_rank_of_a_signal_in_noise_is_found(small, large, rank, noise):
    for seed in range(3):
        values = np.linalg.svd(noisy(small, large, rank, noise, seed), compute_uv=False)
        assert evbmf_rank(values, (small, large)) == rank
        assert evbmf_rank(values * 1000, (large, small)) == rank  # neither scale nor orientation matters


def test_noise_variance_is_near_the_true_one():
    values = np.linalg.svd(noisy(64, 576, 6, 0.2, 0), compute_uv=False)
    assert _noise_variance(values**2, 64, 576, _threshold(64 / 576)) == pytest.approx(0.04, rel=0.05)  # of 36,864 samples


def test_threshold_is_near_the_published_approximation():
    """Nakajima et al. (2012): tau is about 2.5129 sqrt(aspect)."""
    for aspect in (0.1, 0.3, 1.0):
        tau = 2.5129 * np.sqrt(aspect)
        assert _threshold(aspect) == pytest.approx((1 + tau) * (1 + aspect / tau), rel=0.02)


def evb_objective(logarithms, squared_value, small, large):
    """Twice the free energy of one component, with unit noise and the prior variances already at their best.

    `logarithms` of: norms of the posterior means of both factors, and variances of both posteriors.
    """
    mean_a, mean_b, variance_a, variance_b = np.exp(logarithms)
    second_a, second_b = mean_a**2 + large * variance_a, mean_b**2 + small * variance_b
    prior = large * np.log(second_a / (large * variance_a)) + small * np.log(second_b / (small * variance_b))
    return prior - 2 * np.sqrt(squared_value) * mean_a * mean_b + second_a * second_b


@pytest.mark.parametrize("x", [5.0, 8.0, 30.0])
def test_free_energy_of_a_kept_component_is_what_a_descent_over_the_posterior_finds(x):
    small, large = 20, 40
    starts = np.log([[3, 3, 0.1, 0.1], [10, 10, 0.05, 0.05], [5, 5, 0.01, 0.3]])
    options = {"maxiter": 20_000, "maxfev": 20_000, "xatol": 1e-10, "fatol": 1e-12}
    found = min(minimize(evb_objective, start, (x * large, small, large), "Nelder-Mead", options=options).fun for start in starts)
    in_closed_form = _free_energy(np.array([x]), small / large, _threshold(small / large)) + np.log(x)  # log x: left out there
    assert in_closed_form == pytest.approx(found / large + x, abs=1e-6)


def test_component_at_the_threshold_is_worth_nothing():
    threshold = _threshold(0.5)
    at = _free_energy(np.array([threshold * (1 + 1e-9)]), 0.5, threshold)
    assert at == pytest.approx(threshold - np.log(threshold), abs=1e-6)


def test_noise_variance_is_where_a_dense_grid_has_the_least_energy():
    squares = np.linalg.svd(noisy(16, 40, 3, 0.3, 1), compute_uv=False) ** 2
    threshold = _threshold(16 / 40)

    def energy(variance):
        return _free_energy(squares / (40 * variance), 16 / 40, threshold)

    grid = np.geomspace(squares.min() / 40 / threshold, squares.sum() / 640, 20_000)
    least = min(map(energy, grid))
    assert energy(_noise_variance(squares, 16, 40, threshold)) <= least + 1e-6


def test_matrix_of_zeros_has_rank_zero():
    assert evbmf_rank(np.zeros(4), (4, 9)) == 0
