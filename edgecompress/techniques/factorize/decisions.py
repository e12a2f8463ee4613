"""What becomes of a layer, and why: the judgement, and how reports put it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from edgecompress.errors import ModelError
from edgecompress.layer_latency import LayerLatency
from edgecompress.recipe.stages import Factorize
from edgecompress.stage import LayerRecord
from edgecompress.techniques.factorize.arrays import Factors, Rank
from edgecompress.techniques.factorize.candidate import Candidate
from edgecompress.techniques.factorize.ranks import Choices, choose_ranks


@dataclass(frozen=True, eq=False)
class Decision:
    """A layer at the rank that a rule chose.

    Attributes:
        candidate: the layer.
        rank: None where no rank was chosen.
        why_not: why the layer is left alone; None if it is factorized.
        factors: kernels of the chain.
        errors: what the factors lose, by name, as relative errors.
        latency: before and after, where it was measured.
    """

    candidate: Candidate
    rank: Rank | None = None
    why_not: str | None = None
    factors: Factors = ()
    errors: tuple[tuple[str, float], ...] = ()
    latency: LayerLatency | None = None

    def record(self) -> LayerRecord:
        """For plan and report."""
        candidate, before, after = self.candidate, dict[str, Any](), dict[str, Any]()
        if self.rank is not None:
            before = {"parameters": candidate.parameters_before, "macs": candidate.macs_before}
            after = {"rank": list(self.rank), "break_even_rank": list(candidate.break_even), **dict(self.errors)}
            after |= {"parameters": candidate.parameters(self.rank), "macs": candidate.macs(self.rank)}
        if self.latency is not None:
            before["p50_ms"], after["p50_ms"] = self.latency.before_ms, self.latency.after_ms
        words = [part for part in (self.why_not, self._words(before, after)) if part]
        return LayerRecord(
            candidate.name, candidate.type, "changed" if self.why_not is None else "skipped", "; ".join(words), before, after
        )

    def _words(self, before: dict[str, Any], after: dict[str, Any]) -> str:
        """`rank 16 of 128, break-even 107: error 0.2100, parameters 81,920 -> 12,288, ...`."""
        if self.rank is None:
            return ""
        facts = [f"{name.replace('_', ' ')} {value:.4f}" for name, value in self.errors]
        facts += [f"{words} {before[key]:,} -> {after[key]:,}" for key, words in (("parameters", "parameters"), ("macs", "MACs"))]
        if self.latency is not None:
            facts.append(self.latency.describe())
        ranks = f"rank {_number(self.rank)} of {_number(self.candidate.full_rank)}, break-even {_number(self.candidate.break_even)}"
        return f"{ranks}: {', '.join(facts)}"


Evaluate = Callable[[Decision], Decision]


def decide(
    candidates: Sequence[Candidate], config: Factorize, model_macs: int, evaluate: Evaluate, measured: Choices | None = None
) -> list[Decision]:
    """One decision per layer.

    Under a limit for the whole model, other layers make up for those that are left alone after all.

    Args:
        candidates: the layers to choose among.
        config: the rule.
        model_macs: of the whole model.
        evaluate: looks closer at a layer that the counts speak for: factors, errors, latency.
        measured: see `choose_ranks`.

    Raises:
        RecipeError, ModelError: a rank or a limit that nothing can meet.
    """
    settled: dict[str, Decision] = {}
    done: dict[tuple[str, Rank], Decision] = {}
    decisions: dict[str, Decision] = {}
    while candidates:
        other_macs = model_macs - sum(candidate.macs_before for candidate in candidates)
        try:
            ranks = choose_ranks(candidates, config, model_macs=model_macs, other_macs=other_macs, measured=measured)
        except ModelError:
            if not decisions:
                raise
            break  # without the layers that were left alone the limit is out of reach: what there is counts
        decisions = {candidate.name: _look(candidate, ranks[candidate.name], evaluate, done) for candidate in candidates}
        failed = {name: decision for name, decision in decisions.items() if decision.why_not and decision.rank is not None}
        settled |= failed
        if (config.macs is None and measured is None) or not failed:
            break
        candidates = [candidate for candidate in candidates if candidate.name not in failed]
    return list((decisions | settled).values())


def _look(candidate: Candidate, rank: Rank | str, evaluate: Evaluate, done: dict[tuple[str, Rank], Decision]) -> Decision:
    """The decision on one layer; what was evaluated once is not again."""
    if isinstance(rank, str):
        return Decision(candidate, why_not=rank)
    key = (candidate.name, rank)
    if key not in done:
        decision = replace(Decision(candidate, rank), why_not=_why_not(candidate, rank))
        done[key] = decision if decision.why_not else evaluate(decision)
    return done[key]


def _why_not(candidate: Candidate, rank: Rank) -> str | None:
    """Why counting alone speaks against a rank."""
    if candidate.parameters(rank) >= candidate.parameters_before:
        return "its rank is not below break-even"
    return None if candidate.saves(rank) else "its MACs would not fall"


def _number(rank: Rank) -> str:
    return " x ".join(map(str, rank))
