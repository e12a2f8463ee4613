"""Domination, fronts and hypervolume."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecompress.search.front import Candidate, dominates, front_numbers, hypervolume

POINTS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=8)


def test_hand_worked_fronts():
    losses = [(1, 4), (2, 2), (4, 1), (3, 3), (5, 5), (2, 2)]
    assert front_numbers([Candidate(point, 0) for point in losses]) == [0, 0, 0, 1, 2, 0]


def test_what_keeps_the_limits_beats_what_does_not():
    good, bad, worse = Candidate((9, 9), 0), Candidate((1, 1), 0.1), Candidate((0, 0), 0.2)
    assert dominates(good, bad)
    assert dominates(bad, worse)
    assert front_numbers([worse, good, bad]) == [2, 0, 1]


@given(POINTS)
def test_no_point_of_the_first_front_is_dominated_and_every_other_one_is(points):
    candidates = [Candidate(point, 0) for point in points]
    for own, number in zip(candidates, front_numbers(candidates), strict=True):
        assert (number == 0) == (not any(dominates(other, own) for other in candidates))


@given(POINTS)
def test_hypervolume_is_the_number_of_unit_cubes_below_the_reference(points):
    covered = sum(
        any(all(corner >= value for corner, value in zip((x, y, z), point, strict=True)) for point in points)
        for x in range(4)
        for y in range(4)
        for z in range(4)
    )
    assert hypervolume(np.array(points, float), np.full(3, 4.0)) == pytest.approx(covered)


def test_hypervolume_of_one_objective_and_of_nothing():
    assert hypervolume(np.array([[3.0], [1.0], [7.0]]), np.array([5.0])) == 4
    assert hypervolume(np.zeros((0, 2)), np.ones(2)) == 0
    assert hypervolume(np.array([[2.0, 0.0]]), np.ones(2)) == 0
