"""Saving: bit-equal after loading, whole or not at all."""

import errno
import os

import h5py
import numpy as np
import pytest

from edgecompress.backend import keras, model_optimization, tf
from edgecompress.errors import StorageError
from edgecompress.models import build_model, load_model, save_model
from edgecompress.recipe.schema import BuilderModel

INPUTS = np.random.default_rng(0).random((5, 8, 8, 1), np.float32)


def small_cnn() -> keras.Model:
    """A network whose BatchNormalization statistics and biases are not the initial ones."""
    model = build_model(BuilderModel(source="builder", name="cnn", width=4), (8, 8, 1), 3, seed=0)
    random = np.random.default_rng(1)
    model.set_weights([random.uniform(0.5, 1.5, weight.shape) for weight in model.get_weights()])
    return model


def assert_same_bits(model: keras.Model, other: keras.Model) -> None:
    assert np.array_equal(model(INPUTS), other(INPUTS))
    assert [layer.name for layer in model.layers] == [layer.name for layer in other.layers]
    assert all(np.array_equal(one, two) for one, two in zip(model.get_weights(), other.get_weights(), strict=True))


def test_model_comes_back_with_the_same_bits(tmp_path):
    model = small_cnn()
    save_model(model, tmp_path / "model.h5")
    assert_same_bits(model, load_model(tmp_path / "model.h5"))
    assert [path.name for path in tmp_path.iterdir()] == ["model.h5"]


def test_quantize_aware_model_comes_back_with_the_same_bits_and_converts(tmp_path):
    plain = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(2, 3), keras.layers.BatchNormalization(), keras.layers.ReLU()])
    model = model_optimization().quantization.keras.quantize_model(plain)
    model.compile("sgd", "mse", run_eagerly=True)
    model.train_on_batch(INPUTS, np.zeros((5, 6, 6, 2)))  # moves the ranges of the quantizers
    save_model(model, tmp_path / "model.h5")
    loaded = load_model(tmp_path / "model.h5")
    assert_same_bits(model, loaded)
    converter = tf.lite.TFLiteConverter.from_keras_model(loaded)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    assert converter.convert()


def test_model_in_pruning_wrappers_comes_back_without_them_with_the_same_bits(tmp_path):
    model = small_cnn()
    save_model(model_optimization().sparsity.keras.prune_low_magnitude(model), tmp_path / "model.h5")
    assert_same_bits(model, load_model(tmp_path / "model.h5"))


def test_optimizer_is_left_out_and_the_model_is_not_changed(tmp_path):
    model = small_cnn()
    model.compile("adam", "mse", run_eagerly=True)
    model.train_on_batch(INPUTS, np.zeros((5, 3)))
    before = model.get_weights()
    save_model(model, tmp_path / "model.h5")
    with h5py.File(tmp_path / "model.h5") as file:
        assert list(file) == ["model_weights"]
    assert model.optimizer is not None
    assert all(np.array_equal(old, new) for old, new in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize(
    ("function", "number", "reason"),
    [("fsync", errno.ENOSPC, "the disk is full"), ("replace", errno.EROFS, "the file system is read-only")],
)
def test_full_or_read_only_disk_is_a_storage_error_and_leaves_the_old_file(tmp_path, monkeypatch, function, number, reason):
    path = tmp_path / "model.h5"
    path.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, function, fail)
    with pytest.raises(StorageError, match=rf"model\.h5: cannot be written: {reason}"):
        save_model(small_cnn(), path)
    assert [file.name for file in tmp_path.iterdir()] == ["model.h5"]
    assert path.read_bytes() == b"old"
