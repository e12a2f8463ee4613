"""The proof that two models compute the same: what it lets through, and what it does not."""

import numpy as np
import pytest

from edgecompress.backend import keras
from edgecompress.errors import ModelError
from edgecompress.models.agreement import TOLERANCE, VALUE_RANGES, check_equal, random_inputs

LAYERS = keras.layers


def scaled(factor: float, offset: float = 0.0, activation: str | None = None) -> keras.Model:
    """Output 0 is `factor` times the input's sum, output 1 the same plus `offset`."""
    model = keras.Sequential([keras.Input((3,)), LAYERS.Dense(2, activation=activation)])
    model.set_weights([np.full((3, 2), factor, np.float32), np.array([0, offset], np.float32)])
    return model


def test_equal_models_differ_by_nothing():
    assert check_equal(scaled(2), scaled(2), "nothing") == 0.0


def test_difference_is_that_of_the_worst_sample_by_hand():
    old, new = scaled(1.0), scaled(1.0 + 2e-5)
    [inputs] = random_inputs(old)
    expected = max(
        np.abs(after - before).max() / max(1.0, np.abs(before).max())
        for before, after in zip(np.asarray(old(inputs), float), np.asarray(new(inputs), float), strict=True)
    )
    assert check_equal(old, new, "scaling") == pytest.approx(expected)
    assert 1e-6 < expected < TOLERANCE


@pytest.mark.parametrize("factor", [1e-6, 1.0, 1e6])
def test_tolerance_is_relative_to_the_largest_output(factor):
    check_equal(scaled(factor), scaled(factor * (1 + TOLERANCE / 2)), "scaling")
    with pytest.raises(ModelError, match=r"^scaling must keep the outputs to 0\.0001 of the largest\. Received: a difference of .* where"):
        check_equal(scaled(factor), scaled(factor * (1 + TOLERANCE * 2)), "scaling")


def test_small_sample_is_not_hidden_behind_a_large_one():
    """The sample of pixels has outputs a hundred times larger; an offset that is lost in them shows in the other sample."""
    with pytest.raises(ModelError, match="must keep the outputs"):
        check_equal(scaled(1.0), scaled(1.0, offset=5e-3), "moving")


def test_other_shapes_are_refused():
    other = keras.Sequential([keras.Input((3,)), LAYERS.Dense(3)])
    with pytest.raises(ModelError, match=r"must keep the outputs' shapes\. Received: \(2, 3\) instead of \(2, 2\)"):
        check_equal(scaled(1), other, "cutting")


def test_nan_equals_nan_and_nothing_else():
    broken = scaled(float("nan"))
    assert check_equal(broken, broken, "nothing") == 0.0
    for old, new in ((broken, scaled(1)), (scaled(1), broken)):
        with pytest.raises(ModelError, match="must keep the outputs"):
            check_equal(old, new, "breaking")


def test_inputs_cover_normalized_values_and_pixels_and_repeat():
    model = keras.Sequential([keras.Input((40,)), LAYERS.Dense(1)])
    [inputs] = random_inputs(model)
    assert inputs.shape == (len(VALUE_RANGES), 40)
    assert inputs.dtype == np.float32
    assert inputs[0].min() < -0.5 < 0.5 < inputs[0].max() <= 1
    assert inputs[1].max() > 200
    assert np.array_equal(inputs, random_inputs(model)[0])


def test_words_stay_inside_the_smallest_embedding():
    inputs = keras.Input((50,))
    features = [LAYERS.Embedding(size, 2)(inputs) for size in (7, 300)]
    [words] = random_inputs(keras.Model(inputs, LAYERS.Add()(features)))
    assert set(np.unique(words)) == set(range(7))


def test_unknown_lengths_and_fixed_batches_get_a_size():
    assert [array.shape for array in random_inputs(keras.Sequential([keras.Input((None, None, 3)), LAYERS.ReLU()]))] == [(2, 64, 64, 3)]
    assert [array.shape for array in random_inputs(keras.Sequential([keras.Input((4,), batch_size=5), LAYERS.ReLU()]))] == [(5, 4)]


def test_text_inputs_are_refused():
    inputs = keras.Input((2,), dtype="string", name="text")
    with pytest.raises(ModelError, match=r"inputs must be numbers\. Received: 'text'"):
        random_inputs(keras.Model(inputs, inputs))
