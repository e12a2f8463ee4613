"""Outputs of Keras models, streamed."""

import numpy as np
import pytest

from edgecompress.backend import keras
from edgecompress.errors import ModelError
from edgecompress.evaluation import evaluate_keras
from edgecompress.evaluation.keras_outputs import keras_outputs
from edgecompress.progress import Progress
from edgecompress.recipe.schema import Task


@pytest.mark.parametrize("batch_size", [1, 7, 64, 1000])
def test_batches_give_what_the_whole_split_gives(small_model, digits, batch_size):
    inputs, labels = digits.validation.arrays()
    outputs, targets = zip(*keras_outputs(small_model, digits.validation, batch_size=batch_size), strict=True)
    np.testing.assert_array_equal(np.concatenate(targets), labels)
    expected = small_model(inputs, training=False).numpy()
    np.testing.assert_allclose(np.concatenate(outputs), expected, atol=1e-5)  # sums in another order for other batch sizes


def test_dropout_is_off_and_the_model_is_not_changed(small_model, digits):
    before = [variable.numpy() for variable in small_model.variables]
    first, second = (evaluate_keras(small_model, digits.test, Task(), batch_size=64, progress=Progress()) for _ in range(2))
    assert first.metrics == second.metrics
    for old, variable in zip(before, small_model.variables, strict=True):
        np.testing.assert_array_equal(old, variable.numpy())


def test_autoencoder_is_measured_against_its_inputs(make_split):
    inputs = np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32)
    model = keras.Sequential([keras.Input((5,)), keras.layers.Rescaling(2.0)])
    task = Task(loss="mean_squared_error", metrics=["mean_squared_error"], target="input")
    found = evaluate_keras(model, make_split(inputs, target="input"), task, batch_size=8, progress=Progress())
    assert found.metrics["mean_squared_error"] == pytest.approx((inputs**2).mean(), rel=1e-5)


def test_samples_must_have_the_shape_of_the_input(make_split, small_model):
    split = make_split(np.zeros((4, 9, 8, 1), np.float32))
    with pytest.raises(ModelError, match=r"samples must have the shape of the model's input, \[8, 8, 1\]\. Received: \[9, 8, 1\]"):
        evaluate_keras(small_model, split, Task(), batch_size=4, progress=Progress())


def test_several_inputs_need_samples_with_names(make_split):
    first, second = keras.Input((3,), name="first"), keras.Input((3,), name="second")
    model = keras.Model([first, second], keras.layers.Add()([first, second]))
    with pytest.raises(ModelError, match=r"must have one input; .*data\.inputs must name the array of each\. Received: first, second\."):
        evaluate_keras(model, make_split(np.zeros((4, 3), np.float32)), Task(), batch_size=4, progress=Progress())


def test_outputs_that_are_not_finite_name_the_model(make_split):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: 1 / x)], name="inverse")
    inputs = np.array([[1, 2], [0, 1], [3, 0], [1, 1]], np.float32)
    with pytest.raises(ModelError, match=r"inverse: outputs must be finite\. Received: NaN or infinity for 2 of 4 samples"):
        evaluate_keras(model, make_split(inputs), Task(), batch_size=3, progress=Progress())
