"""Equalizing changes no output, corrected biases give the file the right means, and the arithmetic behind both."""

import numpy as np
import pytest

from edgecompress.backend import keras, tf
from edgecompress.export import convert
from edgecompress.models import load_model
from edgecompress.models.copying import copy_model
from edgecompress.progress import Progress
from edgecompress.recipe.schema import Export
from edgecompress.recipe.stages import CorrectBias, Equalize
from edgecompress.techniques.post_training import correct_bias, equalize
from edgecompress.techniques.post_training.bias_correction import clipped_normal_mean, mean_shift, rounded
from edgecompress.techniques.post_training.equalization import balancing_factors, below_cap, smoothing_factors, through
from edgecompress.techniques.post_training.folding import fold_normalization
from edgecompress.techniques.post_training.successions import find_successions
from edgecompress.tflite import KerasKernel, find_kernels, parse

layers = keras.layers


def network(activation, padding="same", seed=0):
    """Convolution, depthwise, pointwise, pooling, Dense on 8 x 8 x 1, with random weights and statistics."""
    inputs = x = keras.Input((8, 8, 1))
    for name, layer in (("conv", layers.Conv2D(6, 3)), ("dw", layers.DepthwiseConv2D(3, padding=padding)), ("pw", layers.Conv2D(5, 1))):
        layer._name = name
        x = layers.ReLU(6.0 if activation == "relu6" else None, name=f"{name}_relu")(layers.BatchNormalization(name=f"{name}_bn")(layer(x)))
    x = layers.Flatten()(layers.MaxPooling2D(2)(x))
    model = keras.Model(inputs, layers.Dense(4, name="logits")(x))
    generator = np.random.default_rng(seed)
    model.set_weights(
        [np.abs(generator.normal(size=w.shape)) + 0.1 if "variance" in w.name else generator.normal(size=w.shape) for w in model.weights]
    )
    return model


def inputs_of(digits):
    return digits.calibration.arrays()[0]


def assert_same(one, other, inputs):
    expected = one(inputs).numpy()
    # Products of weights in another order: 1e-5 of the largest output.
    np.testing.assert_allclose(other(inputs), expected, atol=1e-5 * np.abs(expected).max())


def test_balancing_makes_both_ranges_the_geometric_mean():
    given, read = np.array([8.0, 0.5, 0.0]), np.array([2.0, 2.0, 1.0])
    factors = balancing_factors(given, read)
    np.testing.assert_allclose(factors, [2.0, 0.5, 1.0])
    np.testing.assert_allclose((given / factors)[:2], (read * factors)[:2])


def test_full_smoothing_gives_every_channel_the_widest_range():
    activation = np.array([4.0, 1.0, 0.25, 0.0])
    factors = smoothing_factors(activation, np.array([3.0, 1.0, 2.0, 1.0]), 1.0)
    np.testing.assert_allclose(activation / factors, [4, 4, 4, 0])


def test_half_smoothing_keeps_the_widest_range():
    activation, read = np.array([4.0, 1.0, 0.25]), np.array([3.0, 1.0, 2.0])
    assert (activation / smoothing_factors(activation, read, 0.5)).max() == pytest.approx(4)


def test_factors_below_a_cap_let_nothing_reach_it_anew():
    largest = np.array([6.0, 3.0, 0.6])
    factors = below_cap(np.array([0.1, 0.1, 0.2]), largest, 6.0)
    assert factors[0] == 1
    assert ((largest / factors)[1:] < 6).all()


def test_rounding_by_hand():
    kernel = np.array([[127.0, 2.54], [1.4, -0.03]])
    np.testing.assert_allclose(rounded(kernel, depthwise=False), [[127, 2.54], [1, -0.04]])


