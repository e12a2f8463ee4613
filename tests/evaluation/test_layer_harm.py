"""Harm of a layer: its own error, carried to the output."""

import numpy as np
import pytest

from edgecompress.backend import keras
from edgecompress.device.runtime import TensorSpec
from edgecompress.evaluation.layer_harm import INPUT, kind_of_error, layer_harms
from edgecompress.evaluation.layer_walk import record
from edgecompress.export import convert
from edgecompress.progress import Progress
from edgecompress.recipe.schema import Export

SPEC = TensorSpec("t", 0, (1, 2), "int8", 0.1, 0)


@pytest.fixture(scope="module")
def samples(digits):
    return digits.validation.some(16)


def harms_of(model, samples, digits, folder):
    conversion = convert(model, Export(format="int8"), calibration=digits.calibration.arrays()[0], progress=Progress())
    (folder / "model.tflite").write_bytes(conversion.content)
    recording = record(folder / "model.tflite", samples, conversion.tensors)
    return {harm.name: harm for harm in layer_harms(model, recording, samples, conversion.tensors)}


def test_kinds_of_error_of_hand_worked_values():
    """Channel 0 is off by a constant 0.2, channel 1 by +-0.2: half of the power is shift."""
    expected = np.array([[0.0, 0.0], [0.0, 0.0]])
    error = np.array([[0.2, 0.2], [0.2, -0.2]])
    assert kind_of_error(expected, error, SPEC)[0] == pytest.approx(0.5)
    assert kind_of_error(expected, 0 * error, SPEC)[0] == 0


def test_values_outside_the_range_are_clipped_and_a_small_part_of_it_is_used():
    """Range -12.8 to 12.7."""
    values = np.array([[13.0, 12.74], [-12.0, 0.0]])
    assert kind_of_error(values, values, SPEC)[1] == 0.25  # 12.74 is within half a step
    uniform = np.linspace(-1, 1, 10_000).reshape(-1, 2)
    assert kind_of_error(uniform, uniform, SPEC)[2] == pytest.approx(2 * 0.998 / 25.5, rel=1e-3)
    assert kind_of_error(uniform, uniform, TensorSpec("t", 0, (1, 2), "float32", None, None))[1:] == (0.0, None)


def test_a_layer_that_nobody_listens_to_does_no_harm(digits, samples, tmp_path):
    """Both branches have the same error; the sum takes one of them times 1e-4."""
    keras.utils.set_random_seed(2)
    layers = keras.layers
    inputs = keras.Input((8, 8, 1))
    flat = layers.Flatten(name="flat")(inputs)
    loud = layers.Dense(6, activation="tanh", name="loud")(flat)
    quiet = layers.Dense(6, activation="tanh", name="quiet")(flat)
    last = layers.Dense(6, name="last", use_bias=False)
    model = keras.Model(inputs, last(layers.Concatenate(name="both")([loud, quiet])))
    last.set_weights([np.concatenate([np.eye(6), 1e-4 * np.eye(6)]).astype(np.float32)])
    harms = harms_of(model, samples, digits, tmp_path)
    assert harms["loud"].share > 1e4 * harms["quiet"].share
    assert sum(harm.share for harm in harms.values()) == pytest.approx(1)
    assert harms["loud"].output_snr_db < harms["quiet"].output_snr_db - 40


def test_shares_add_up_to_the_error_of_the_file(digits, samples, tmp_path, small_model):
    """Errors of 8 bits are small and independent: the sum of what each does alone is what all do together, to a factor of 2."""
    harms = harms_of(small_model, samples, digits, tmp_path)
    together = harms["logits"].parity.snr_from_input_db
    noises = [10 ** (-harm.output_snr_db / 10) for harm in harms.values()]
    assert -10 * np.log10(sum(noises)) == pytest.approx(together, abs=3)
    assert INPUT in harms
