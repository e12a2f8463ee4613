"""`factorize` as a stage: choose, judge, replace, train."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial
from math import inf
from typing import Literal

import numpy as np

from edgecompress.backend import keras
from edgecompress.data import Data
from edgecompress.graph.layers import describe_layers, total
from edgecompress.keeps import Keep
from edgecompress.layer_latency import time_part
from edgecompress.models.copying import copy_model
from edgecompress.models.replacing import Part, replace_layers
from edgecompress.recipe.stages import Factorize
from edgecompress.stage import Context, LayerRecord, Outlook, StageResult
from edgecompress.techniques.chosen_layers import free_name
from edgecompress.techniques.factorize.arrays import Rank, relative_error
from edgecompress.techniques.factorize.candidate import Candidate
from edgecompress.techniques.factorize.chains import factor_chain
from edgecompress.techniques.factorize.choosing import choose_candidates
from edgecompress.techniques.factorize.cp import NotFound
from edgecompress.techniques.factorize.data_aware import fit_last, measure_moments, measure_output_error
from edgecompress.techniques.factorize.decisions import Decision, decide
from edgecompress.techniques.factorize.measured import measure_ranks
from edgecompress.techniques.remembered import remembered, remembered_latency
from edgecompress.training import fit

MEASURED_LATER = "its rank is chosen by the validation metric, which is measured when the recipe runs"


def apply(model: keras.Model, config: Factorize, context: Context) -> StageResult:
    """Puts chains in the place of the layers where that pays, then trains when the recipe gives a `train` block.

    Raises:
        RecipeError: patterns that match nothing that the method takes, or a rank that no layer has.
        ModelError: nothing to factorize, or a limit of MACs that cannot be met.
    """
    candidates, records = _candidates(model, config, context.data)
    found: dict[tuple[str, Rank | None], Decision] = {}

    def factors(decision: Decision) -> Decision:  # a rank that was measured is not factorized again
        key = decision.candidate.name, decision.rank
        if key not in found:
            found[key] = _with_factors(decision, model, config, context)
        return found[key]

    curves, measured = None, None
    if config.rank == "sensitivity":
        curves, measured = measure_ranks(model, candidates, config, context, factors, partial(_part, model=model))
    with context.progress.task(f"{context.stage}: factorizing") as bar:

        def evaluate(decision: Decision) -> Decision:
            bar.describe(decision.candidate.name)
            return _judged(factors(decision), model, config, context)

        decisions = decide(candidates, config, total(describe_layers(model)).macs, evaluate, measured)
    records += [decision.record() for decision in decisions]
    changed = {decision.candidate.name: _part(decision, model) for decision in decisions if decision.why_not is None}
    if not changed:  # nothing to recover from: nor is it trained
        return StageResult(copy_model(model), records, context.keeps, sensitivity=curves)
    factorized = replace_layers(model, changed)
    keeps = tuple(keep for keep in context.keeps if keep.layer not in changed)
    epochs = fit(factorized, config.train, context, keeps=keeps) if config.train is not None else []
    return StageResult(factorized, records, keeps, _released(changed, context.keeps), epochs, sensitivity=curves)


def plan(model: keras.Model, config: Factorize, outlook: Outlook) -> tuple[keras.Model, list[LayerRecord]]:
    """What `apply` would do if every layer that has fewer MACs were faster: nothing is timed, and no metric is measured."""
    candidates, records = _candidates(model, config, outlook.data)
    if config.rank == "sensitivity":
        return copy_model(model), [*records, *(Decision(candidate, why_not=MEASURED_LATER).record() for candidate in candidates)]
    decisions = decide(candidates, config, total(describe_layers(model)).macs, partial(_foreseen, config=config))
    records += [decision.record() for decision in decisions]
    changed = {decision.candidate.name: _part(decision, model) for decision in decisions if decision.why_not is None}
    return replace_layers(model, changed), records


def _candidates(model: keras.Model, config: Factorize, data: Data) -> tuple[list[Candidate], list[LayerRecord]]:
    """The layers to work on, with the moments of their outputs where these count; and a record for each other layer."""
    candidates, records = choose_candidates(model, config.method, config.layers, config.skip)
    if config.data_aware and config.method == "svd":
        candidates = [measure_moments(model, candidate, data) for candidate in candidates]
    return candidates, records


def _judged(decision: Decision, model: keras.Model, config: Factorize, context: Context) -> Decision:
    """A decision with factors after a look at what the outputs lose, and whether the layer gets faster."""
    if decision.why_not is None and config.data_aware:
        decision = measure_output_error(decision, model, context.data)
    if decision.why_not is None and config.timed_as is not None:
        decision = _timed(decision, model, config.timed_as, context)
    return decision


def _with_factors(decision: Decision, model: keras.Model, config: Factorize, context: Context) -> Decision:
    """The decision with its factors, fitted to outputs where these count, and with their error on the weights."""
    if config.method == "cp" and decision.rank is not None:
        decision = _factorized_as_before(decision, config, context)
    else:
        decision = _factorized(decision, config=config, seed=context.seed)
    if decision.why_not is None and config.data_aware and config.method != "svd":
        decision = fit_last(decision, model, context.data)
    return decision


def _factorized_as_before(decision: Decision, config: Factorize, context: Context) -> Decision:
    """The same of a method that ends with its time: what an earlier call that was killed later found in time is found again."""
    found: list[Decision] = []

    def why_not() -> str | None:
        found.append(_factorized(decision, config=config, seed=context.seed))
        return found[0].why_not

    known = remembered(context, f"factors of {decision.candidate.name} at rank {decision.rank}", why_not)
    if found:
        return found[0]
    if known is not None:
        return replace(decision, why_not=known)
    return _factorized(decision, config=config, seed=context.seed, time_limit_s=inf)


def _factorized(decision: Decision, *, config: Factorize, seed: int, time_limit_s: float | None = None) -> Decision:
    """The decision with its factors and their error on the weights; `time_limit_s` in place of the config's."""
    candidate = decision.candidate
    if decision.rank is None:
        return decision
    try:
        factors = candidate.factorize(decision.rank, seed=seed, time_limit_s=config.time_limit_s if time_limit_s is None else time_limit_s)
    except NotFound as reason:
        return replace(decision, why_not=str(reason))
    error = relative_error(candidate.kernel, candidate.reconstruct(factors))
    return replace(decision, factors=factors, errors=(("error", error),))


