"""What is wrong with calibration samples is said, and good ones pass."""

import numpy as np
import pytest

from edgecompress.backend import keras
from edgecompress.calibration.checks import check_calibration_data, check_range, check_samples, check_statistics
from edgecompress.cli import main


@pytest.fixture(scope="module")
def trained(digits):
    """A small network with a BatchNormalization that has seen the digits."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(8, 3, name="conv")(inputs)
    x = keras.layers.BatchNormalization(momentum=0.5, name="norm")(x)
    model = keras.Model(inputs, keras.layers.Dense(10)(keras.layers.Flatten()(x)))
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(*digits.train.arrays(), epochs=3, verbose=0)
    return model


def test_samples_of_a_recipe_are_good(digits, trained):
    assert check_calibration_data(digits) == []
    assert check_statistics(trained, digits.calibration.arrays()[0]) == []


@pytest.mark.parametrize(("factor", "words"), [(1 / 255, "times the variance"), (255, "times the variance")])
def test_samples_that_are_scaled_twice_or_never_are_found(digits, trained, factor, words):
    (found,) = check_statistics(trained, factor * digits.calibration.arrays()[0])
    assert "reach norm" in found
    assert words in found


def test_models_that_have_seen_nothing_say_nothing(digits):
    inputs = keras.Input((8, 8, 1))
    fresh = keras.Model(inputs, keras.layers.BatchNormalization()(inputs))
    without = keras.Model(inputs, keras.layers.ReLU()(inputs))
    assert check_statistics(fresh, 255 * digits.calibration.arrays()[0]) == []
    assert check_statistics(without, 255 * digits.calibration.arrays()[0]) == []


def test_few_copied_and_blank_samples_and_missing_classes():
    samples = np.random.default_rng(0).random((6, 4, 4, 1)).astype(np.float32)
    samples[1] = samples[0]
    samples[2] = 0.5
    found = check_samples(samples, labels=np.array([0, 0, 1, 1, 3, 3]), class_names=["cat", "dog", "owl", "bat"])
    assert found == [
        "calibration has 6 samples; ranges want 100 or more",
        "1 of 6 calibration samples are copies of others, which add nothing to the ranges",
        "1 of 6 calibration samples have the same value everywhere",
        "calibration has no sample of 1 of 4 classes: owl",
    ]


def test_copies_are_those_of_all_inputs_together():
    one = np.zeros((200, 2), np.float32)
    other = np.arange(400, dtype=np.float32).reshape(200, 2)
    assert check_samples({"left": one, "right": other}) == []


def test_ranges_that_differ():
    seen = np.linspace(0, 1, 1000, dtype=np.float32)
    assert check_range(seen / 1.5, seen) == []
    (found,) = check_range(seen / 255, seen)
    assert "not scaled alike" in found


def test_constant_samples_are_refused_before_anything_is_trained(tmp_path, capsys):
    np.savez(tmp_path / "data.npz", x=np.full((60, 4, 4, 1), 0.25, np.float32), y=np.arange(60) % 3)
    (tmp_path / "recipe.yaml").write_text(
        f"name: constant\ndata: {{source: npz, path: {tmp_path / 'data.npz'}}}\n"
        "model: {source: builder, name: mlp, train: {epochs: 1}}\nexport: {format: int8}\n"
    )
    assert main(["run", str(tmp_path / "recipe.yaml"), "--out", str(tmp_path / "run"), "--quiet"]) == 2
    error = capsys.readouterr().err
    assert "calibration samples must vary. Received:" in error
    assert "0.25 everywhere" in error
    assert not (tmp_path / "run" / "stages" / "00-baseline").exists()
