"""Samples without labels: what `limit` leaves out, or a source of their own."""

import numpy as np
import pytest

from edgecompress.backend import tf
from edgecompress.data import load_data
from edgecompress.errors import DataError
from edgecompress.recipe.schema import Data, Preprocess, Task, Unlabelled

DIGITS = {"source": "digits", "preprocess": Preprocess(scale=1 / 16)}


def load(**settings):
    return load_data(Data(**{**DIGITS, **settings}), Task(), seed=0)


def test_rest_is_what_limit_leaves_out_of_train():
    everything, some = load(), load(limit=100, unlabelled=Unlabelled(source="rest"))
    assert len(some.unlabelled) == len(everything.train) - 100
    parts = np.concatenate([some.train.arrays()[0], some.unlabelled.arrays()[0]])
    assert {sample.tobytes() for sample in parts} == {sample.tobytes() for sample in everything.train.arrays()[0]}
    assert everything.unlabelled is None


def test_file_without_labels_teaches_too(tmp_path):
    x = np.random.default_rng(0).integers(0, 16, (30, 8, 8)).astype(np.uint8)
    np.savez(tmp_path / "more.npz", x=x)
    data = load(unlabelled=Unlabelled(source="npz", path=str(tmp_path / "more.npz")))
    np.testing.assert_allclose(data.unlabelled.arrays()[0], x[..., None] / 16, atol=1e-6)


def test_joined_samples_keep_order_labels_and_say_which_have_one(tmp_path):
    x = np.arange(5 * 64).reshape(5, 8, 8).astype(np.float32)
    np.savez(tmp_path / "more.npz", x=x)
    data = load(limit=20, unlabelled=Unlabelled(source="npz", path=str(tmp_path / "more.npz")), preprocess=Preprocess())
    joined = data.train.with_unlabelled(data.unlabelled)
    assert len(joined) == 25
    order = np.array([24, 3, 20, 0, 22])
    ((inputs, beside), labels) = next(iter(joined.dataset(5, order=order)))
    np.testing.assert_array_equal(inputs[::2, ..., 0], x[[4, 0, 2]])
    np.testing.assert_array_equal(inputs[1::2], data.train.arrays()[0][[3, 0]])
    np.testing.assert_array_equal(beside["labelled"], [False, True, False, True, False])
    np.testing.assert_array_equal(labels, [0, data.train.labels[3], 0, data.train.labels[0], 0])


def test_epochs_of_joined_samples_see_each_once():
    data = load(limit=50, unlabelled=Unlabelled(source="rest"))
    joined = data.train.with_unlabelled(data.unlabelled)
    masks = [beside["labelled"] for (_, beside), _ in joined.epochs(64, seed=1, first_epoch=0, augment=False)]
    assert int(tf.reduce_sum(tf.cast(tf.concat(masks, 0), tf.int32))) == 50
    assert sum(len(mask) for mask in masks) == len(joined)


def test_fingerprint_tells_samples_without_labels_apart(tmp_path):
    prints = {load(limit=100).fingerprint, load(limit=100, unlabelled=Unlabelled(source="rest")).fingerprint}
    for number in range(2):
        path = tmp_path / f"{number}.npz"
        np.savez(path, x=np.full((3, 8, 8), number, np.uint8))
        prints.add(load(limit=100, unlabelled=Unlabelled(source="npz", path=str(path))).fingerprint)
    assert len(prints) == 4


def test_samples_of_another_shape_are_refused_with_both(tmp_path):
    np.savez(tmp_path / "more.npz", x=np.zeros((3, 9, 8), np.uint8))
    with pytest.raises(DataError, match=r"data.unlabelled: samples must have the shape \[8, 8, 1\] as in train. Received: \[9, 8, 1\]"):
        load(unlabelled=Unlabelled(source="npz", path=str(tmp_path / "more.npz")))


def test_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone.npz: data.path must be an .npz file"):
        load(unlabelled=Unlabelled(source="npz", path=str(tmp_path / "gone.npz")))
