"""How the points are drawn: Optuna's samplers, made repeatable trial by trial, and points that are given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from edgecompress.errors import RecipeError
from edgecompress.recipe.schema import Recipe
from edgecompress.recipe.search import Dimension
from edgecompress.recipe.space import Scalar, make_space, search_of
from edgecompress.recipe.space_rules import objective_names
from edgecompress.search.halving import RUNG
from edgecompress.search.proposal import Proposals
from edgecompress.search.surrogate import Observed, comparable

POPULATION = 20  # of NSGA-II; fifty, Optuna's own, would be as long as many a search
Given = Callable[[FrozenTrial], Mapping[str, Any] | None]
Rank = Callable[[FrozenTrial], int]
Propose = Callable[[Study, FrozenTrial], Mapping[str, Any]]


class TrialSampler(BaseSampler):
    """One of Optuna's samplers, seeded anew for each trial by its place: a study that goes on draws what it would have drawn.

    Args:
        make: the sampler of a seed.
        seed: of the recipe.
        given: values that a trial must have, or None where it draws all.
        rank: place of a trial among those that the recipe asks for, from 0.
        propose: draws all values of a trial at once, before the sampler is asked; None: it draws them.
    """

    def __init__(self, make: Callable[[int], BaseSampler], seed: int, given: Given, rank: Rank, propose: Propose | None = None) -> None:
        self._make, self._seed, self._given, self._rank, self._propose = make, seed, given, rank, propose
        self._inner = make(seed)
        self._values: dict[int, Mapping[str, Any]] = {}  # number of a trial -> what it was given

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self._inner = self._make(int(np.random.SeedSequence([self._seed, self._rank(trial)]).generate_state(1)[0]))
        self._values[trial.number] = self._given(trial) or ({} if self._propose is None else self._propose(study, trial))
        self._inner.before_trial(study, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return {} if self._values[trial.number] else self._inner.infer_relative_search_space(study, trial)

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        return self._inner.sample_relative(study, trial, search_space) if search_space else {}

    def sample_independent(self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution) -> Any:
        if param_name in self._values[trial.number]:
            return self._values[trial.number][param_name]
        return self._inner.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        self._inner.after_trial(study, trial, state, values)


class OptunaChooser:
    """Draws the fields of a space for one trial."""

    def __init__(self, trial: optuna.Trial) -> None:
        self._trial = trial

    def category(self, name: str, choices: Sequence[Scalar | None]) -> Scalar | None:
        value: Scalar | None = self._trial.suggest_categorical(name, choices)
        return value

    def number(self, name: str, dimension: Dimension, *, whole: bool) -> int | float:
        low, high = dimension.low or 0, dimension.high or 0
        if whole:
            return self._trial.suggest_int(name, int(low), int(high), step=int(dimension.step or 1), log=dimension.log)
        return self._trial.suggest_float(name, low, high, step=dimension.step, log=dimension.log)


def make_sampler(recipe: Recipe, given: Given, rank: Rank) -> TrialSampler:
    """The sampler that the recipe names.

    Args:
        recipe: of the search.
        given, rank: as for `TrialSampler`.

    Raises:
        RecipeError: its package is not installed.
    """
    name = search_of(recipe).sampler
    makers: dict[str, Callable[[int], BaseSampler]] = {
        "ehvi": lambda seed: optuna.samplers.RandomSampler(seed=seed),  # of what a given point leaves out
        "tpe": lambda seed: optuna.samplers.TPESampler(seed=seed),  # knows of running trials, so workers do not try the same
        "nsga2": lambda seed: optuna.samplers.NSGAIISampler(seed=seed, population_size=POPULATION),
        "gp": lambda seed: optuna.samplers.GPSampler(seed=seed),
        "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
    }
    if name == "gp" and find_spec("torch") is None:
        raise RecipeError("search.sampler: gp must have torch: pip install 'edgecompress[gp]'. Received: no torch.")
    if name != "ehvi":
        return TrialSampler(makers[name], recipe.seed, given, rank)
    proposals, num_given = Proposals(make_space(recipe), recipe.seed), len(search_of(recipe).first)

    def propose(study: Study, trial: FrozenTrial) -> Mapping[str, Any]:
        others = [other for other in study.get_trials(deepcopy=False) if other.number != trial.number]
        pending = [other.params for other in others if other.state == TrialState.RUNNING and other.params]
        return proposals.propose(max(0, rank(trial) - num_given), list(filter(None, map(partial(observed, recipe), others))), pending)

    return TrialSampler(makers[name], recipe.seed, given, rank, propose)


def observed(recipe: Recipe, trial: FrozenTrial) -> Observed | None:
    """A trial as surrogates learn from it; of one that was stopped, its last short recovery. None: it says nothing."""
    more = [recipe.task.rises(name) for name in objective_names(recipe)]
    if trial.state == TrialState.COMPLETE and trial.values is not None:
        return Observed(trial.params, comparable(trial.values, more), trial.constraints)
    if trial.state != TrialState.PRUNED:
        return None
    rungs = [value["losses"] for name, value in sorted(trial.user_attrs.items()) if name.startswith(RUNG)]
    values = [-loss if up else loss for loss, up in zip(rungs[-1], more, strict=True)] if rungs else None
    return Observed(trial.params, None if values is None else comparable(values, more), trial.constraints, is_full=False)
