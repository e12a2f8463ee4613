"""From a stream of outputs and targets to an `Evaluation`: the one place where a model is measured, Keras or TFLite.

Only a few numbers per sample are kept, so that a split may be larger than memory. Whole outputs are kept for regression
(its predictions) and for the area under the ROC curve (which needs their order), both of few columns.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgecompress.errors import DataError, ModelError
from edgecompress.evaluation import metrics
from edgecompress.progress import Bar
from edgecompress.recipe.schema import Task
from edgecompress.task_functions import own_metric_values


@dataclass(frozen=True)
class Evaluation:
    """What a model reached on a split.

    Attributes:
        metrics: {metric: value} in the order of the task, the deciding one first; classification has "per_class" too.
        scores: float64 [n], one value per sample; their mean is the first metric. Where anomalies are to be detected, errors are
            those of the normal samples alone.
        predictions: one row per sample, in the order of the split. classification: int [n], the class; multi_label:
            bool [n, num_labels]; regression: float32 [n, num_values]; autoencoder: float64 [n], the reconstruction
            error (the first metric that is a built-in one, else the loss), which is what an autoencoder is used for.
        labels: int [n], the true classes; None for other tasks than classification.
    """

    metrics: dict[str, Any]
    scores: np.ndarray
    predictions: np.ndarray
    labels: np.ndarray | None = None


ERRORS = {"mean_squared_error": metrics.squared_error_values, "mean_absolute_error": metrics.absolute_error_values}
Columns = dict[str, np.ndarray]  # one row per sample each: the metrics that are means, and what the others need


def evaluate_outputs(
    batches: Iterable[tuple[np.ndarray, np.ndarray]], task: Task, *, model_name: str, bar: Bar, anomalies: np.ndarray | None = None
) -> Evaluation:
    """Measures outputs against targets, batch by batch.

    Args:
        batches: (outputs [b, ...], targets [b, ...]) in the order of the split.
        task: says what the targets mean and which metrics are wanted.
        model_name: for error messages.
        bar: advanced by the samples done.
        anomalies: bool [n], which samples an autoencoder's error should tell from the others; None: it is not asked to.
    Raises:
        ModelError: outputs that are not finite (after all batches, with their number) or do not fit the targets.
        DataError: no samples; or the area under the ROC curve of samples of one kind only.
    """
    parts: list[Columns] = []
    num_samples = num_broken = 0
    for outputs, targets in batches:
        num_samples += len(outputs)
        num_broken += _num_broken(outputs)
        if not num_broken:  # with a broken output there is nothing left to measure, only to count
            parts.append(_columns(outputs, targets, task, model_name))
        bar.advance(len(outputs))
    if num_broken:
        raise ModelError(f"{model_name}: outputs must be finite. Received: NaN or infinity for {num_broken} of {num_samples} samples.")
    if not parts:
        raise DataError(f"{model_name}: a split to evaluate on must have at least one sample. Received: none.")
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return _evaluation(columns if anomalies is None else _detection_columns(columns, anomalies, task), task)


def _num_broken(outputs: np.ndarray) -> int:
    """Samples with NaN or infinity among their outputs."""
    finite = np.isfinite(outputs)
    return 0 if finite.all() else int((~finite).reshape(len(outputs), -1).any(axis=1).sum())


def _columns(outputs: np.ndarray, targets: np.ndarray, task: Task, model_name: str) -> Columns:
    """What is kept of one batch."""
    rows = outputs.reshape(len(outputs), -1)
    if task.kind == "classification":
        return _classification_columns(rows, _labels(rows, targets, model_name), task)
    wanted = targets.reshape(len(targets), -1)
    if rows.shape != wanted.shape:
        raise ModelError(
            f"{model_name}: outputs must have as many values as the targets of a sample, {wanted.shape[1]}. Received: {rows.shape[1]}."
        )
    return _multi_label_columns(rows, wanted, task) if task.kind == "multi_label" else _error_columns(rows, wanted, task)


def _labels(rows: np.ndarray, targets: np.ndarray, model_name: str) -> np.ndarray:
    """Class labels as int [n], inside the classes that the model has."""
    if rows.shape[1] < 2:
        raise ModelError(
            f"{model_name}: outputs must have one value per class, at least 2. Received: 1."
            " A single sigmoid output belongs to loss: binary_crossentropy."
        )
    labels = targets.reshape(len(targets)).astype(np.int64)
    if labels.min() < 0 or labels.max() >= rows.shape[1]:
        outside = labels[(labels < 0) | (labels >= rows.shape[1])][0]
        raise ModelError(f"{model_name}: labels must be in 0..{rows.shape[1] - 1}, the classes of the outputs. Received: {outside}.")
    return labels


def _classification_columns(rows: np.ndarray, labels: np.ndarray, task: Task) -> Columns:
    predictions = metrics.class_predictions(rows)
    columns = {"predictions": predictions, "labels": labels, "num_classes": np.full(len(rows), rows.shape[1])}
    for name in task.metrics:
        if name == "accuracy":
            columns[name] = (predictions == labels).astype(np.float64)
        elif name == "top_5_accuracy":
            columns[name] = metrics.top_k_values(rows, labels, 5)
        elif name in task.own_metrics:
            columns[name] = own_metric_values(task, name, rows, labels)
        else:
            columns[name] = metrics.sparse_categorical_crossentropy_values(rows, labels, from_logits=task.from_logits)
    return columns


def _multi_label_columns(rows: np.ndarray, wanted: np.ndarray, task: Task) -> Columns:
    decisions = metrics.binary_decisions(rows, from_logits=task.from_logits)
    columns: Columns = {"predictions": decisions}
    for name in task.metrics:
        if name == "accuracy":
            columns[name] = (decisions == (wanted > 0.5)).mean(axis=1)
        elif name == "auc":
            columns |= {"outputs": rows, "targets": wanted}
        elif name in task.own_metrics:
            columns[name] = own_metric_values(task, name, rows, wanted)
        else:
            columns[name] = metrics.binary_crossentropy_values(rows, wanted, from_logits=task.from_logits)
    return columns


def _error_columns(rows: np.ndarray, wanted: np.ndarray, task: Task) -> Columns:
    columns: Columns = {"predictions": rows}
    for name in task.metrics:
        if name in task.own_metrics:
            columns[name] = own_metric_values(task, name, rows, wanted)
        elif name in ERRORS:
            columns[name] = ERRORS[name](rows, wanted)
    if task.kind == "autoencoder":  # an own metric may rise, or be no error at all
        name = next((name for name in task.metrics if name in ERRORS), task.loss)
        columns["predictions"] = columns[name] if name in columns else ERRORS[name](rows, wanted)
    return columns


def _detection_columns(columns: Columns, anomalies: np.ndarray, task: Task) -> Columns:
    """Errors of the normal samples; the reconstruction error and what it should tell, of all."""
    normal = {name: values[~anomalies] for name, values in columns.items() if name != "predictions"}
    error = columns["predictions"]
    return {**normal, "predictions": error, "outputs": error[:, np.newaxis], "targets": anomalies[:, np.newaxis]}


def _evaluation(columns: Columns, task: Task) -> Evaluation:
    """Means of the columns, and what is not a mean."""
    if "auc" in task.metrics:
        values = metrics.macro_auc_values(columns["outputs"], columns["targets"])
        if values is None:
            both = "normal samples and anomalies" if task.kind == "autoencoder" else "samples with and without the label"
            raise DataError(f"auc must be measured on {both}. Received: one kind only.")
        columns["auc"] = values
    measured: dict[str, Any] = {name: float(columns[name].mean()) for name in task.metrics}
    if task.kind == "classification":
        measured["per_class"] = metrics.per_class(columns["predictions"], columns["labels"], int(columns["num_classes"][0]))
    return Evaluation(measured, columns[task.metrics[0]], columns["predictions"], columns.get("labels"))
