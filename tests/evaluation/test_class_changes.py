"""Classes that became worse, and mistakes, against counting one sample at a time."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecompress.evaluation import Evaluation, class_changes
from edgecompress.evaluation.class_changes import confusions, regressed_classes
from edgecompress.evaluation.paired_tests import mcnemar_p_value

SAMPLES = st.lists(st.tuples(*[st.integers(0, 3)] * 3), min_size=1, max_size=200)


@given(SAMPLES)
def test_mistakes_are_counted_and_the_most_frequent_come_first(samples):
    labels, baseline, final = np.array(samples).T
    before = Counter((label, one) for label, one, _ in samples if label != one)
    after = Counter((label, two) for label, _, two in samples if label != two)
    found = confusions(labels, baseline, final)
    assert len(found) == min(10, len(after))
    for entry in found:
        pair = (entry["label"], entry["predicted"])
        assert (entry["num_baseline"], entry["num_final"]) == (before[pair], after[pair])
    assert [entry["num_final"] for entry in found] == sorted(after.values(), reverse=True)[:10]


def changed(num_lost, num_won, label, num_same=50):
    """Samples of one class: (label, what the baseline says, what the final model says)."""
    other = 9
    return [(label, label, other)] * num_lost + [(label, other, label)] * num_won + [(label, label, label)] * num_same


def test_a_class_that_lost_much_more_than_it_won_is_named():
    labels, baseline, final = np.array([*changed(30, 5, 0), *changed(6, 5, 1), *changed(5, 30, 2)]).T
    (entry,) = regressed_classes(labels, baseline, final)
    assert (entry["label"], entry["num_samples"], entry["num_lost"], entry["num_won"]) == (0, 85, 30, 5)
    assert entry["p_value"] == pytest.approx(3 * mcnemar_p_value(30, 5))  # of 3 classes, the least: times 3


def test_the_worst_class_comes_first_and_p_values_never_fall():
    labels, baseline, final = np.array([*changed(20, 1, 0), *changed(60, 2, 1), *changed(0, 0, 2)]).T
    entries = regressed_classes(labels, baseline, final)
    assert [entry["label"] for entry in entries] == [1, 0]
    assert entries[0]["p_value"] <= entries[1]["p_value"]


def test_among_many_classes_chance_names_none():
    """Of 200 classes without any change but noise, uncorrected p-values below 0.05 are common; corrected ones are not."""
    losses = np.random.default_rng(0).binomial(40, 0.5, 200)
    samples = [row for label, num_lost in enumerate(losses, start=10) for row in changed(num_lost, 40 - num_lost, label)]
    labels, baseline, final = np.array(samples).T
    uncorrected = [mcnemar_p_value(int(((labels == n) & (baseline == n) & (final != n)).sum()),
                                   int(((labels == n) & (baseline != n) & (final == n)).sum())) for n in np.unique(labels)]  # fmt: skip
    assert min(uncorrected) < 0.05
    assert regressed_classes(labels, baseline, final) == []


def test_only_classifiers_have_classes():
    scores, labels = np.ones(3), np.array([0, 1, 1])
    values = Evaluation({"mean_squared_error": 1.0}, scores, scores)
    assert class_changes(values, values) is None
    classes = Evaluation({"accuracy": 1.0}, scores, labels, labels)
    assert class_changes(classes, classes) == {"regressed": [], "confusions": []}
