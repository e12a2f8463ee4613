"""The paired comparison of two evaluations."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecompress.evaluation import Evaluation, verdict
from edgecompress.evaluation.metrics import auc_values
from edgecompress.evaluation.paired_tests import mcnemar_p_value, tango_interval
from edgecompress.evaluation.predict import evaluate_outputs
from edgecompress.progress import Bar
from edgecompress.recipe.schema import Task

CLASSES = Task()
CROSSENTROPY = Task(metrics=["sparse_categorical_crossentropy"])
LABELS = Task(loss="binary_crossentropy", metrics=["accuracy"])
AREA = Task(loss="binary_crossentropy", metrics=["auc"])
VALUES = Task(loss="mean_squared_error", metrics=["mean_absolute_error"])
INPUTS = Task(loss="mean_squared_error", metrics=["mean_squared_error"], target="input")
KEYS = {"baseline", "final", "drop", "confidence_interval", "p_value", "p_value_of", "agreement", "correlation"}


def evaluate(outputs, targets, task):
    return evaluate_outputs([(outputs, targets)], task, model_name="model", bar=Bar())


def from_scores(scores, predictions, metric):
    scores = np.asarray(scores, np.float64)
    return Evaluation({metric: scores.mean()}, scores, np.asarray(predictions))


def pair(task, num_samples=400, noise=0.8):
    """A baseline, and the same with noise on its outputs."""
    generator = np.random.default_rng(0)
    outputs = generator.normal(size=(num_samples, 4)).astype(np.float32)
    noisy = outputs + noise * generator.normal(size=outputs.shape).astype(np.float32)
    if task.kind == "classification":
        targets = (outputs + 0.3 * generator.normal(size=outputs.shape)).argmax(axis=1)
    elif task.kind == "multi_label":
        targets = (outputs + 0.3 * generator.normal(size=outputs.shape) > 0).astype(np.float32)
    else:
        targets = outputs + 0.3 * generator.normal(size=outputs.shape).astype(np.float32)
    return evaluate(outputs, targets, task), evaluate(noisy, targets, task)


ALL_TASKS = pytest.mark.parametrize(
    "task", [CLASSES, CROSSENTROPY, LABELS, AREA, VALUES, INPUTS], ids=lambda task: f"{task.kind} {task.metrics[0]}"
)


@ALL_TASKS
def test_identical_outputs_drop_nothing(task):
    baseline = pair(task)[0]
    found = verdict(baseline, baseline, task, seed=0)
    assert set(found) == KEYS
    assert (found["drop"], found["p_value"]) == (0.0, 1.0)
    assert found["confidence_interval"][0] <= 0 <= found["confidence_interval"][1]
    if task.kind in ("classification", "multi_label"):
        assert (found["agreement"], found["correlation"]) == (1.0, None)
    else:
        assert found["agreement"] is None
        assert found["correlation"] == pytest.approx(1.0)


@ALL_TASKS
def test_a_worse_model_drops_whatever_the_direction(task):
    baseline, final = pair(task)
    found = verdict(baseline, final, task, seed=0)
    assert 0 < found["confidence_interval"][0] < found["drop"] < found["confidence_interval"][1]
    assert found["p_value"] < 0.01
    assert abs(found["baseline"] - found["final"]) == found["drop"]


@ALL_TASKS
def test_exchanging_the_models_mirrors_the_verdict(task):
    baseline, final = pair(task)
    there, back = verdict(baseline, final, task, seed=0), verdict(final, baseline, task, seed=0)
    assert back["drop"] == -there["drop"]
    assert back["p_value"] == pytest.approx(there["p_value"])
    low, high = there["confidence_interval"]
    # The bootstrap draws the same resamples, so its quantiles mirror but for their interpolation.
    assert back["confidence_interval"] == pytest.approx([-high, -low], abs=1e-9)


@ALL_TASKS
def test_same_seed_gives_the_same_bits(task):
    baseline, final = pair(task)
    assert verdict(baseline, final, task, seed=5) == verdict(baseline, final, task, seed=5)


def test_right_or_wrong_goes_through_mcnemar_by_hand():
    # 12 samples: 8 right in both, 1 only in the baseline, 2 only in the final model, 1 in none.
    baseline = from_scores([1] * 8 + [1, 0, 0, 0], [0] * 12, "accuracy")
    final = from_scores([1] * 8 + [0, 1, 1, 0], [0] * 8 + [1] * 4, "accuracy")
    found = verdict(baseline, final, CLASSES, seed=0)
    assert found["p_value"] == mcnemar_p_value(1, 2) == 1.0  # 2 (1 + 3) / 8, at most 1
    assert found["p_value_of"] == "McNemar"
    assert found["drop"] == pytest.approx(-1 / 12)
    assert found["confidence_interval"] == list(tango_interval(1, 2, 12))
    assert found["agreement"] == pytest.approx(8 / 12)


def test_wrong_or_right_mirrors_right_or_wrong():
    """An error rate counts as ones what an accuracy counts as zeros."""
    own = {"error_rate": {"function": "mine.py:error_rate", "rises": False}}
    errors = Task(metrics=["error_rate"], own_metrics=own)
    right = np.repeat([1.0, 0.0], [98, 2]), np.repeat([1.0, 0.0], [80, 20])
    rising = verdict(*(from_scores(scores, [0] * 100, "accuracy") for scores in right), CLASSES, seed=0)
    falling = verdict(*(from_scores(1 - scores, [0] * 100, "error_rate") for scores in right), errors, seed=0)
    assert falling["drop"] == pytest.approx(rising["drop"])
    assert falling["drop"] == pytest.approx(0.18)
    assert [falling[key] for key in ("confidence_interval", "p_value")] == [rising[key] for key in ("confidence_interval", "p_value")]


@pytest.mark.parametrize(("sign", "drop", "p_value"), [(1, 0.0, 1.0), (-1, 1.0, 1 / 2001)])
def test_areas_that_do_not_vary_have_no_interval(sign, drop, p_value):
    """Two of 200 samples are of the rare kind: that both models place them right says little about the next ones."""
    targets = np.arange(200)[:, None] < 2
    outputs = np.linspace(1, 0, 200)[:, None]
    found = verdict(evaluate(outputs, targets, AREA), evaluate(sign * outputs, targets, AREA), AREA, seed=0)
    assert (found["drop"], found["confidence_interval"], found["p_value_of"]) == (drop, None, "sign-flip")
    assert found["p_value"] == pytest.approx(p_value)


def test_labels_of_one_column_go_through_mcnemar():
    targets = np.arange(40)[:, None] % 2
    found = verdict(*(evaluate(values, targets, LABELS) for values in (targets - 0.5, np.full((40, 1), 1.0))), LABELS, seed=0)
    assert (found["p_value_of"], found["drop"]) == ("McNemar", 0.5)


def test_labels_of_several_columns_go_through_resampling():
    found = verdict(*pair(LABELS), LABELS, seed=0)
    assert found["p_value_of"] == "sign-flip"


def test_agreement_of_labels_counts_decisions():
    baseline, final = pair(LABELS)
    assert verdict(baseline, final, LABELS, seed=0)["agreement"] == np.mean(baseline.predictions == final.predictions)


def test_correlation_is_that_of_numpy():
    baseline, final = pair(INPUTS)
    assert verdict(baseline, final, INPUTS, seed=0)["correlation"] == pytest.approx(
        np.corrcoef(baseline.predictions, final.predictions)[0, 1]
    )


def test_correlation_is_absent_where_a_model_always_says_the_same():
    baseline = from_scores([0.1, 0.2, 0.3], [[1.0], [2.0], [3.0]], "mean_absolute_error")
    final = from_scores([0.1, 0.2, 0.4], [[1.0], [1.0], [1.0]], "mean_absolute_error")
    assert verdict(baseline, final, VALUES, seed=0)["correlation"] is None


def test_interval_of_the_area_is_that_of_a_full_bootstrap():
    generator = np.random.default_rng(1)
    targets = np.arange(600) % 3 == 0
    outputs = generator.normal(size=600) + targets
    noisy = outputs + generator.normal(size=600)
    task = AREA
    found = verdict(evaluate(outputs[:, None], targets[:, None], task), evaluate(noisy[:, None], targets[:, None], task), task, seed=0)
    positives, negatives = np.flatnonzero(targets), np.flatnonzero(~targets)
    drops = []
    for _ in range(1000):  # stratified: each kind is drawn from its own
        rows = np.concatenate([generator.choice(positives, len(positives)), generator.choice(negatives, len(negatives))])
        drops.append(auc_values(outputs[rows], targets[rows]).mean() - auc_values(noisy[rows], targets[rows]).mean())
    # Quantiles of 1,000 and of 2,000 draws: about 0.1 standard errors of the drop together; three of those.
    assert found["confidence_interval"] == pytest.approx(np.quantile(drops, [0.025, 0.975]), abs=0.3 * np.std(drops))


@settings(max_examples=20)
@given(st.permutations(range(50)))
def test_order_of_samples_does_not_matter(order):
    generator = np.random.default_rng(2)
    labels, outputs = generator.integers(3, size=50), generator.normal(size=(2, 50, 3))
    plain = verdict(*(evaluate(values, labels, CLASSES) for values in outputs), CLASSES, seed=0)
    permuted = verdict(*(evaluate(values[order], labels[order], CLASSES) for values in outputs), CLASSES, seed=0)
    assert permuted == plain


def test_evaluations_of_different_samples_are_refused():
    short, long = from_scores([1, 0], [0, 0], "accuracy"), from_scores([1, 0, 1], [0, 0, 0], "accuracy")
    with pytest.raises(ValueError, match=r"must have the same samples\. Received: 2 and 3"):
        verdict(short, long, CLASSES, seed=0)
