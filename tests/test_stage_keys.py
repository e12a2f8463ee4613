"""Equal keys, equal results: what a cut depends on is in its key."""

from types import SimpleNamespace

import pytest

import edgecompress as ec
from edgecompress.recipe import make_recipe
from edgecompress.stage import State
from edgecompress.stage_keys import lent_keys, technique_key

MACS, SIZE = {"macs": 0.5}, {"size_kb": 20}


def surroundings(budget, *, is_trial=False, **sections):
    recipe = make_recipe({
        "name": "r", "data": {"source": "digits"}, "model": {"source": "builder", "name": "cnn"},
        "stages": [ec.PruneChannels(**budget), ec.PruneWeights(sparsity=0.5)], **sections,
    })  # fmt: skip
    return SimpleNamespace(recipe=recipe, data=SimpleNamespace(class_names=()), is_trial=is_trial)


def keys(*given, find=technique_key, stage=0, **more):
    around = surroundings(*given, **more)
    return find(around, 1, around.recipe.stages[stage], State(None, (), "before"))


INT8, FLOAT32 = {"format": "int8"}, {"format": "float32"}
OLD = {"runtime": "tflite-runtime==2.14.0"}


@pytest.mark.parametrize(
    ("budget", "one", "other", "are_equal"),
    [
        (MACS, {"export": INT8}, {"export": FLOAT32}, False),
        (MACS, {"export": INT8}, {"export": INT8, "benchmark": None}, False),
        (MACS, {"target": OLD}, {}, False),
        (MACS, {"export": INT8, "benchmark": None}, {"export": FLOAT32, "benchmark": None}, True),
        (MACS, {"benchmark": {"runs": 50}}, {"benchmark": {"runs": 60}}, True),
        (SIZE, {"export": INT8, "benchmark": None}, {"export": FLOAT32, "benchmark": None}, False),
        (SIZE, {"target": OLD, "benchmark": None}, {"benchmark": None}, False),
    ],
)
def test_a_cut_depends_on_its_file_where_that_is_weighed_or_timed(budget, one, other, are_equal):
    assert (keys(budget, **one) == keys(budget, **other)) == are_equal
    assert keys(budget, **one, stage=1) == keys(budget, **other, stage=1)


def test_a_cut_of_a_trial_stands_for_that_of_a_run_and_one_without_times_does_not():
    trial, run, untimed = keys(MACS, is_trial=True, benchmark=None), keys(MACS), keys(MACS, benchmark=None)
    timed_trial = keys(MACS, is_trial=True)  # where another budget is a time
    assert len({trial, timed_trial, run, untimed}) == 4
    assert keys(MACS, find=lent_keys) == keys(MACS, benchmark=None, find=lent_keys) == [timed_trial, trial]
    assert keys(MACS, is_trial=True, benchmark=None, find=lent_keys) == [run, untimed]
