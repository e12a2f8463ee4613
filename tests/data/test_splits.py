import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecompress.data.splits import balanced_selection, grouped_split, stratified_split

seeds = st.integers(0, 2**32 - 1)
fractions = st.floats(0.01, 0.99)
class_sizes = st.lists(st.integers(2, 60), min_size=1, max_size=8)


def labels_of(sizes, seed):
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))


def generator(seed):
    return np.random.default_rng(seed)


def assert_partition(rest, taken, number):
    assert np.array_equal(np.sort(np.concatenate([rest, taken])), np.arange(number))
    assert len(rest) > 0
    assert len(taken) > 0
    assert (np.diff(rest) > 0).all()
    assert (np.diff(taken) > 0).all()


@given(class_sizes, fractions, seeds)
def test_stratified_split_is_a_partition_with_proportional_classes(sizes, fraction, seed):
    labels = labels_of(sizes, seed)
    rest, taken = stratified_split(labels, fraction, generator(seed))
    assert_partition(rest, taken, len(labels))
    for side, share in ((taken, fraction), (rest, 1 - fraction)):
        counts = np.bincount(labels[side], minlength=len(sizes))
        assert (counts >= 1).all()
        assert (np.abs(counts - np.asarray(sizes) * share) <= 1).all()


@given(st.lists(st.integers(3, 60), min_size=1, max_size=8), fractions, st.integers(1, 2), seeds)
def test_stratified_split_leaves_samples_of_each_class_for_later_splits(sizes, fraction, num_left, seed):
    labels = labels_of(sizes, seed)
    rest, taken = stratified_split(labels, fraction, generator(seed), num_left=num_left)
    assert np.bincount(labels[rest]).min() >= num_left
    assert np.bincount(labels[taken]).min() >= 1


@given(st.lists(st.integers(20, 60), min_size=1, max_size=8), st.floats(0.1, 0.9), seeds)
def test_stratified_split_takes_the_rounded_fraction_of_all(sizes, fraction, seed):
    labels = labels_of(sizes, seed)
    assert len(stratified_split(labels, fraction, generator(seed))[1]) == round(len(labels) * fraction)


def test_stratified_split_by_hand():
    # round(18 / 4) = 4 (halves to even). Shares 2.5, 1.25, 0.75 of 10, 5, 3 samples: the largest remainder is rounded up.
    labels = np.repeat([0, 1, 2], [10, 5, 3])
    _, taken = stratified_split(labels, 0.25, generator(0))
    assert np.bincount(labels[taken]).tolist() == [2, 1, 1]


@given(class_sizes, fractions, seeds)
@settings(max_examples=20)
def test_the_same_seed_gives_the_same_split(sizes, fraction, seed):
    labels = labels_of(sizes, seed)
    first, second = (stratified_split(labels, fraction, generator(seed))[1] for _ in range(2))
    assert np.array_equal(first, second)


def test_another_seed_gives_another_split():
    labels = np.repeat([0, 1], 50)
    assert not np.array_equal(stratified_split(labels, 0.2, generator(0))[1], stratified_split(labels, 0.2, generator(1))[1])


@given(st.lists(st.integers(1, 20), min_size=2, max_size=30), st.integers(1, 5), fractions, seeds)
def test_groups_are_never_divided(sizes, num_classes, fraction, seed):
    groups = labels_of(sizes, seed)
    labels = generator(seed).integers(0, num_classes, len(groups))
    rest, taken = grouped_split(labels, groups, fraction, generator(seed))
    assert_partition(rest, taken, len(groups))
    assert not set(groups[rest]) & set(groups[taken])
    again = grouped_split(labels, groups, fraction, generator(seed))
    assert np.array_equal(again[0], rest)


@given(st.lists(st.integers(1, 400), min_size=3, max_size=30), st.integers(1, 5), fractions, st.integers(1, 2), seeds)
def test_groups_are_left_for_later_splits(sizes, num_classes, fraction, num_left, seed):
    groups = labels_of(sizes, seed)
    labels = generator(seed).integers(0, num_classes, len(groups))
    rest, taken = grouped_split(labels, groups, fraction, generator(seed), num_left=num_left)
    assert len(set(groups[rest])) >= num_left
    assert len(taken) > 0


@pytest.mark.parametrize("seed", range(5))
def test_where_every_group_is_too_large_the_smallest_is_taken(seed):
    rest, taken = grouped_split(np.zeros(1000, int), np.repeat([0, 1], [700, 300]), 0.1, generator(seed))
    assert (len(rest), len(taken)) == (700, 300)


@given(seeds, st.sampled_from([0.1, 0.2, 0.5]))
@settings(max_examples=25)
def test_many_groups_give_nearly_proportional_classes(seed, fraction):
    groups = generator(seed).integers(0, 100, 3000)
    labels = generator(seed).choice(4, size=3000, p=[0.4, 0.3, 0.2, 0.1])
    _, taken = grouped_split(labels, groups.astype(str), fraction, generator(seed))
    shares = np.bincount(labels[taken]) / np.bincount(labels)
    # A group holds about 30 samples, 1 % of all; the rarest class has 3 of them in it.
    np.testing.assert_allclose(shares, fraction, atol=0.03)


@given(class_sizes, st.integers(1, 200), seeds)
def test_selection_is_balanced_without_duplicates(sizes, number, seed):
    labels = labels_of(sizes, seed)
    chosen = balanced_selection(labels, number, generator(seed))
    assert len(chosen) == min(number, len(labels))
    assert (np.diff(chosen) > 0).all()
    counts = np.bincount(labels[chosen], minlength=len(sizes))
    left = counts < np.asarray(sizes)
    assert not left.any() or counts.max() - counts[left].min() <= 1
    assert np.array_equal(chosen, balanced_selection(labels, number, generator(seed)))


@given(class_sizes, st.integers(1, 200), st.integers(1, 30), seeds)
def test_selection_takes_identical_samples_once(sizes, number, num_distinct, seed):
    labels = labels_of(sizes, seed)
    contents = generator(seed).integers(0, num_distinct, len(labels))
    chosen = balanced_selection(labels, number, generator(seed), lambda position: int(contents[position]))
    assert len(set(contents[chosen])) == len(chosen)
    assert len(chosen) == min(number, len(set(contents)))


def test_selection_of_fewer_than_classes_is_not_always_the_first_classes():
    chosen = {tuple(balanced_selection(np.arange(10), 2, generator(seed))) for seed in range(20)}
    assert len(chosen) > 5


@pytest.mark.parametrize("fraction", [0.01, 0.99])
def test_two_groups_go_one_to_each_side(fraction):
    rest, taken = grouped_split(np.zeros(11, int), np.repeat([0, 1], [10, 1]), fraction, generator(0))
    assert_partition(rest, taken, 11)
