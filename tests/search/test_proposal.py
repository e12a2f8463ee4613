"""Where a search begins, what it expects, and what it takes."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import edgecompress as ec
from edgecompress.recipe.space import make_space
from edgecompress.search.axes import Axes
from edgecompress.search.proposal import FILE_WORK, UNTRAINED_WORK, Proposals, work_left
from edgecompress.search.start import num_start, start_points
from edgecompress.search.surrogate import Observed, Surrogate, comparable

RECIPE = """\
name: wide
data: {source: digits}
model: {source: builder, name: cnn}
stages:
  - prune_channels: {id: cut, macs: 0.5, steps: 1, train: {epochs: 2}}
  - prune_weights: {id: zeros, sparsity: 0.5, train: {epochs: 2}}
  - equalize: {id: equal}
export: {format: int8}
search:
  space:
    stages.cut.macs: {low: 0.2, high: 0.9}
    stages.cut.steps: {low: 1, high: 9, step: 2}
    stages.cut.train.learning_rate: {low: 1e-4, high: 1e-2, log: true}
    stages.zeros.sparsity: [0.8, 0.2, 0.5]
    export.format: [int8, dynamic]
  optional: [zeros, equal]
"""


@pytest.fixture(scope="module")
def space():
    return make_space(ec.load_recipe("wide.yaml", text=RECIPE))


def test_start_is_the_middle_then_the_smallest_and_the_largest_network_then_spread(space):
    points = start_points(space, 0)
    assert len(points) == num_start(space) > 3
    assert all(point["use.zeros"] and point["use.equal"] for point in points)
    amounts = [(point["stages.cut.macs"], point["stages.zeros.sparsity"]) for point in points]
    assert amounts[:3] == [(pytest.approx(0.55), 0.5), (0.2, 0.8), (0.9, 0.2)]
    assert [point["stages.cut.train.learning_rate"] for point in points[:3]] == [pytest.approx(1e-3)] * 3
    assert points == start_points(space, 0)
    assert points[3:] != start_points(space, 1)[3:]


@given(st.dictionaries(st.sampled_from(["stages.cut.macs", "stages.cut.steps", "stages.cut.train.learning_rate"]), st.floats(0, 1)))
def test_places_and_points_belong_to_each_other(space_of_hypothesis, units):
    axes = Axes(space_of_hypothesis)
    point = axes.point(units)
    assert point["stages.cut.steps"] in (1, 3, 5, 7, 9)
    assert isinstance(point["stages.cut.steps"], int)
    again = axes.point(axes.units(point))
    assert {name: pytest.approx(value) for name, value in point.items()} == again


@pytest.fixture(scope="module")
def space_of_hypothesis(space):
    return space


def test_comparable_takes_logarithms_and_leaves_out_what_has_no_value():
    assert comparable([0.9, 1000.0], [True, False]) == pytest.approx((-1, 3))
    assert comparable([1.0, math.inf], [True, False]) is None


def toy(cut):
    """An error that rises steeply below 0.4, and bytes that follow the cut."""
    return comparable([1 - 0.03 - 0.6 * max(0.0, 0.4 - cut), 1e5 * cut], [True, False])


def observed(space, cuts):
    base = start_points(space, 0)[0]
    return [Observed(base | {"stages.cut.macs": cut}, toy(cut)) for cut in cuts]


def test_gain_is_least_where_something_was_tried_and_follows_what_was_learned(space):
    ended = observed(space, [0.2, 0.3, 0.55, 0.7, 0.9])
    points = [ended[0].point | {"stages.cut.macs": cut} for cut in (0.42, 0.55, 0.9, 0.8)]
    gains = Surrogate(Axes(space), ended).gains(points)
    assert gains.argmax() == 0  # the corner of the front that nobody has seen
    assert gains[0] > 3 * max(gains[1:])
    waiting = Surrogate(Axes(space), ended).gains(points, [points[0]])
    assert waiting[0] < gains[0] / 2  # another worker is there


def test_one_objective_has_a_gain_too_and_old_trials_still_bound_the_front(space):
    ended = [Observed(one.point, one.losses[:1]) for one in observed(space, [0.4, *np.linspace(0.2, 0.25, 130).tolist()])]
    gains = Surrogate(Axes(space), ended).gains([ended[0].point | {"stages.cut.macs": cut} for cut in (0.2, 0.32)])
    assert gains.shape == (2,)
    assert gains[1] > gains[0] >= 0
    best_first = Surrogate(Axes(space), ended)._front.min()
    assert best_first == ended[0].losses[0]


def test_limits_that_are_learned_keep_points_away(space):
    ended = [
        Observed(one.point, one.losses, {"size_kb": 1e5 * one.point["stages.cut.macs"] / 5e4 - 1})
        for one in observed(space, [0.2, 0.35, 0.55, 0.7, 0.9])
    ]
    gains = Surrogate(Axes(space), ended).gains([ended[0].point | {"stages.cut.macs": cut} for cut in (0.42, 0.62, 0.8)])
    assert gains[0] > 10 * max(gains[1:])


def test_failed_recipes_are_learned_as_a_limit_that_others_keep(space):
    ended = [*observed(space, [0.5, 0.6, 0.9]), Observed(start_points(space, 0)[0] | {"stages.cut.macs": 0.2}, None, {"runs": 1e3})]
    gains = Surrogate(Axes(space), ended).gains([ended[0].point | {"stages.cut.macs": cut} for cut in (0.21, 0.45)])
    assert np.isfinite(gains).all()
    assert gains[1] > 0


def test_work_counts_stages_that_no_trial_has_trained(space):
    first = start_points(space, 0)[0]
    whole = 2 + UNTRAINED_WORK + FILE_WORK
    other = first | {"stages.zeros.sparsity": 0.8}
    points = [first, other, first | {"export.format": "dynamic"}, first | {"stages.cut.macs": 0.3}]
    assert work_left(space, points, []).tolist() == pytest.approx([whole] * 4)
    left = work_left(space, points, [first]).tolist()
    assert left == pytest.approx([FILE_WORK, 1 + UNTRAINED_WORK + FILE_WORK, FILE_WORK, whole])


def test_proposals_are_new_allowed_and_the_same_for_the_same_trials(space):
    ended = []
    for number in range(8):
        point = Proposals(space, 0).propose(number, ended, [])
        assert point == Proposals(space, 0).propose(number, ended, [])
        assert point not in [one.point for one in ended]
        space.recipe_at(point)
        ended.append(Observed(point, toy(point["stages.cut.macs"])))


def test_any_number_of_orders_is_one_axis():
    text = RECIPE.split("  optional")[0] + "  order: any\n"
    text = text.replace("stages:\n", "stages:\n" + "".join(f"  - correct_bias: {{id: b{index}}}\n" for index in range(2)))
    axes = Axes(make_space(ec.load_recipe("wide.yaml", text=text)))
    (order,) = [axis for axis in axes.all if axis.name == "order"]
    assert len(order.choices) > 100
    assert axes.point({"order": 0.999})["order"] == order.choices[-1]


def test_space_that_is_used_up_still_gives_points():
    text = RECIPE.split("  space:")[0] + "  space:\n    export.format: [int8, dynamic]\n"
    small = make_space(ec.load_recipe("wide.yaml", text=text))
    points = [{"export.format": "int8"}, {"export.format": "dynamic"}]
    ended = [Observed(point, (1.0 + number, 2.0 - number)) for number, point in enumerate(points)]
    assert Proposals(small, 0).propose(7, ended, []) in points
