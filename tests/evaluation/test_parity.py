"""Layer by layer: healthy files agree, and of a file with one wrong layer that layer is named."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecompress.backend import keras
from edgecompress.evaluation.parity import compare_layers, first_departure, snr_db, weakest
from edgecompress.evaluation.parity_check import check_parity, compare_outputs
from edgecompress.evaluation.predict import Evaluation
from edgecompress.export import convert
from edgecompress.progress import Progress
from edgecompress.recipe.schema import Export, Task

layers = keras.layers


def test_signal_to_noise_of_a_hand_worked_case():
    """Powers (9 + 16) / 2 and (1 + 1) / 2."""
    assert snr_db(np.array([3.0, 4.0]), np.array([1.0, -1.0])) == pytest.approx(10 * math.log10(12.5))
    assert snr_db(np.ones(2), np.zeros(2)) == math.inf
    assert snr_db(np.zeros(2), np.ones(2)) == -math.inf


@given(st.floats(1e-3, 1e3), st.integers(1, 20))
def test_signal_to_noise_does_not_depend_on_the_unit(scale, size):
    signal, error = np.arange(1.0, size + 1), np.full(size, 0.5)
    assert snr_db(scale * signal, scale * error) == pytest.approx(snr_db(signal, error))


def network():
    """Folded normalizations, a branch, a gate whose two steps are one operator, and a scale that the next layer takes in."""
    keras.utils.set_random_seed(5)
    inputs = keras.Input((8, 8, 1), name="image")
    x = layers.Normalization(mean=[0.3], variance=[0.1], name="scale")(inputs)
    x = layers.Conv2D(8, 3, padding="same", use_bias=False, name="stem")(x)
    x = layers.ReLU(name="relu")(layers.BatchNormalization(name="norm")(x))
    y = layers.Conv2D(8, 3, padding="same", activation="swish", name="side")(x)
    x = layers.Add(name="add")([x, y])
    x = layers.DepthwiseConv2D(3, strides=2, activation="relu", name="depthwise")(x)
    x = layers.Dense(12, activation="relu", name="hidden")(layers.Flatten(name="flat")(x))
    return keras.Model(inputs, layers.Dense(10, activation="softmax", name="classes")(x))


@pytest.fixture(scope="module")
def samples(digits):
    return digits.validation.arrays()[0][:8]


@pytest.fixture
def converted(digits, probe_in_this_process):
    """converted(model, format): what the converter made of it."""
    return lambda model, format: convert(model, Export(format=format), calibration=digits.calibration.arrays()[0], progress=Progress())


@pytest.mark.parametrize("format", ["float32", "int8"])
def test_healthy_file_departs_nowhere(format, converted, samples, tmp_path):
    model = network()
    conversion = converted(model, format)
    (tmp_path / "model.tflite").write_bytes(conversion.content)
    parities = compare_layers(model, tmp_path / "model.tflite", samples, conversion.tensors)
    assert first_departure(parities) is None
    assert {name for parity in parities for name in parity.layers} >= {"stem", "side", "add", "depthwise", "hidden", "classes"}
    # Rounding alone: of float32, or of 8 bits in weights and outputs.
    assert weakest(parities).snr_db > {"float32": 100, "int8": 20}[format]
    assert all(parity.cosine > 0.99 for parity in parities)
    assert all((parity.error_steps is None) == (format == "float32") for parity in parities)


@pytest.mark.parametrize("format", ["float32", "int8"])
@pytest.mark.parametrize("layer", ["stem", "side", "depthwise", "hidden"])
def test_layer_that_was_broken_on_purpose_is_the_one_that_is_named(layer, format, converted, samples, tmp_path):
    """The Keras layer's kernel is turned round after the conversion: from then on the file is wrong in that layer alone."""
    model = network()
    conversion = converted(model, format)
    (tmp_path / "model.tflite").write_bytes(conversion.content)
    kernel, *rest = model.get_layer(layer).get_weights()
    model.get_layer(layer).set_weights([np.flip(kernel), *rest])
    parities = compare_layers(model, tmp_path / "model.tflite", samples, conversion.tensors)
    departing = [parity for parity in parities if parity.departs]
    assert len(departing) == 1
    assert layer in first_departure(parities).layers
    assert layer in weakest(parities).layers
    after = parities[parities.index(departing[0]) + 1 :]
    assert all(parity.snr_db > 20 for parity in after)  # fed with what the file gave, they are right
    assert any(parity.snr_from_input_db < parity.snr_db - 6 for parity in after)  # which a comparison from the input on would not see


def evaluation(scores):
    scores = np.asarray(scores, float)
    return Evaluation({"accuracy": float(scores.mean())}, scores, scores.astype(int))


def test_few_other_answers_are_noise_and_many_are_not():
    right = np.ones(1000)
    few, many = right.copy(), right.copy()
    few[:3], many[:30] = 0, 0
    assert not compare_outputs(evaluation(right), evaluation(few), Task(), seed=0)["differs"]
    found = compare_outputs(evaluation(right), evaluation(many), Task(), seed=0)
    assert found["differs"]
    assert found["difference"] == pytest.approx(0.03)


def test_significant_difference_that_is_too_small_to_matter_is_none():
    """Twenty lost in 10,000: p < 0.001, and 0.2 points."""
    right, lost = np.ones(10_000), np.ones(10_000)
    lost[:20] = 0
    found = compare_outputs(evaluation(right), evaluation(lost), Task(), seed=0)
    assert found["p_value"] < 0.001
    assert not found["differs"]


def test_models_that_are_right_equally_often_on_other_samples_differ():
    first, second = np.ones(1000), np.ones(1000)
    first[:50], second[50:100] = 0, 0
    found = compare_outputs(evaluation(first), evaluation(second), Task(), seed=0)
    assert found["difference"] == 0
    assert found["agreement"] == 0.9
    assert found["differs"]


def test_relative_change_of_an_error_counts():
    task = Task(loss="mean_squared_error", metrics=["mean_squared_error"], target="input")
    errors = np.linspace(1, 2, 500)

    def of(values):
        return Evaluation({"mean_squared_error": float(values.mean())}, values, values)

    assert not compare_outputs(of(errors), of(1.001 * errors), task, seed=0)["differs"]
    assert compare_outputs(of(errors), of(1.1 * errors), task, seed=0)["differs"]


def outputs(differs):
    return {
        "metric": "accuracy", "keras": 0.9, "tflite": 0.5, "difference": 0.4, "p_value": 0.001, "p_value_of": "McNemar", "agreement": 0.5,
        "differs": differs,
    }  # fmt: skip


def test_warning_names_the_layer_that_departs(converted, samples):
    model = network()
    conversion = converted(model, "float32")
    model.get_layer("depthwise").set_weights([-weight for weight in model.get_layer("depthwise").get_weights()])
    section, (warning,) = check_parity(model, conversion.content, outputs(True), samples, conversion.tensors)
    assert section["first_departure"] == "depthwise"
    assert section["num_samples"] == 8
    assert "the first layer that departs is depthwise" in warning


def test_layers_are_not_looked_at_where_outputs_agree(samples):
    assert check_parity(network(), b"not even a file", outputs(False), samples, {}) == ({**outputs(False), "layers": []}, [])


def test_file_that_does_not_run_is_a_warning(samples):
    section, (warning,) = check_parity(network(), b"\0" * 64, outputs(True), samples, {})
    assert section["layers"] == []
    assert "its layers cannot be compared" in warning
