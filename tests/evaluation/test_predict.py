"""From outputs and targets to an Evaluation."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle

from edgecompress.errors import DataError, ModelError
from edgecompress.evaluation.predict import evaluate_outputs
from edgecompress.progress import Bar
from edgecompress.recipe.schema import Task
from edgecompress.task_functions import load_functions

CLASSES = Task(metrics=["accuracy", "top_5_accuracy", "sparse_categorical_crossentropy"])
LABELS = Task(loss="binary_crossentropy", metrics=["auc", "accuracy", "binary_crossentropy"])
VALUES = Task(loss="mean_squared_error", metrics=["mean_absolute_error", "mean_squared_error"])
INPUTS = Task(loss="mean_squared_error", metrics=["mean_squared_error"], target="input")


class CountingBar(Bar):
    done = 0

    def advance(self, amount=1):
        self.done += amount


def evaluate(outputs, targets, task, cuts=()):
    pieces = zip(np.split(outputs, cuts), np.split(targets, cuts), strict=True)
    return evaluate_outputs(pieces, task, model_name="model.tflite", bar=Bar())


def example(task, num_samples=60):
    generator = np.random.default_rng(0)
    outputs = generator.normal(size=(num_samples, 6)).astype(np.float32)
    if task.kind == "classification":
        return outputs, generator.integers(6, size=num_samples)
    if task.kind == "multi_label":
        return outputs, (generator.normal(size=outputs.shape) + outputs > 0).astype(np.float32)
    return outputs.reshape(-1, 3, 2), generator.normal(size=(num_samples, 3, 2)).astype(np.float32)


@pytest.mark.parametrize("task", [CLASSES, LABELS, VALUES, INPUTS], ids=lambda task: task.kind)
@given(cuts=st.lists(st.integers(1, 59), max_size=6, unique=True).map(sorted))
def test_streaming_equals_whole(task, cuts):
    whole, streamed = evaluate(*example(task), task), evaluate(*example(task), task, cuts)
    assert streamed.metrics == whole.metrics
    np.testing.assert_array_equal(streamed.scores, whole.scores)
    np.testing.assert_array_equal(streamed.predictions, whole.predictions)


@pytest.mark.parametrize("task", [CLASSES, LABELS, VALUES, INPUTS], ids=lambda task: task.kind)
@given(order=st.permutations(range(60)))
def test_order_of_samples_does_not_matter(task, order):
    outputs, targets = example(task)
    plain, permuted = evaluate(outputs, targets, task), evaluate(outputs[order], targets[order], task)
    for name in task.metrics:
        assert permuted.metrics[name] == pytest.approx(plain.metrics[name], abs=1e-12)  # sums in another order
    np.testing.assert_array_equal(permuted.predictions, plain.predictions[order])


@pytest.mark.parametrize("task", [CLASSES, LABELS, VALUES, INPUTS], ids=lambda task: task.kind)
def test_first_metric_comes_first_and_is_the_mean_of_the_scores(task):
    found = evaluate(*example(task), task)
    assert list(found.metrics)[: len(task.metrics)] == list(task.metrics)
    assert found.scores.mean() == pytest.approx(found.metrics[task.metrics[0]], abs=1e-12)
    assert len(found.scores) == len(found.predictions) == 60


def test_classification_by_scikit_learn():
    outputs, labels = example(CLASSES)
    found = evaluate(outputs, labels, CLASSES)
    assert found.metrics["accuracy"] == oracle.accuracy_score(labels, outputs.argmax(axis=1))
    assert found.metrics["per_class"]["recall"] == pytest.approx(oracle.recall_score(labels, outputs.argmax(axis=1), average=None))
    np.testing.assert_array_equal(found.predictions, outputs.argmax(axis=1))


def test_multi_label_by_scikit_learn():
    outputs, targets = example(LABELS)
    found = evaluate(outputs, targets, LABELS)
    assert found.metrics["auc"] == pytest.approx(oracle.roc_auc_score(targets, outputs, average="macro"))
    assert found.metrics["accuracy"] == pytest.approx(np.mean((outputs > 0) == (targets > 0.5)))
    np.testing.assert_array_equal(found.predictions, outputs > 0)


def test_one_sigmoid_output_is_a_label_of_one_column():
    task = Task(loss="binary_crossentropy", from_logits=False, metrics=["accuracy"])
    found = evaluate(np.array([[0.2], [0.7], [0.9]], np.float32), np.array([0, 0, 1]), task)
    assert found.metrics == {"accuracy": pytest.approx(2 / 3)}
    np.testing.assert_array_equal(found.scores, [1, 0, 1])


def test_predictions_of_an_autoencoder_are_its_reconstruction_errors():
    outputs, targets = example(INPUTS)
    found = evaluate(outputs, targets, INPUTS)
    np.testing.assert_allclose(found.predictions, ((outputs - targets) ** 2).mean(axis=(1, 2)), rtol=1e-6)


def test_area_of_an_autoencoder_is_that_of_its_error_whatever_metrics_stand_first(tmp_path):
    (tmp_path / "mine.py").write_text("def likeness(targets, outputs):\n    return -((targets - outputs) ** 2).mean(axis=1)\n")
    own = {"likeness": {"function": f"{tmp_path / 'mine.py'}:likeness", "rises": True}}
    tasks = [
        Task(loss="mean_squared_error", target="input", metrics=["auc", "mean_squared_error"]),
        Task(loss="mean_squared_error", target="input", metrics=["auc", "likeness"], own_metrics=own),
        Task(loss="mean_absolute_error", target="input", metrics=["likeness", "auc", "mean_squared_error"], own_metrics=own),
    ]
    outputs, targets = example(INPUTS)
    anomalies = ((outputs - targets) ** 2).mean(axis=(1, 2)) > 2  # the error tells them all
    found = []
    for task in tasks:
        load_functions(task, allow_code=True)
        found.append(evaluate_outputs([(outputs, targets)], task, model_name="model", bar=Bar(), anomalies=anomalies))
    assert [one.metrics["auc"] for one in found] == [1.0] * 3
    assert np.array_equal(found[1].predictions, found[0].predictions)
    assert np.array_equal(found[2].predictions, found[0].predictions)


def test_classes_may_stand_in_a_row_of_pixels():
    outputs, labels = example(CLASSES)
    assert evaluate(outputs.reshape(60, 1, 1, 6), labels, CLASSES).metrics == evaluate(outputs, labels, CLASSES).metrics


def test_progress_counts_samples():
    bar = CountingBar()
    outputs, labels = example(CLASSES)
    evaluate_outputs([(outputs[:50], labels[:50]), (outputs[50:], labels[50:])], CLASSES, model_name="model", bar=bar)
    assert bar.done == 60


def test_outputs_that_are_not_finite_are_counted_over_all_batches():
    outputs, labels = example(CLASSES)
    outputs[3, 1], outputs[3, 2], outputs[40, 0] = np.nan, np.inf, -np.inf
    with pytest.raises(ModelError, match=re.escape("model.tflite: outputs must be finite. Received: NaN or infinity for 2 of 60 samples.")):
        evaluate(outputs, labels, CLASSES, cuts=(10, 20))


@pytest.mark.parametrize("label", [6, -1])
def test_labels_outside_the_classes_of_the_model_are_refused(label):
    outputs, labels = example(CLASSES)
    labels[7] = label
    with pytest.raises(ModelError, match=rf"labels must be in 0\.\.5, the classes of the outputs\. Received: {label}"):
        evaluate(outputs, labels, CLASSES)


def test_a_single_output_is_no_classification():
    with pytest.raises(ModelError, match=r"at least 2\. Received: 1\. A single sigmoid output belongs to loss: binary_crossentropy"):
        evaluate(np.zeros((4, 1), np.float32), np.zeros(4, np.int64), CLASSES)


def test_outputs_must_fit_the_targets():
    with pytest.raises(ModelError, match=r"as many values as the targets of a sample, 3\. Received: 2"):
        evaluate(np.zeros((4, 2), np.float32), np.zeros((4, 3), np.float32), VALUES)


def test_auc_of_one_kind_is_refused():
    with pytest.raises(DataError, match=r"auc must be measured on samples with and without the label\. Received: one kind only"):
        evaluate(np.zeros((4, 1), np.float32), np.ones((4, 1), np.float32), LABELS)


def test_no_samples_are_refused():
    with pytest.raises(DataError, match=r"must have at least one sample\. Received: none"):
        evaluate_outputs([], CLASSES, model_name="model", bar=Bar())
