"""Short recoveries, and who gets more."""

import edgecompress as ec
from edgecompress.search.front import Candidate
from edgecompress.search.halving import LEAST_UPDATES, goes_on, is_worth_it, num_updates, shortened

RECIPE = """\
name: long
data: {source: digits}
model: {source: builder, name: mlp, train: {epochs: 10}}
stages:
  - prune_weights: {sparsity: 0.5, begin: 2, end: 8, train: {epochs: 12}}
  - prune_neurons: {macs: 0.5}
  - train: {epochs: 2}
  - distill: {student: {scale: 0.5}, train: {epochs: 20}}
"""


def test_epochs_and_schedules_shrink_and_the_baseline_stays():
    recipe = ec.load_recipe("r.yaml", text=RECIPE)
    short = shortened(recipe, 0.25)
    assert short.model == recipe.model
    assert (short.stages[0].train.epochs, short.stages[0].begin, short.stages[0].end) == (3, 0.5, 2.0)
    assert short.stages[1] == recipe.stages[1]
    assert (short.stages[2].epochs, short.stages[3].train.epochs) == (1, 5)


def test_recipe_without_a_longer_training_is_not_changed():
    recipe = ec.load_recipe("r.yaml", text=RECIPE.replace("12", "8"))
    recipe = recipe.model_copy(update={"stages": [recipe.stages[1]]})
    assert shortened(recipe, 0.25) == recipe


def test_short_recovery_must_save_more_than_it_costs():
    recipe = ec.load_recipe("r.yaml", {"data.batch_size": 64}, text=RECIPE)
    assert num_updates(recipe, num_samples=130) == (12 + 2 + 20) * 3
    assert not is_worth_it(recipe, 130)
    assert is_worth_it(recipe, 64 * LEAST_UPDATES // 34 + 64)


def test_better_half_goes_on():
    others = [Candidate((loss,), 0) for loss in (1, 2, 3, 4, 5, 6, 7)]
    assert [goes_on(Candidate((loss,), 0), others, 0.5) for loss in (0, 3.5, 4.5, 9)] == [True, True, False, False]


def test_first_goes_on_and_so_does_what_nobody_dominates():
    assert goes_on(Candidate((9, 9), 1), [], 0.1)
    assert goes_on(Candidate((9, 0), 0), [Candidate((1, 5), 0), Candidate((2, 4), 0), Candidate((3, 3), 0)], 0.1)
    assert not goes_on(Candidate((9, 0), 1), [Candidate((1, 5), 0), Candidate((2, 4), 0)], 0.1)
