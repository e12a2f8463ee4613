"""Criteria as pure functions: by hand, against oracles, and their properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgecompress.techniques.structured import criteria

FILTERS = hnp.arrays(np.float32, st.tuples(st.integers(1, 8), st.integers(1, 6)), elements=st.integers(-8, 8).map(float))


def test_magnitudes_by_hand():
    filters = np.array([[3.0, -4.0], [1.0, 1.0]])
    assert criteria.l1(filters).tolist() == [3.5, 1.0]
    assert criteria.l2(filters).tolist() == pytest.approx([12.5**0.5, 1.0])


@given(FILTERS)
def test_geometric_median_is_the_sum_of_distances(filters):
    expected = [sum(np.linalg.norm(one - other) for other in filters) for one in filters.astype(np.float64)]
    np.testing.assert_allclose(criteria.geometric_median(filters), expected, rtol=1e-5, atol=1e-5)  # squares cancel near zero


def test_the_filter_in_the_middle_goes_first():
    filters = np.array([[0.0, 0.0], [10.0, 0.0], [-10.0, 0.0], [0.0, 10.0]])
    assert criteria.geometric_median(filters).argmin() == 0


@given(hnp.arrays(np.float64, st.integers(1, 12), elements=st.integers(0, 6).map(float)))
def test_lamp_is_the_share_among_all_not_smaller(energies):
    order = sorted(range(energies.size), key=lambda index: (energies[index], index))
    scores = criteria.lamp(energies)
    for position, index in enumerate(order):
        left = sum(energies[other] for other in order[position:])
        assert scores[index] == pytest.approx(energies[index] / left if left else 0.0)


def test_the_largest_of_each_layer_has_lamp_score_one():
    assert criteria.lamp(np.array([4.0, 1.0, 3.0])).tolist() == pytest.approx([1.0, 1 / 8, 3 / 7])


def test_taylor_takes_the_magnitude_per_batch():
    assert criteria.taylor(np.array([[1.0, 2.0], [-1.0, 4.0]])).tolist() == [1.0, 3.0]


def test_normalized_scores_have_norm_one_and_zeros_stay():
    assert criteria.normalized(np.array([3.0, 4.0])).tolist() == [0.6, 0.8]
    assert criteria.normalized(np.zeros(2)).tolist() == [0.0, 0.0]


def test_fisher_is_half_the_mean():
    assert criteria.fisher(np.array([[1.0, 2.0], [3.0, 0.0]])).tolist() == [1.0, 0.5]


def test_channels_that_are_often_zero_are_worth_little():
    assert criteria.apoz(np.array([0.9, 0.0])).tolist() == pytest.approx([0.1, 1.0])


def test_scales_count_by_magnitude():
    assert criteria.batch_norm_scale(np.array([-2.0, 0.5], np.float32)).tolist() == [2.0, 0.5]


@given(FILTERS, st.floats(0.1, 10))
def test_relative_scores_do_not_know_the_scale_of_a_layer(filters, factor):
    scaled = criteria.relative(criteria.l1(filters * np.float32(factor)))
    np.testing.assert_allclose(scaled, criteria.relative(criteria.l1(filters)), rtol=1e-5)  # float32 products round
