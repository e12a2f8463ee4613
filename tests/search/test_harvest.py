"""What a trained trial brings along."""

import pytest

import edgecompress as ec
from edgecompress.recipe.space import make_space
from edgecompress.search.harvest import siblings, trains_nothing_new

RECIPE = """\
name: whole
data: {source: digits}
model: {source: builder, name: cnn}
stages:
  - prune_channels: {id: cut, macs: 0.5, train: {epochs: 2}}
  - prune_neurons: {id: neurons, parameters: 0.5, train: {epochs: 2}}
  - equalize: {id: equal}
export: {format: int8, io: float32}
search:
  space:
    stages.cut.macs: {low: 0.2, high: 0.9}
    stages.neurons.parameters: {low: 0.4, high: 0.9}
    export.format: [int8, dynamic]
  optional: [neurons, equal]
"""
WHOLE = {
    "use.neurons": True, "use.equal": True, "stages.cut.macs": 0.5, "stages.neurons.parameters": 0.6, "export.format": "int8",
}  # fmt: skip


@pytest.fixture
def space():
    return make_space(ec.load_recipe("whole.yaml", text=RECIPE))


def without(*names, **changes):
    return {name: value for name, value in (WHOLE | changes).items() if name not in names}


def test_another_network_comes_first_then_another_file_then_what_changes_little(space):
    smaller = without("stages.neurons.parameters", **{"use.neurons": False})
    dynamic = WHOLE | {"export.format": "dynamic"}
    unequal = WHOLE | {"use.equal": False}
    assert siblings(space, WHOLE, 3) == [smaller, dynamic, unequal]
    assert siblings(space, WHOLE, 4)[3] == smaller | {"export.format": "dynamic"}
    assert siblings(space, WHOLE, 0) == []


def test_stages_without_training_come_too_and_those_that_train_do_not(space):
    point = without("stages.neurons.parameters", **{"use.neurons": False, "use.equal": False})
    found = siblings(space, point, 20)
    assert point | {"use.equal": True} in found
    assert not any(other["use.neurons"] for other in found)
    assert len(found) == 3  # equal, dynamic, both


def test_no_sibling_trains_what_its_trial_has_not(space):
    for most in (1, 20):
        found = siblings(space, WHOLE, most)
        assert len(found) <= most
        assert len({repr(sorted(point.items())) for point in found}) == len(found)
        assert WHOLE not in found
        for point in found:
            assert trains_nothing_new(space.recipe_at(WHOLE), space.recipe_at(point))


def test_stage_that_trains_behind_one_that_goes_would_have_to_train_again():
    text = RECIPE.replace("optional: [neurons, equal]", "optional: [cut]").replace(
        "    stages.neurons.parameters: {low: 0.4, high: 0.9}\n", ""
    )
    space = make_space(ec.load_recipe("whole.yaml", text=text))
    point = {"use.cut": True, "stages.cut.macs": 0.5, "export.format": "int8"}
    assert siblings(space, point, 20) == [point | {"export.format": "dynamic"}]


def test_budget_that_is_measured_on_the_file_depends_on_its_form():
    text = RECIPE.replace("parameters: 0.5", "size_kb: 9").replace("    stages.neurons.parameters: {low: 0.4, high: 0.9}\n", "")
    space = make_space(ec.load_recipe("whole.yaml", text=text))
    point = without("stages.neurons.parameters")
    formats = {(other["use.neurons"], other["export.format"]) for other in siblings(space, point, 20)}
    assert formats == {(True, "int8"), (False, "int8"), (False, "dynamic")}


def test_combinations_that_no_recipe_may_have_are_left_out():
    text = RECIPE.replace("[int8, dynamic]", "[int8, dynamic]\n    export.io: [float32, int8]")
    space = make_space(ec.load_recipe("whole.yaml", text=text))
    found = siblings(space, WHOLE | {"export.io": "int8"}, 20)
    assert found
    assert all(point["export.format"] == "int8" or point["export.io"] == "float32" for point in found)
