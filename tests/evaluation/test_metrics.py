"""Metrics against scikit-learn, hand-worked cases and their invariances."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as oracle

from edgecompress.evaluation import metrics

SMALL_INTEGERS = st.integers(-4, 4)  # few values, so that ties are common


def softmax(logits):
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponents / exponents.sum(axis=1, keepdims=True)


@pytest.fixture
def scores():
    generator = np.random.default_rng(0)
    return generator.normal(size=(300, 7)).astype(np.float32), generator.integers(7, size=300)


@pytest.fixture
def columns():
    generator = np.random.default_rng(1)
    return generator.normal(size=(300, 3)).astype(np.float32), generator.integers(2, size=(300, 3))


def test_top_k_equals_scikit_learn(scores):
    outputs, labels = scores
    expected = oracle.top_k_accuracy_score(labels, outputs, k=5, labels=range(7))
    assert metrics.top_k_values(outputs, labels, 5).mean() == pytest.approx(expected, abs=1e-12)


@given(arrays(np.int8, st.tuples(st.integers(1, 20), st.integers(2, 6)), elements=SMALL_INTEGERS), st.integers(0, 99))
def test_top_1_is_accuracy_under_ties(outputs, seed):
    labels = np.random.default_rng(seed).integers(outputs.shape[1], size=len(outputs))
    np.testing.assert_array_equal(metrics.top_k_values(outputs, labels, 1), metrics.class_predictions(outputs) == labels)


@given(arrays(np.int8, st.tuples(st.integers(1, 20), st.integers(2, 6)), elements=SMALL_INTEGERS), st.integers(1, 7))
def test_top_k_finds_exactly_k_classes_under_ties(outputs, k):
    num_classes = outputs.shape[1]
    found = sum(metrics.top_k_values(outputs, np.full(len(outputs), label), k) for label in range(num_classes))
    np.testing.assert_array_equal(found, min(k, num_classes))


def test_sparse_categorical_crossentropy_equals_scikit_learn(scores):
    outputs, labels = scores
    expected = oracle.log_loss(labels, softmax(outputs.astype(np.float64)), labels=range(7))
    found = metrics.sparse_categorical_crossentropy_values(outputs, labels, from_logits=True)
    assert found.mean() == pytest.approx(expected, rel=1e-12)


def test_crossentropy_of_probabilities_equals_that_of_their_logits(scores):
    outputs, labels = scores
    from_logits = metrics.sparse_categorical_crossentropy_values(outputs, labels, from_logits=True)
    from_probabilities = metrics.sparse_categorical_crossentropy_values(softmax(outputs), labels, from_logits=False)
    np.testing.assert_allclose(from_probabilities, from_logits, rtol=1e-5)  # float32 probabilities have 24 bits


def test_crossentropy_scales_quantized_probabilities_to_sum_one():
    assert metrics.sparse_categorical_crossentropy_values(np.array([[0.25, 0.5]]), np.array([0]), from_logits=False) == pytest.approx(
        np.log(3)
    )


@given(
    arrays(np.float64, (5, 4), elements=st.floats(-50, 50)),
    arrays(np.float64, (5, 1), elements=st.floats(-50, 50)),
)
def test_crossentropy_does_not_change_when_logits_shift(logits, shift):
    labels = np.array([0, 1, 2, 3, 0])
    plain = metrics.sparse_categorical_crossentropy_values(logits, labels, from_logits=True)
    shifted = metrics.sparse_categorical_crossentropy_values(logits + shift, labels, from_logits=True)
    np.testing.assert_allclose(shifted, plain, atol=1e-12)  # sums of numbers up to 100: 1e-14 each


@pytest.mark.parametrize("from_logits", [True, False])
def test_crossentropies_stay_finite_at_the_ends(from_logits):
    ends = np.array([[1e30, -1e30]], np.float32) if from_logits else np.array([[1.0, 0.0]], np.float32)
    for label in (0, 1):
        values = metrics.sparse_categorical_crossentropy_values(ends, np.array([label]), from_logits=from_logits)
        assert np.isfinite(values).all()
    for targets in ([[0, 1]], [[1, 0]]):
        assert np.isfinite(metrics.binary_crossentropy_values(ends, np.array(targets), from_logits=from_logits)).all()


def test_crossentropies_and_squared_errors_equal_keras(scores, columns):
    from edgecompress.backend import keras

    outputs, labels = scores
    wanted = keras.losses.sparse_categorical_crossentropy(labels, softmax(outputs), from_logits=False).numpy()
    found = metrics.sparse_categorical_crossentropy_values(softmax(outputs), labels, from_logits=False)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)  # Keras computes in float32
    values, targets = columns
    wanted = keras.losses.binary_crossentropy(targets.astype(np.float32), values, from_logits=True).numpy()
    np.testing.assert_allclose(metrics.binary_crossentropy_values(values, targets, from_logits=True), wanted, rtol=1e-4, atol=1e-6)
    wanted = keras.losses.mean_squared_error(targets.astype(np.float32), values).numpy()
    np.testing.assert_allclose(metrics.squared_error_values(values, targets.astype(np.float32)), wanted, rtol=1e-5)


@pytest.mark.parametrize("from_logits", [True, False])
def test_binary_crossentropy_equals_scikit_learn(columns, from_logits):
    outputs, targets = columns
    probabilities = 1 / (1 + np.exp(-outputs.astype(np.float64)))
    expected = np.mean([oracle.log_loss(targets[:, column], probabilities[:, column]) for column in range(3)])
    found = metrics.binary_crossentropy_values(outputs if from_logits else probabilities, targets, from_logits=from_logits)
    assert found.mean() == pytest.approx(expected, rel=1e-12 if not from_logits else 1e-7)


def test_decisions_turn_at_one_half():
    np.testing.assert_array_equal(metrics.binary_decisions(np.array([-1.0, 0.0, 1.0]), from_logits=True), [False, False, True])
    np.testing.assert_array_equal(metrics.binary_decisions(np.array([0.4, 0.5, 0.6]), from_logits=False), [False, False, True])


def test_errors_equal_scikit_learn(columns):
    outputs, targets = columns[0], columns[1].astype(np.float32)
    assert metrics.squared_error_values(outputs, targets).mean() == pytest.approx(oracle.mean_squared_error(targets, outputs), rel=1e-6)
    assert metrics.absolute_error_values(outputs, targets).mean() == pytest.approx(oracle.mean_absolute_error(targets, outputs), rel=1e-6)


def test_precision_and_recall_equal_scikit_learn(scores):
    outputs, labels = scores
    predictions = metrics.class_predictions(outputs)
    found = metrics.per_class(predictions, labels, 7)
    assert found["precision"] == pytest.approx(oracle.precision_score(labels, predictions, average=None))
    assert found["recall"] == pytest.approx(oracle.recall_score(labels, predictions, average=None))


def test_precision_and_recall_are_absent_where_undefined():
    found = metrics.per_class(np.array([0, 0, 1]), np.array([0, 2, 0]), 4)
    assert found == {"precision": [0.5, 0.0, None, None], "recall": [0.5, None, 0.0, None]}


@given(st.lists(st.tuples(SMALL_INTEGERS, st.booleans()), min_size=2, max_size=40))
def test_auc_equals_scikit_learn_under_ties(samples):
    outputs, targets = np.array([value for value, _ in samples]), np.array([label for _, label in samples])
    values = metrics.auc_values(outputs, targets)
    if targets.all() or not targets.any():
        assert values is None
    else:
        assert values.mean() == pytest.approx(oracle.roc_auc_score(targets, outputs), abs=1e-12)


@given(arrays(np.int16, 30, elements=st.integers(-300, 300)))
def test_auc_counts_only_the_order(outputs):
    targets = np.arange(30) % 3 == 0
    np.testing.assert_array_equal(metrics.auc_values(outputs, targets), metrics.auc_values(outputs * 3.0 + 7, targets))


@given(st.permutations(range(30)))
def test_auc_values_follow_their_samples(order):
    generator = np.random.default_rng(2)
    outputs, targets = generator.integers(5, size=30), np.arange(30) % 3 == 0
    np.testing.assert_allclose(metrics.auc_values(outputs[order], targets[order]), metrics.auc_values(outputs, targets)[order], atol=1e-12)


def test_auc_values_have_the_variance_of_delong():
    generator = np.random.default_rng(3)
    targets = np.arange(400) % 4 == 0
    outputs = np.round(generator.normal(size=400) + targets, 1)
    positives, negatives = outputs[targets], outputs[~targets]
    wins = (positives[:, None] > negatives) + 0.5 * (positives[:, None] == negatives)
    expected = wins.mean(axis=1).var(ddof=1) / len(positives) + wins.mean(axis=0).var(ddof=1) / len(negatives)
    # The values divide by n where DeLong divides by n - 1: at most 1 in 100 positives.
    assert metrics.auc_values(outputs, targets).var() / 400 == pytest.approx(expected, rel=0.01)


def test_macro_auc_leaves_out_columns_of_one_kind(columns):
    outputs, targets = columns
    targets = targets.copy()
    targets[:, 1] = 1
    expected = np.mean([oracle.roc_auc_score(targets[:, column], outputs[:, column]) for column in (0, 2)])
    assert metrics.macro_auc_values(outputs, targets).mean() == pytest.approx(expected, abs=1e-12)
    assert metrics.macro_auc_values(outputs[:, 1:2], targets[:, 1:2]) is None


@settings(max_examples=25)
@given(st.permutations(range(40)))
def test_values_follow_their_samples(order):
    generator = np.random.default_rng(4)
    outputs, labels = generator.normal(size=(40, 6)), generator.integers(6, size=40)
    for function in (
        lambda rows, wanted: metrics.top_k_values(rows, wanted, 5),
        lambda rows, wanted: metrics.sparse_categorical_crossentropy_values(rows, wanted, from_logits=True),
    ):
        np.testing.assert_array_equal(function(outputs[order], labels[order]), function(outputs, labels)[order])