@pytest.mark.parametrize("depthwise", [True, False])
def test_through_is_what_a_constant_input_gives(depthwise):
    kernel, values = np.random.default_rng(0).normal(size=(3, 2, 4, 5)).astype(np.float32), np.arange(4.0)
    data = np.tile(values.astype(np.float32), (1, 3, 2, 1))
    run = tf.nn.depthwise_conv2d if depthwise else tf.nn.conv2d
    expected = run(data, kernel, [1, 1, 1, 1], "VALID").numpy().ravel()
    np.testing.assert_allclose(through(kernel, values, depthwise=depthwise), expected, atol=1e-4)
    np.testing.assert_allclose(mean_shift(0 * kernel, kernel, values, depthwise=depthwise), expected, atol=1e-4)


@pytest.mark.parametrize(("kind", "low", "high"), [("relu", 0, np.inf), ("relu6", 0, 6), ("linear", -np.inf, np.inf)])
def test_mean_of_a_clipped_normal_is_that_of_samples(kind, low, high):
    mean, deviation = np.array([-1.0, 0.5, 5.0, 2.0]), np.array([1.0, 2.0, 3.0, 0.0])
    samples = np.random.default_rng(0).normal(size=(400_000, 4)) * deviation + mean
    # Standard error of the mean of 400,000 values with deviation 3: 0.005.
    np.testing.assert_allclose(clipped_normal_mean(mean, deviation, kind), np.clip(samples, low, high).mean(axis=0), atol=0.02)


@pytest.mark.parametrize("kernels", ["per_channel", "per_tensor"])
@pytest.mark.parametrize(("activation", "padding"), [("relu", "same"), ("relu", "valid"), ("relu6", "same")])
def test_equalizing_changes_no_output_on_the_samples(make_context, digits, kernels, activation, padding):
    model = network(activation, padding)
    result = equalize.apply(model, Equalize(kernels=kernels), make_context())
    assert_same(model, result.model, inputs_of(digits))
    assert not any(isinstance(layer, layers.BatchNormalization) for layer in result.model.layers)


def test_absorbing_leaves_channels_that_reach_zero(make_context, digits):
    model = network("relu", "valid")
    model.get_layer("conv_bn").beta.assign(np.full(6, 60.0))  # behind it no channel ever is zero
    result = equalize.apply(model, Equalize(), make_context())
    least = keras.Model(result.model.inputs, result.model.get_layer("conv_relu").output)(inputs_of(digits)).numpy().min(axis=(0, 1, 2))
    folded = fold_normalization(model, {layer.name for layer in model.layers}).model
    before = keras.Model(folded.inputs, folded.get_layer("conv_relu").output)(inputs_of(digits)).numpy().min(axis=(0, 1, 2))
    assert (before > 1).any()
    np.testing.assert_allclose(least[before > 1], 0, atol=1e-3)
    assert_same(model, result.model, inputs_of(digits))


def test_replaced_relu6_is_a_relu(make_context):
    result = equalize.apply(network("relu6"), Equalize(relu6="replace"), make_context())
    assert [result.model.get_layer(f"{name}_relu").max_value for name in ("conv", "dw", "pw")] == [None] * 3


def test_branches_are_left_alone_with_the_reason():
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(4, 3, padding="same", name="one")(inputs)
    y = layers.Conv2D(4, 3, padding="same", name="two")(x)
    model = keras.Model(inputs, layers.Add(name="sum")([x, y]))
    found, reasons = find_successions(model, {"one", "two"})
    assert not found
    assert "several places" in reasons["one"]


def test_rounded_kernel_is_the_one_in_the_file(digits, probe_in_this_process):
    model = fold_normalization(network("relu"), {layer.name for layer in network("relu").layers}).model
    file = parse(convert(model, Export(format="int8"), calibration=inputs_of(digits), progress=Progress()).content)
    for name, kind in (("conv", "Conv2D"), ("dw", "DepthwiseConv2D"), ("pw", "Conv2D")):
        kernel = model.get_layer(name).get_weights()[0]
        (stored,) = find_kernels(file, [KerasKernel(name, kernel.shape, kind)])
        scales = stored.scales.reshape(kernel.shape[-2:]) if kind == "DepthwiseConv2D" else stored.scales
        np.testing.assert_allclose(stored.values * scales, rounded(kernel, depthwise=kind == "DepthwiseConv2D"), rtol=1e-5)


