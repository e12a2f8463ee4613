"""Metrics as pure functions on arrays: the same code for Keras and for TFLite outputs.

Every metric is the mean of one value per sample, so that a split can be streamed and two models can be compared sample
by sample. That holds for the area under the ROC curve too: its values are those whose mean is the area (`auc_values`).
"""

from __future__ import annotations

import numpy as np

SMALLEST_PROBABILITY = 1e-7  # as Keras clips probabilities before their logarithm


def class_predictions(outputs: np.ndarray) -> np.ndarray:
    """The class with the highest output; the first of them under ties, which integer outputs do have.

    Args:
        outputs: [n, num_classes], logits or probabilities.
    Returns: int64 [n].
    """
    return np.argmax(outputs, axis=1)


def top_k_values(outputs: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    """1 where the label is among the k highest outputs, else 0. Ties go to the lower class, as in `class_predictions`.

    Args:
        outputs: [n, num_classes], logits or probabilities.
        labels: int [n], each in [0, num_classes).
    Returns: float64 [n].
    """
    own = np.take_along_axis(outputs, labels[:, None], axis=1)
    before = np.arange(outputs.shape[1])[None, :] < labels[:, None]
    ahead = (outputs > own) | ((outputs == own) & before)
    return (ahead.sum(axis=1) < k).astype(np.float64)


def log_probabilities(outputs: np.ndarray, *, from_logits: bool) -> np.ndarray:
    """log softmax of logits, or the logarithm of probabilities scaled to sum 1 (quantized ones do not quite).

    Args:
        outputs: [n, num_classes].
        from_logits: False: `outputs` are probabilities; they are clipped to [1e-7, 1] first, as Keras does.
    Returns: float64 [n, num_classes].
    """
    values = outputs.astype(np.float64)
    logits = values if from_logits else np.log(np.clip(values, SMALLEST_PROBABILITY, 1.0))
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def sparse_categorical_crossentropy_values(outputs: np.ndarray, labels: np.ndarray, *, from_logits: bool) -> np.ndarray:
    """-log of the probability of the label. Args as `log_probabilities`, labels int [n]. Returns: float64 [n]."""
    return -np.take_along_axis(log_probabilities(outputs, from_logits=from_logits), labels[:, None], axis=1)[:, 0]


def binary_decisions(outputs: np.ndarray, *, from_logits: bool) -> np.ndarray:
    """True where the probability is above one half (the logit above zero). Returns: bool, the shape of `outputs`."""
    return np.asarray(outputs > (0.0 if from_logits else 0.5))


def binary_crossentropy_values(outputs: np.ndarray, targets: np.ndarray, *, from_logits: bool) -> np.ndarray:
    """-(y log p + (1 - y) log(1 - p)), the mean over the label columns.

    Args:
        outputs: [n, num_labels], logits z or probabilities p (clipped to [1e-7, 1 - 1e-7]).
        targets: [n, num_labels], y, each 0 or 1.
    Returns: float64 [n].
    """
    values, wanted = outputs.astype(np.float64), targets.astype(np.float64)
    if from_logits:
        # max(z, 0) - z y + log(1 + exp(-|z|)): the same without overflow.
        losses = np.maximum(values, 0) - values * wanted + np.log1p(np.exp(-np.abs(values)))
    else:
        clipped = np.clip(values, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
        losses = -(wanted * np.log(clipped) + (1 - wanted) * np.log1p(-clipped))
    return np.asarray(losses.mean(axis=1))


def squared_error_values(outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Mean of (output - target)^2 over the columns. Args: both [n, num_values]. Returns: float64 [n]."""
    errors = outputs - targets
    # In the type of the outputs: off by some 1e-7 of itself for float32, and several times as fast as in float64.
    squares = np.matmul(errors[:, np.newaxis, :], errors[:, :, np.newaxis])
    return squares.reshape(-1).astype(np.float64) / outputs.shape[1]


def absolute_error_values(outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Mean of |output - target| over the columns. Args: both [n, num_values]. Returns: float64 [n]."""
    return np.abs(outputs - targets).mean(axis=1).astype(np.float64)


def _fraction_below(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """For each value, the fraction of `others` below it; an equal one counts one half."""
    ordered = np.sort(others)
    below = np.searchsorted(ordered, values, side="left")
    not_above = np.searchsorted(ordered, values, side="right")
    return (below + not_above) / (2 * len(others))


def auc_values(outputs: np.ndarray, targets: np.ndarray) -> np.ndarray | None:
    """One value per sample whose mean is the area A under the ROC curve, and whose variance / n is that of A.

    The placement V of a positive is the fraction of negatives below it, of a negative the fraction of positives above
    it; A is the mean placement of either. Value = A + (n / number of its kind) * (V - A).

    Source: DeLong, DeLong, Clarke-Pearson 1988, "Comparing the areas under two or more correlated receiver operating
    characteristic curves", Biometrics 44 (placements are its structural components).

    Args:
        outputs: [n], logits or probabilities: only their order counts.
        targets: [n], each 0 or 1.
    Returns: float64 [n]; None where all samples are of one kind, so that there is no curve.
    """
    positive = targets > 0.5
    num_positive = int(positive.sum())
    num_negative = len(positive) - num_positive
    if not num_positive or not num_negative:
        return None
    placements = np.empty(len(positive))
    placements[positive] = _fraction_below(outputs[positive], outputs[~positive])
    placements[~positive] = 1.0 - _fraction_below(outputs[~positive], outputs[positive])
    area = placements[positive].mean()
    weights = len(positive) / np.where(positive, num_positive, num_negative)
    return np.asarray(area + weights * (placements - area))


def macro_auc_values(outputs: np.ndarray, targets: np.ndarray) -> np.ndarray | None:
    """The mean of `auc_values` over the label columns that hold both kinds; None where no column does.

    Args: both [n, num_labels]. Returns: float64 [n].
    """
    columns = [auc_values(outputs[:, column], targets[:, column]) for column in range(targets.shape[1])]
    known = [values for values in columns if values is not None]
    return np.mean(known, axis=0) if known else None


def per_class(predictions: np.ndarray, labels: np.ndarray, num_classes: int) -> dict[str, list[float | None]]:
    """Precision and recall of each class, in [0, 1]; None where they are not defined.

    Args:
        predictions: int [n], each in [0, num_classes).
        labels: int [n], each in [0, num_classes).
    Returns: {"precision": ..., "recall": ...}. Precision is None for a class that was never predicted, recall for one
        that does not occur.
    """
    hits = np.bincount(labels[predictions == labels], minlength=num_classes)
    totals = {"precision": np.bincount(predictions, minlength=num_classes), "recall": np.bincount(labels, minlength=num_classes)}
    return {
        name: [float(hit / total) if total else None for hit, total in zip(hits, counts, strict=True)] for name, counts in totals.items()
    }
