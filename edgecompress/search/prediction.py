"""What a recipe's file will weigh and cost, before anything of it is trained."""

from __future__ import annotations

from dataclasses import dataclass

from edgecompress.backend import keras
from edgecompress.data import Data
from edgecompress.latency.forecast import Forecast
from edgecompress.plan import plan_stages
from edgecompress.recipe.schema import Goal, Recipe

# How much of the network these leave does not depend on the values of its weights, so that an untrained one shows it.
CERTAIN = ("train", "prune_channels", "prune_neurons", "prune_weights", "cluster_weights", "equalize", "correct_bias", "quantize_aware")
MEASURED = ("size_kb", "latency_ms")  # budgets of which a plan knows nothing yet
MARGIN = 0.1  # a prediction must miss a limit by more: stages may yet remove what a plan cannot see


@dataclass(frozen=True)
class Prediction:
    """Of the last model.

    Attributes:
        weight_bytes: of its weights in the export format.
        macs: None where a layer has no formula.
        least_p50_ms: no network of the latency table was faster, of those predicted alike; None without a table.
    """

    weight_bytes: int
    macs: int | None
    least_p50_ms: float | None = None


def predict(recipe: Recipe, baseline: keras.Model, data: Data, *, allow_code: bool, forecast: Forecast | None = None) -> Prediction:
    """Plans every stage on the trained baseline, without training.

    Raises:
        EdgeCompressError: what a run would refuse.
    """
    planned = plan_stages(recipe, baseline, data, allow_code=allow_code, forecast=forecast)
    totals, latency = planned.stages[-1].totals, planned.latency
    return Prediction(
        planned.final_weight_bytes, totals.macs if totals.macs_known else None, None if latency is None else latency.final.low_ms
    )  # fmt: skip


def is_foreseen(recipe: Recipe) -> bool:
    """Whether a plan shows the network that a run will leave, so that its time is known before."""
    return all(stage.technique in CERTAIN and getattr(stage, "kind", None) not in MEASURED for stage in recipe.stages)


def is_sized(recipe: Recipe) -> bool:
    """Whether a plan on the trained baseline shows about how large the network will be: no stage finds that out while it runs."""
    return not any(
        stage.technique == "remove_dead" or getattr(stage, "kind", None) in MEASURED or getattr(stage, "rank", None) == "sensitivity"
        for stage in recipe.stages
    )


def certain_limits(goal: Goal, recipe: Recipe) -> Goal:
    """The limits that a plan can judge. Channels that pruned weights leave dead are in the network, but a shrunk file is without them."""
    loses_more = recipe.export.shrink and any(stage.technique == "prune_weights" for stage in recipe.stages)
    return goal.model_copy(update={"size_kb": None, "p50_ms": None}) if loses_more else goal


def predicted_violations(goal: Goal, prediction: Prediction, p50_ms: float | None = None) -> dict[str, float]:
    """Limits that are missed for certain, as fractions of them.

    Args:
        goal: the limits.
        prediction: of the model.
        p50_ms: limit of the time that is predicted; None: there is none.
    """
    values = {
        "size_kb": (goal.size_kb, prediction.weight_bytes / 1000),
        "macs": (goal.macs, prediction.macs),
        "p50_ms": (p50_ms, prediction.least_p50_ms),
    }
    found = {name: value / limit - 1 for name, (limit, value) in values.items() if limit is not None and value is not None}
    return {name: miss for name, miss in found.items() if miss > MARGIN}
