"""What a compression did to single classes: those that became worse beyond noise, and what is taken for what."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from edgecompress.evaluation.paired_tests import mcnemar_p_value
from edgecompress.evaluation.predict import Evaluation

SIGNIFICANCE = 0.05  # for all classes together
MOST_CONFUSIONS = 10


def class_changes(baseline: Evaluation, final: Evaluation) -> dict[str, list[dict[str, Any]]] | None:
    """Compares two classifiers class by class, on the same samples in the same order.

    Returns: None for other tasks; else a dictionary.
        regressed: classes whose recall fell beyond noise, as `regressed_classes` says.
        confusions: the most frequent mistakes, as `confusions` says.
    """
    if baseline.labels is None or final.labels is None:
        return None
    return {
        "regressed": regressed_classes(baseline.labels, baseline.predictions, final.predictions),
        "confusions": confusions(baseline.labels, baseline.predictions, final.predictions),
    }


def regressed_classes(labels: np.ndarray, baseline: np.ndarray, final: np.ndarray) -> list[dict[str, Any]]:
    """Classes of which the final model recognizes fewer, where McNemar's test says that this is more than noise.

    With many classes some would look worse by chance, so p-values are corrected for their number: the chance that any class at all is
    named wrongly is at most 5 %.

    Args:
        labels, baseline, final: int [n], the truth and what each model says.

    Returns:
        One entry per class, the worst first: label, num_samples, num_lost (only the baseline has them right), num_won, p_value (corrected).

    Source: Holm, A simple sequentially rejective multiple test procedure (1979).
    """
    right_before, right_after = baseline == labels, final == labels
    found = []
    for number, num_samples in zip(*np.unique(labels, return_counts=True), strict=True):
        own = labels == number
        num_lost, num_won = int((own & right_before & ~right_after).sum()), int((own & ~right_before & right_after).sum())
        p_value = mcnemar_p_value(num_lost, num_won)
        found.append({"label": int(number), "num_samples": int(num_samples), "num_lost": num_lost, "num_won": num_won, "p_value": p_value})
    corrected = _holm([entry["p_value"] for entry in found])
    worse = [
        entry | {"p_value": p_value}
        for entry, p_value in zip(found, corrected, strict=True)
        if p_value < SIGNIFICANCE and entry["num_lost"] > entry["num_won"]
    ]
    return sorted(worse, key=lambda entry: entry["num_won"] - entry["num_lost"])


def confusions(labels: np.ndarray, baseline: np.ndarray, final: np.ndarray) -> list[dict[str, int]]:
    """The most frequent mistakes of the final model: (label, predicted) with their number in both, at most 10."""
    before, after = (_mistakes(labels, predictions) for predictions in (baseline, final))
    return [
        {"label": label, "predicted": predicted, "num_baseline": before[label, predicted], "num_final": number}
        for (label, predicted), number in sorted(after.items(), key=lambda item: (-item[1], item[0]))[:MOST_CONFUSIONS]
    ]


def _mistakes(labels: np.ndarray, predictions: np.ndarray) -> Counter[tuple[int, int]]:
    """(label, predicted) to how often."""
    wrong = labels != predictions
    pairs, counts = np.unique(np.stack([labels[wrong], predictions[wrong]], axis=1), axis=0, return_counts=True)
    return Counter({(int(label), int(predicted)): int(count) for (label, predicted), count in zip(pairs, counts, strict=True)})


def _holm(p_values: list[float]) -> list[float]:
    """p-values corrected for their number: times n, n - 1, ... from the least on, never falling."""
    corrected = [1.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected
