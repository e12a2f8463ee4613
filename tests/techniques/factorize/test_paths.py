"""Ranks by rule: a path from rank 1 to full, and what each rule takes of it."""

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecompress.techniques.factorize.budget import Choice, meet, spend
from edgecompress.techniques.factorize.paths import Point, break_even, largest_within, least_rank_of_energy, path, path_without_spectra

SPECTRUM = st.lists(st.floats(0.001, 10), min_size=1, max_size=8).map(lambda values: np.sort(values)[::-1])


def matrix_cost(num_inputs, num_outputs):
    return lambda rank: rank[0] * (num_inputs + num_outputs)


def test_lost_energy_by_hand():
    """Squares 16, 9, 0: of 25."""
    assert path([np.array([4.0, 3.0, 0.0])]) == [Point((1,), 0.36), Point((2,), 0.0), Point((3,), 0.0)]


def test_two_spectra_by_hand():
    """Shares .8, .2 and .7, .2, .1: first goes .1 of the second, then .2 (the first of equals), then .2."""
    points = path([np.sqrt([8.0, 2.0]), np.sqrt([7.0, 2.0, 1.0])])
    assert [point.rank for point in points] == [(1, 1), (1, 2), (2, 2), (2, 3)]
    assert [point.lost for point in points] == pytest.approx([0.5, 0.3, 0.1, 0.0])


@given(st.lists(SPECTRUM, min_size=1, max_size=2))
def test_each_point_keeps_what_the_one_before_it_keeps(spectra):
    points = path(spectra)
    assert points[0].rank == (1,) * len(spectra)
    assert points[-1] == Point(tuple(len(values) for values in spectra), 0.0)
    for before, after in pairwise(points):
        assert all(one <= two for one, two in zip(before.rank, after.rank, strict=True))
        assert after.lost <= before.lost


@given(SPECTRUM, st.floats(0.01, 1))
def test_energy_takes_the_least_rank_that_keeps_it(spectrum, energy):
    squares = spectrum**2 / (spectrum**2).sum()
    (rank,) = least_rank_of_energy(path([spectrum]), energy).rank
    assert squares[:rank].sum() >= energy - 1e-9
    assert rank == 1 or squares[: rank - 1].sum() < energy + 1e-9


def test_all_energy_of_a_matrix_of_low_rank_needs_no_more_than_its_rank():
    assert least_rank_of_energy(path([np.array([2.0, 1.0, 0.0, 0.0])]), 1.0).rank == (2,)


def test_kernel_of_zeros_has_one_point():
    assert path([np.zeros(5)]) == [Point((1,), 0.0)]


def test_break_even_of_a_matrix_is_where_the_formula_says():
    """640 x 128: 640 * 128 / (640 + 128) = 106.67."""
    points = path_without_spectra(128)
    assert break_even(points, matrix_cost(640, 128), 640 * 128) == (107,)
    assert break_even(points, matrix_cost(4, 4), 16) == (2,)


def test_break_even_beyond_the_full_rank_is_one_more():
    assert break_even([Point((1,), 0.0)], matrix_cost(1, 1), 1000) == (2,)


def test_ratio_takes_the_largest_rank_within_it():
    points = path_without_spectra(20)
    assert largest_within(points, matrix_cost(30, 20), 300).rank == (6,)
    assert largest_within(points, matrix_cost(30, 20), 49) is None


def layer_choices():
    """A layer as it is, and at falling MACs with rising loss; some choices are no use."""
    options = st.lists(st.tuples(st.floats(0, 1), st.integers(1, 120)), max_size=5)
    return st.tuples(st.integers(50, 100), options).map(
        lambda drawn: [Choice(None, 0.0, drawn[0]), *(Choice((index,), lost, macs) for index, (lost, macs) in enumerate(drawn[1]))]
    )


@given(st.lists(layer_choices(), min_size=1, max_size=3), st.floats(0.2, 1))
@settings(max_examples=200)
def test_no_choice_of_the_macs_that_are_spent_loses_less(layers, fraction):
    choices = {str(index): options for index, options in enumerate(layers)}
    limit = int(fraction * sum(options[0].macs for options in layers))
    chosen = meet(choices, limit)
    everything = list(product(*layers))
    if chosen is None:
        assert min(sum(choice.macs for choice in one) for one in everything) > limit
        return
    macs, lost = (sum(getattr(choice, field) for choice in chosen.values()) for field in ("macs", "lost"))
    assert macs <= limit
    assert lost <= min(sum(choice.lost for choice in one) for one in everything if sum(choice.macs for choice in one) <= macs) + 1e-9


def test_limit_that_is_met_already_leaves_everything_as_it_is():
    assert meet({"a": [Choice(None, 0.0, 10), Choice((1,), 0.1, 5)]}, 10) == {"a": Choice(None, 0.0, 10)}


@given(st.lists(layer_choices(), min_size=1, max_size=3), st.floats(0, 1.5))
@settings(max_examples=200)
def test_no_choice_that_loses_as_little_as_is_spent_has_fewer_macs(layers, limit):
    chosen = spend({str(index): options for index, options in enumerate(layers)}, limit)
    macs, lost = (sum(getattr(choice, field) for choice in chosen.values()) for field in ("macs", "lost"))
    assert lost <= limit + 1e-9
    if len(layers) == 1:  # of several, one may stop where its next step is too large, and the budget be used by others
        hull = [choice for choice in layers[0] if choice.lost <= lost]
        assert macs == min(choice.macs for choice in hull)


def test_what_may_be_lost_goes_where_it_saves_most():
    """Steps by loss per MAC: a to rank 2 (.01 for 50), b to rank 1 (.02 for 40), a to rank 1 (.04 for 20)."""
    choices = {
        "a": [Choice(None, 0.0, 100), Choice((2,), 0.01, 50), Choice((1,), 0.05, 30)],
        "b": [Choice(None, 0.0, 60), Choice((1,), 0.02, 20)],
    }
    ranks = {limit: tuple(choice.rank for choice in spend(choices, limit).values()) for limit in (0.0, 0.015, 0.03, 0.069, 0.071)}
    assert ranks == {0.0: (None, None), 0.015: ((2,), None), 0.03: ((2,), (1,)), 0.069: ((2,), (1,)), 0.071: ((1,), (1,))}


def test_what_loses_nothing_is_taken_without_a_budget():
    assert spend({"a": [Choice(None, 0.0, 10), Choice((2,), 0.0, 5), Choice((1,), 0.3, 2)]}, 0.0)["a"].rank == (2,)
