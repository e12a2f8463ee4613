"""Is the final model worse than the baseline, by how much, and how sure is that? Paired: both saw the same samples."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgecompress.evaluation.paired_tests import bootstrap_interval, mcnemar_p_value, sign_flip_p_value, tango_interval
from edgecompress.evaluation.predict import Evaluation
from edgecompress.recipe.schema import Task

AREA = "auc"  # its values are no outcomes of single samples: each depends on all


def verdict(baseline: Evaluation, final: Evaluation, task: Task, *, seed: int) -> dict[str, Any]:
    """Compares two models by the deciding metric, sample by sample.

    Values that are 0 or 1 for every sample (right or wrong) go through McNemar's exact test and Tango's interval. All
    others go through a sign-flip test and a bootstrap of the paired differences of `Evaluation.scores`. So does the area
    under the ROC curve, whatever its values: where a model separates all samples they are 1, and count no right answers.

    Args:
        baseline: the reference, on the same samples in the same order as `final`.
        seed: of the resampling; the same seed gives the same bits.
    Returns: a dictionary.
        baseline, final: the metric of each, on the whole split.
        drop: how much worse `final` is; negative where it is better, whatever the metric's direction.
        confidence_interval: [low, high] of the drop, 95 %; None where both areas have the same value for every sample, as
            where both models separate them all: samples that do not vary say nothing about others.
        p_value: of "both are equally good", two-sided; p_value_of: the name of its test.
        agreement: fraction of samples (of decisions, for multi_label) on which both models say the same; None for
            regression and autoencoders, which decide nothing.
        correlation: Pearson's, between the two models' predictions (autoencoder: between their reconstruction errors);
            None for classes and labels, and where a model always says the same.
    Raises:
        ValueError: the two were not measured on the same number of samples.
    """
    if len(baseline.scores) != len(final.scores):
        raise ValueError(f"both evaluations must have the same samples. Received: {len(baseline.scores)} and {len(final.scores)}")
    metric = task.metrics[0]
    sign = 1.0 if task.rises(metric) else -1.0
    measured = {"baseline": baseline.metrics[metric], "final": final.metrics[metric]}
    drop = sign * (measured["baseline"] - measured["final"]) + 0.0  # adding zero turns -0.0 into 0.0
    better = (baseline.scores, final.scores) if sign > 0 else (final.scores, baseline.scores)  # where right is 0, more ones is a loss
    test = _test_right_or_wrong(*better) if metric != AREA else None
    if test is None:
        differences = sign * (baseline.scores - final.scores)
        says_nothing = metric == AREA and not np.ptp(baseline.scores) and not np.ptp(final.scores)
        interval = None if says_nothing else list(bootstrap_interval(differences, seed=seed))
        test = {"confidence_interval": interval, "p_value": sign_flip_p_value(differences, seed=seed), "p_value_of": "sign-flip"}
    return {**measured, "drop": drop, **test, **_likeness(baseline.predictions, final.predictions, task)}


def _test_right_or_wrong(baseline: np.ndarray, final: np.ndarray) -> dict[str, Any] | None:
    """McNemar and Tango; None where a score is neither 0 nor 1."""
    if not np.isin(baseline, (0, 1)).all() or not np.isin(final, (0, 1)).all():
        return None
    num_lost, num_won = int((baseline > final).sum()), int((final > baseline).sum())
    return {
        "confidence_interval": list(tango_interval(num_lost, num_won, len(baseline))),
        "p_value": mcnemar_p_value(num_lost, num_won),
        "p_value_of": "McNemar",
    }


def _likeness(baseline: np.ndarray, final: np.ndarray, task: Task) -> dict[str, float | None]:
    """How far the two models say the same, whether it is right or not."""
    if task.kind in ("classification", "multi_label"):
        return {"agreement": float((baseline == final).mean()), "correlation": None}
    return {"agreement": None, "correlation": _correlation(baseline.reshape(len(baseline), -1), final.reshape(len(final), -1))}


def _correlation(baseline: np.ndarray, final: np.ndarray) -> float | None:
    """Pearson's correlation, the mean over the columns; None where a column does not vary."""
    first = baseline - baseline.mean(axis=0, dtype=np.float64)
    second = final - final.mean(axis=0, dtype=np.float64)
    spread = np.sqrt((first**2).sum(axis=0) * (second**2).sum(axis=0))
    return float(((first * second).sum(axis=0) / spread).mean()) if spread.all() else None
