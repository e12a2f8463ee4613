"""Paired statistics against SciPy, published and hand-worked cases, and exhaustive counting."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, norm

from edgecompress.evaluation.paired_tests import (
    NORMAL_QUANTILE,
    NUM_RESAMPLES,
    bootstrap_interval,
    mcnemar_p_value,
    sign_flip_p_value,
    tango_interval,
)

COUNTS = st.integers(0, 400)


def test_quantile_is_that_of_the_normal_distribution():
    assert norm.ppf(0.975) == pytest.approx(NORMAL_QUANTILE, abs=1e-15)


def test_mcnemar_by_hand():
    # 1 lost, 5 won: 2 * (C(6, 0) + C(6, 1)) / 2^6 = 14 / 64.
    assert mcnemar_p_value(1, 5) == pytest.approx(14 / 64, abs=1e-15)
    assert mcnemar_p_value(0, 0) == 1.0
    assert mcnemar_p_value(3, 3) == 1.0
    assert mcnemar_p_value(0, 1) == 1.0


@given(COUNTS, COUNTS)
def test_mcnemar_is_the_exact_binomial_test(num_lost, num_won):
    if num_lost + num_won:
        expected = binomtest(num_lost, num_lost + num_won, 0.5).pvalue
        assert mcnemar_p_value(num_lost, num_won) == pytest.approx(expected, rel=1e-9)
    assert mcnemar_p_value(num_lost, num_won) == mcnemar_p_value(num_won, num_lost)


def test_mcnemar_of_many_samples_does_not_overflow():
    assert mcnemar_p_value(50_000, 50_600) == pytest.approx(binomtest(50_000, 100_600, 0.5).pvalue, rel=1e-6)


def test_tango_interval_as_published():
    # Airway data of Bentur et al. 2009 in Fagerland, Lydersen, Laake 2014, "Recommended tests and confidence intervals for
    # paired binomial proportions": 21 children, 1 and 7 discordant, score interval -0.517 to -0.026.
    assert tango_interval(1, 7, 21) == pytest.approx((-0.517, -0.026), abs=5e-4)


@given(COUNTS, COUNTS, st.integers(1, 400))
def test_tango_ends_are_where_the_score_statistic_reaches_its_quantile(num_lost, num_won, num_equal):
    num_samples = num_lost + num_won + num_equal
    for end in tango_interval(num_lost, num_won, num_samples):
        # The likelihood under a difference d, maximised by brute force over the fraction of wins q.
        won = np.linspace(max(0.0, -end), (1 - end) / 2, 200_001)[1:-1]
        likelihood = num_lost * np.log(won + end) + num_won * np.log(won) + num_equal * np.log(1 - 2 * won - end)
        best = won[np.argmax(likelihood)]
        statistic = (num_lost - num_won - num_samples * end) / math.sqrt(num_samples * (2 * best + end * (1 - end)))
        if num_lost and num_won:  # else the likelihood is largest at an end of the grid, beside the true one
            assert abs(statistic) == pytest.approx(NORMAL_QUANTILE, rel=1e-3)


@given(COUNTS, COUNTS, st.integers(0, 400))
def test_tango_interval_holds_the_estimate_and_mirrors(num_lost, num_won, num_equal):
    num_samples = max(1, num_lost + num_won + num_equal)
    low, high = tango_interval(num_lost, num_won, num_samples)
    assert -1 <= low <= (num_lost - num_won) / num_samples <= high <= 1
    assert tango_interval(num_won, num_lost, num_samples) == (-high, -low)


def test_tango_interval_without_any_difference_is_not_empty():
    z2 = NORMAL_QUANTILE**2  # n d^2 / (d (1 - d)) = z^2 solved by hand
    assert tango_interval(0, 0, 100) == pytest.approx((-z2 / (100 + z2), z2 / (100 + z2)), rel=1e-9)


def test_bootstrap_interval_is_that_of_the_normal_mean():
    differences = np.random.default_rng(0).normal(0.3, 2.0, size=3000)
    low, high = bootstrap_interval(differences, seed=1)
    half = NORMAL_QUANTILE * differences.std() / math.sqrt(3000)
    # 2,000 resamples know a 2.5 % quantile to about 0.06 standard errors; four of those.
    assert (low, high) == pytest.approx((differences.mean() - half, differences.mean() + half), abs=0.25 * half / NORMAL_QUANTILE)


def test_resampling_repeats_for_a_seed_and_in_chunks(monkeypatch):
    differences = np.random.default_rng(0).normal(size=500)
    whole = bootstrap_interval(differences, seed=3), sign_flip_p_value(differences, seed=3)
    assert whole == (bootstrap_interval(differences, seed=3), sign_flip_p_value(differences, seed=3))
    assert bootstrap_interval(differences, seed=4) != whole[0]
    monkeypatch.setattr("edgecompress.evaluation.paired_tests.CHUNK_VALUES", 7 * 500)  # 2,000 is no multiple of 7
    assert bootstrap_interval(differences, seed=3) == pytest.approx(whole[0], abs=1e-12)


def test_sign_flips_approach_the_exact_permutation_test():
    differences = np.random.default_rng(5).normal(0.5, size=10)
    sums = [abs(np.dot(signs, differences)) for signs in itertools.product((-1, 1), repeat=10)]
    exact = np.mean(np.array(sums) >= abs(differences.sum()) - 1e-12)
    # Standard error of a fraction p from 2,000 draws; four of them.
    assert sign_flip_p_value(differences, seed=0) == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / NUM_RESAMPLES))


def test_sign_flip_p_value_is_one_without_differences_and_never_zero():
    assert sign_flip_p_value(np.zeros(50), seed=0) == 1.0
    assert sign_flip_p_value(np.ones(50), seed=0) == pytest.approx(1 / (1 + NUM_RESAMPLES))
