"""Few probes find how far it must go."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecompress.solving.strength import CLOSE, MOST_PROBES, NARROW, least_strength


def found(miss, start=0.5):
    """(the strength, all that was asked for)."""
    search, asked = least_strength(start, miss(0.0)), []
    strength = next(search)
    while True:
        asked.append(strength)
        try:
            strength = search.send(miss(strength))
        except StopIteration as end:
            return end.value, asked


@given(st.floats(0.05, 3.0), st.floats(0.3, 3.0), st.floats(0.01, 1.0))
def test_strength_keeps_the_limit_and_little_less_would_not(ratio, power, start):
    def miss(strength):  # a file that shrinks to nothing, and must shrink by `ratio`
        return math.log(max(1e-9, (1 - strength) ** power)) + ratio

    strength, asked = found(miss, start)
    assert miss(strength) <= 0
    assert len(asked) <= MOST_PROBES
    weakest = min(tried for tried in asked if miss(tried) <= 0)
    assert strength == weakest


@pytest.mark.parametrize("start", [0.1, 0.5, 1.0])
def test_smooth_limit_is_met_closely(start):
    strength, _ = found(lambda s: 1.2 - 2 * s, start)
    assert 1.2 - 2 * strength > -CLOSE or strength - 0.6 < NARROW


def test_guess_that_is_right_takes_one_probe():
    assert found(lambda s: 1 - 2 * s, 0.51) == (0.51, [0.51])


def test_what_cannot_be_reached_ends_at_the_strongest():
    strength, asked = found(lambda s: 1 - 0.5 * s)
    assert strength is None
    assert asked[-1] == 1


def test_strength_that_changes_nothing_or_fails_goes_to_the_strongest_at_once():
    assert found(lambda s: 1.0) == (None, [0.5, 1.0])
    assert found(lambda s: 1.0 if s == 0 else math.inf)[1][-1] == 1.0


def test_failures_beyond_a_strength_are_stepped_around():
    strength, _ = found(lambda s: math.inf if s > 0.9 else 0.5 - s, 0.2)
    assert 0.5 <= strength <= 0.9