@pytest.mark.parametrize("skip", [[], ["pw"]])
def test_corrected_biases_give_rounded_kernels_the_mean_outputs_of_the_model(make_context, digits, skip):
    model, inputs = network("relu"), inputs_of(digits)
    # One scale per kernel: what rounding does to a mean is then large enough to be seen.
    config = CorrectBias(kernels="per_tensor", skip=skip)
    folded = fold_normalization(model, {layer.name for layer in model.layers}).model
    corrected, plain = correct_bias.apply(model, config, make_context()).model, copy_model(folded)
    for changed in (corrected, plain):
        for name in ("conv", "dw", "pw", "logits"):
            layer = changed.get_layer(name) if name in [each.name for each in changed.layers] else None
            if layer is not None:
                kernel, bias = layer.get_weights()
                layer.set_weights([rounded(kernel, depthwise=name == "dw", per_tensor=True), bias])
    expected, fixed, rough = (each(inputs).numpy().mean(axis=0) for each in (model, corrected, plain))
    # The Dense layer comes last, so its mean is exact, to the float rounding of sums over 1e2 products.
    np.testing.assert_allclose(fixed, expected, atol=1e-4 * np.abs(expected).max())
    assert np.abs(rough - expected).max() > 10 * np.abs(fixed - expected).max()


def test_analytic_correction_names_layers_that_it_knows_nothing_of(make_context):
    records = {record.name: record for record in correct_bias.apply(network("relu"), CorrectBias(method="analytic"), make_context()).layers}
    assert [records[name].action for name in ("dw", "pw")] == ["changed", "changed"]
    assert "no BatchNormalization" in records["logits"].reason


def _int8_per_tensor(model, samples):
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([sample[np.newaxis]] for sample in samples)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter._experimental_disable_per_channel = True
    return bytes(converter.convert())


def test_keyword_network_with_unequal_depthwise_scales_survives_kernels_per_tensor(data_folder, make_context):
    from types import SimpleNamespace

    from edgecompress.data.array_inputs import ArrayInputs
    from edgecompress.data.split import Split
    from edgecompress.device.runtime import TfliteModel
    from edgecompress.recipe.schema import Preprocess

    with np.load(data_folder / "mlperf_tiny/kws/kws01_int8_features.npz") as stored:
        samples = ((stored["x"].astype(np.float32) - stored["zero_point"]) * stored["scale"]).astype(np.float32)
        labels = stored["y"].astype(int)
    model = load_model(data_folder / "mlperf_tiny/kws/kws_ref_model", allow_code=True)
    unequal = fold_normalization(model, {layer.name for layer in model.layers}).model
    generator = np.random.default_rng(0)
    for succession in find_successions(unequal, {layer.name for layer in unequal.layers})[0]:
        first, second = succession.first, succession.second
        if type(first).__name__ == "DepthwiseConv2D":
            factors = 10 ** generator.uniform(-1.5, 1.5, succession.num_channels).astype(np.float32)
            kernel, bias = first.get_weights()
            first.set_weights([kernel * factors[:, np.newaxis], bias * factors])
            kernel, *rest = second.get_weights()
            second.set_weights([kernel / factors[:, np.newaxis], *rest])
    assert_same(model, unequal, samples[:100])
    data = SimpleNamespace(
        calibration=Split(ArrayInputs(samples, "features"), labels, np.arange(100), preprocess=Preprocess(), target="label")
    )
    equal = equalize.apply(unequal, Equalize(kernels="per_tensor"), make_context(data=data)).model
    accuracy = lambda content: (TfliteModel(content).predict(samples[100:]).argmax(1) == labels[100:]).mean()  # noqa: E731
    exact = (model.predict(samples[100:], verbose=0).argmax(1) == labels[100:]).mean()
    before, after = (accuracy(_int8_per_tensor(each, samples[:100])) for each in (unequal, equal))
    assert before < exact - 0.10
    assert after > exact - 0.01