def _foreseen(decision: Decision, config: Factorize) -> Decision:
    """The decision as it will probably be. CP takes too long for a plan: its factors stand for their shapes only."""
    if config.method != "cp" or decision.rank is None:
        return _factorized(decision, config=config, seed=0)
    return replace(decision, factors=tuple(np.ones(shape) for shape in decision.candidate.factor_shapes(decision.rank)))


def _timed(decision: Decision, model: keras.Model, format: Literal["float32", "int8"], context: Context) -> Decision:
    """The decision after the layer and its chain were timed against each other."""
    name = decision.candidate.name
    latency = remembered_latency(
        context, f"{name} at rank {decision.rank}", lambda: time_part(model, name, _part(decision, model), format, context)
    )
    if isinstance(latency, str):
        return replace(decision, why_not=latency)
    return replace(decision, latency=latency, why_not=None if latency.is_faster else "its latency would not fall")


def _part(decision: Decision, model: keras.Model) -> Part:
    """The chain of a decision, with names that the model does not have."""
    candidate = decision.candidate
    return factor_chain(candidate.layer, candidate.method, decision.factors, lambda ending: free_name(model, f"{candidate.name}{ending}"))


def _released(changed: Collection[str], keeps: Sequence[Keep]) -> tuple[str, ...]:
    """What was promised about kernels that are factors now, in words."""
    return tuple(f"{keep.layer}: {keep.describe()}, factorized" for keep in keeps if keep.layer in changed)
