"""Which channels go: counts, rounding, floors and order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecompress.techniques.structured.budget import choose
from edgecompress.techniques.structured.ranking import Contender, Ranking


def contender(name, scores, *, frozen=(), multiple=1, least=1):
    mask = np.isin(np.arange(len(scores)), frozen)
    return Contender(name, np.array(scores, float), mask, multiple, least)


@st.composite
def rankings(draw):
    contenders = []
    for number in range(draw(st.integers(1, 4))):
        scores = draw(st.lists(st.integers(0, 9).map(float), min_size=1, max_size=20))
        frozen = draw(st.sets(st.integers(0, len(scores) - 1)))
        sizes = {"multiple": draw(st.sampled_from([1, 2, 4, 8])), "least": draw(st.integers(0, len(scores)))}
        contenders.append(contender(str(number), scores, frozen=list(frozen), **sizes))
    return Ranking(contenders, draw(st.sampled_from(["global", "layer"])))


@given(rankings(), st.integers(0, 80))
def test_choices_keep_floors_multiples_and_frozen_channels(ranking, length):
    for each in ranking.contenders:
        gone = ranking.choice(length).get(each.name, [])
        left = each.scores.size - len(gone)
        assert left >= max(1, each.least)
        assert left == each.scores.size or left % each.multiple == 0
        assert not each.frozen[gone].any()


@given(rankings(), st.integers(0, 80))
def test_what_goes_is_worth_no_more_than_what_stays_in_its_layer(ranking, length):
    for each in ranking.contenders:
        gone = ranking.choice(length).get(each.name, [])
        stays = np.setdiff1d(np.flatnonzero(~each.frozen), gone)
        if len(gone) and stays.size:
            assert each.scores[gone].max() <= each.scores[stays].min()


@given(rankings(), st.integers(0, 80))
def test_longer_choices_hold_the_shorter_ones(ranking, length):
    shorter, longer = ranking.choice(length), ranking.choice(length + 1)
    assert all(set(channels) <= set(longer[name]) for name, channels in shorter.items())


@given(rankings(), st.integers(0, 60))
def test_the_closest_choice_leaves_no_more_than_wanted_and_no_less_than_the_first_that_does(ranking, wanted):
    def measure(choice):
        return -sum(map(len, choice.values()))

    first = next((choice for choice in map(ranking.choice, range(100)) if measure(choice) <= -wanted), None)
    found = ranking.closest(measure, -wanted)
    assert (found is None) == (first is None)
    if found is not None:
        assert measure(first) <= measure(found) <= -wanted


def test_a_step_far_beyond_the_budget_is_passed_over():
    ranking = Ranking([contender("coarse", range(16), multiple=8), contender("fine", range(20, 28))], "global")
    assert ranking.closest(lambda choice: -sum(map(len, choice.values())), -3) == {"fine": [0, 1, 2]}


def test_globally_the_layer_of_little_worth_loses_all():
    ranking = Ranking([contender("poor", [1, 2, 3, 4]), contender("rich", [11, 12, 13, 14])], "global")
    assert ranking.choice(3) == {"poor": [0, 1, 2]}
    assert ranking.choice(5) == {"poor": [0, 1, 2], "rich": [0]}


def test_by_layer_each_loses_the_same_fraction():
    ranking = Ranking([contender("small", [1, 2]), contender("large", [40, 30, 20, 10])], "layer")
    assert ranking.choice(3) == {"small": [0], "large": [2, 3]}


def test_rounding_removes_less_not_more():
    ranking = Ranking([contender("one", range(20), multiple=8)], "global")
    assert [20 - len(ranking.choice(length).get("one", [])) for length in (0, 3, 4, 11, 12, 20)] == [20, 20, 16, 16, 8, 8]


@pytest.mark.parametrize("smallest", [5, 11])
def test_a_size_that_only_larger_models_have_is_found_before_it_is_refused(smallest):
    ranking = Ranking([contender("layer", range(64))], "global")
    sizes = []

    def left(choice):
        return 64 - len(choice.get("layer", ()))

    def size(choice):
        sizes.append(smallest if 36 <= left(choice) < 45 else 100.0)
        return sizes[-1]

    found = choose(ranking, "size_kb", 10, size, left)
    assert (found is None) == (smallest > 10)
    assert found is None or 40 <= left(found) < 45
    assert len(sizes) <= 24
