"""Ranges of activations in the file are those that were chosen."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from edgecompress.backend import keras
from edgecompress.device.runtime import TfliteModel
from edgecompress.errors import ConversionError
from edgecompress.evaluation.parity import snr_db
from edgecompress.export import convert, ranges
from edgecompress.export.histogram import Histogram
from edgecompress.export.set_ranges import measure
from edgecompress.progress import Progress
from edgecompress.recipe.schema import Export
from edgecompress.tflite import parse
from edgecompress.tflite.requantize.scales import Scale


def histogram_of(*parts):
    histogram = Histogram()
    for part in parts:
        histogram.add(np.asarray(part, np.float64))
    return histogram


@given(st.lists(st.lists(st.floats(-1e4, 1e4, width=32), max_size=20), min_size=1, max_size=6))
@settings(deadline=None)
def test_histogram_keeps_counts_sums_and_ends_however_the_values_come(parts):
    everything = np.concatenate([np.asarray(part, np.float64) for part in parts])
    histogram = histogram_of(*parts)
    values, counts = histogram.points()
    assert counts.sum() == len(everything)
    # A sum of floats in another order.
    assert values @ counts == pytest.approx(everything.sum(), abs=1e-6 * max(1.0, np.abs(everything).sum()))
    if len(everything):
        assert (histogram.low, histogram.high) == (everything.min(), everything.max())


def test_percentile_is_that_of_numpy():
    values = np.random.default_rng(0).normal(size=20_000)
    low, high = ranges.percentile(histogram_of(*np.split(values, 10)), 99.0)
    np.testing.assert_allclose((low, high), np.percentile(values, [1.0, 99.0]), atol=0.005)


def test_percentile_does_not_depend_on_blank_samples_at_the_start():
    values = np.random.default_rng(0).normal(size=2_000)
    blank = np.zeros(20)
    low, high = ranges.percentile(histogram_of(blank, blank, blank, values), 99.0)
    np.testing.assert_allclose((low, high), ranges.percentile(histogram_of(values, blank, blank, blank), 99.0), atol=0.01)
    assert low < -2


def test_state_of_a_network_is_not_carried_from_sample_to_sample():
    model = keras.Sequential([keras.Input((5, 3)), keras.layers.LSTM(4), keras.layers.Dense(2)])
    samples = np.random.default_rng(0).normal(size=(8, 5, 3)).astype(np.float32)
    content = convert(model, Export(format="int8"), calibration=samples, progress=Progress()).content
    (output,) = parse(content).subgraphs[0].operators[-1].outputs  # of the Dense
    once, often = (measure(content, np.repeat(samples[:1], number, axis=0), [output])[output] for number in (1, 20))
    assert (once.low, once.high) == (often.low, often.high)


@pytest.mark.parametrize("seed", [0, 1])
def test_mse_is_not_worse_than_any_limit_of_a_fine_search(seed):
    values = np.abs(np.random.default_rng(seed).standard_t(3, size=5_000))

    def error(high):
        scale = Scale.of_range(0.0, high)
        return ((np.clip(np.round(values / scale.scale), 0, 255) * scale.scale - values) ** 2).mean()

    low, high = ranges.mse(histogram_of(values))
    assert low == 0
    # The histogram's bins are a sixteenth of a step or narrower.
    assert error(high) <= 1.01 * min(error(values.max() * shrink) for shrink in np.linspace(0.05, 1, 400) if shrink >= 0.2)


def test_kl_clips_one_outlier_and_keeps_an_even_distribution():
    even = np.random.default_rng(0).uniform(0, 1, size=200_000)
    assert ranges.kl(histogram_of(even))[1] > 0.97
    assert ranges.kl(histogram_of(np.abs(np.random.default_rng(0).normal(size=200_000)), [30.0]))[1] < 10


def test_constant_activation_has_a_range():
    for choose in (ranges.min_max, ranges.mse, ranges.kl):
        low, high = choose(histogram_of(np.zeros(5)))
        assert Scale.of_range(low, high).scale > 0


def ranges_of(conversion, layers):
    tensors = parse(conversion.content).subgraphs[0].tensors
    found = [tensors[conversion.tensors[layer]].quantization for layer in layers]
    return [Scale(float(each.scales[0]), int(each.zero_points[0])).range for each in found]


@pytest.mark.parametrize("method", ["percentile", "mse", "kl"])
@pytest.mark.parametrize("io", ["int8", "uint8", "float32"])
def test_ranges_in_the_file_are_those_that_were_chosen(trained, calibration, convert_as, method, io):
    layers = ("relu1", "relu2", "hidden")
    plain, conversion = (convert_as(trained, format="int8", io=io, ranges=each) for each in ("min_max", method))
    choose = {"percentile": lambda found: ranges.percentile(found, Export().percentile)}.get(method, getattr(ranges, method))
    for layer, received in zip(layers, ranges_of(conversion, layers), strict=True):
        index = plain.tensors[layer]
        expected = Scale.of_range(*choose(measure(plain.content, calibration, [index])[index])).range
        np.testing.assert_allclose(received, expected, rtol=1e-6)


def test_percentile_in_the_file_is_that_of_the_layers_outputs(trained, calibration, convert_as):
    conversion = convert_as(trained, format="int8", ranges="percentile", percentile=99.0)
    for layer, received in zip(("relu1", "relu2"), ranges_of(conversion, ("relu1", "relu2")), strict=True):
        values = keras.Model(trained.inputs, trained.get_layer(layer).output)(calibration).numpy()
        # The file's kernels are rounded ones.
        np.testing.assert_allclose(received, (0.0, np.percentile(values, 99.0)), atol=0.02 * values.max())


def test_narrower_ranges_help_a_network_with_an_outlier(digit_arrays, calibration, trained, convert_as):
    inputs = digit_arrays[2]
    samples = calibration.copy()
    samples[0] *= 8  # one sample out of 50 that is nothing like the others
    expected = trained.predict(inputs, verbose=0)
    plain, chosen = (
        TfliteModel(convert_as(trained, samples=samples, format="int8", ranges=method).content).predict(inputs)
        for method in ("min_max", "percentile")
    )
    assert snr_db(expected, expected - chosen) > snr_db(expected, expected - plain)


@pytest.mark.parametrize("method", ["percentile", "kl"])
def test_unit_without_weights_keeps_its_bias_when_ranges_shrink(convert_as, method):
    """The converter stores its bias as 2^30 steps; three times narrower, they would not fit into an int32."""
    generator, inputs = np.random.default_rng(0), keras.Input((8,))
    model = keras.Model(inputs, keras.layers.Dense(4)(keras.layers.Dense(64, activation="relu")(inputs)))
    first, second = (generator.normal(size=shape).astype(np.float32) * scale for shape, scale in (((8, 64), 0.2), ((64, 4), 0.1)))
    first[:, 0], first[0, 0], second[0], second[:, 1] = 0, 6, 0, 0
    model.set_weights([first, np.zeros(64), second, np.float32([0.3, 0.3, 0.3, 0.4])])
    samples = generator.uniform(-1, 1, (200, 8)).astype(np.float32)
    samples[1:, 0] *= 0.1  # the one large activation, of the first sample, is clipped
    samples[0, 0] = 1
    content = convert_as(model, samples=samples, format="int8", io="float32", ranges=method).content
    for family in ("xnnpack", "builtin"):
        received = TfliteModel(content, kernels=family).predict(samples)[:, 1]
        np.testing.assert_allclose(received, 0.3, atol=0.02)  # a step of the output


def test_kernels_per_tensor_have_one_scale(trained, convert_as):
    file = parse(convert_as(trained, format="int8", kernels="per_tensor").content)
    constants = [tensor for tensor in file.subgraphs[0].tensors if file.has_data(tensor) and tensor.dtype == "int8"]
    assert constants
    assert all(tensor.quantization.scales.size == 1 for tensor in constants)


@pytest.mark.parametrize("option", [{"ranges": "mse"}, {"kernels": "per_tensor"}])
def test_quantize_aware_models_keep_what_their_training_settled(quantize_aware, convert_as, option):
    with pytest.raises(ConversionError, match="trained so"):
        convert_as(quantize_aware, format="int8", **option)


@pytest.mark.parametrize("option", [{"ranges": "mse"}, {"kernels": "per_tensor"}])
def test_other_formats_take_neither(option):
    with pytest.raises(ValidationError, match="others need int8"):
        Export(format="dynamic", **option)
