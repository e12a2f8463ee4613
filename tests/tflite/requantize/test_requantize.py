"""Integer files computed in float, and with other scales, against NumPy."""

import copy

import numpy as np
import pytest

from edgecompress.backend import keras
from edgecompress.device.quantization import dequantize
from edgecompress.device.runtime import TfliteModel
from edgecompress.export import convert
from edgecompress.progress import Progress
from edgecompress.recipe.schema import Export
from edgecompress.tflite import list_operators, parse, read_constant
from edgecompress.tflite.requantize import ends_of, float_twin, free_groups, pools_to_means, set_scales
from edgecompress.tflite.requantize.scales import Scale

layers = keras.layers


@pytest.fixture(scope="module")
def samples():
    return np.random.default_rng(0).normal(size=(40, 8, 8, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    """Two branches that are joined, a global pool, Dense, softmax."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 2))
    x = layers.Conv2D(6, 3, activation="relu", name="conv")(inputs)
    y = layers.DepthwiseConv2D(3, padding="same", activation="relu", name="dw")(x)
    x = layers.GlobalAveragePooling2D(name="pool", keepdims=True)(layers.Concatenate(name="join")([x, y]))
    return keras.Model(inputs, layers.Softmax(name="probabilities")(layers.Dense(5, name="logits")(layers.Flatten()(x))))


@pytest.fixture(scope="module")
def content(model, samples):
    return convert(model, Export(format="int8"), calibration=samples, progress=Progress()).content


def outputs_of(content, name):
    """Indices of what the operators of a kind give."""
    file = parse(content)
    return [operator.outputs[0] for operator in file.subgraphs[0].operators if file.operator_codes[operator.code].name == name]


def scale_of(content, index):
    quantization = parse(content).subgraphs[0].tensors[index].quantization
    return Scale(float(quantization.scales[0]), int(quantization.zero_points[0]))


def test_scale_covers_its_range_and_zero_by_hand():
    assert Scale.of_range(0.0, 25.5) == Scale(pytest.approx(0.1), -128)
    assert Scale.of_range(-1.0, 1.55) == Scale(pytest.approx(0.01), -28)
    assert Scale.of_range(1.0, 25.5) == Scale(pytest.approx(0.1), -128)
    assert Scale(0.5, -28).range == (-50.0, 77.5)


def test_twin_computes_what_the_layers_give_with_the_kernels_of_the_file(content, model, samples):
    from edgecompress.techniques.post_training.bias_correction import rounded

    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    for name in ("conv", "dw", "logits"):
        kernel, bias = model.get_layer(name).get_weights()
        copy.get_layer(name).set_weights([rounded(kernel, depthwise=name == "dw"), bias])
    twin = TfliteModel(float_twin(content).content, kernels="builtin")
    # Biases are rounded to steps of 1e-4 and less.
    np.testing.assert_allclose(twin.predict(samples), copy(samples), atol=1e-3)


def test_twin_has_the_tensors_of_a_file_with_float_in_and_outputs(model, samples):
    content = convert(model, Export(format="int8", io="float32"), calibration=samples, progress=Progress()).content
    twin = float_twin(content)
    assert not {"QUANTIZE", "DEQUANTIZE"} & {operator.name for operator in list_operators(parse(twin.content))}
    file = TfliteModel(content, kernels="builtin", keep_tensors=True)
    exact = TfliteModel(twin.content, kernels="builtin", keep_tensors=True)
    for each in (file, exact):
        each.invoke([samples[:1]])
    for operator in parse(content).subgraphs[0].operators:
        index = operator.outputs[0]
        spec = file.tensor_specs()[index]
        # Every operator's output is within a few steps of the float one's.
        error = np.abs(dequantize(file.get_tensor(index), spec) - exact.get_tensor(twin.tensors[index])).max()
        assert error < 4 * (spec.scale or 1 / 256), spec.name


def test_groups_hold_what_must_be_equal_and_nothing_that_is_fixed(content):
    groups = free_groups(content)
    conv, dw, join, softmax = (outputs_of(content, name)[0] for name in ("CONV_2D", "DEPTHWISE_CONV_2D", "CONCATENATION", "SOFTMAX"))
    joined = next(group for group in groups if conv in group)
    assert {conv, dw, join} <= set(joined)
    assert outputs_of(content, "FULLY_CONNECTED")[0] not in joined
    assert all(softmax not in group for group in groups)
    assert softmax in ends_of(content)
    assert parse(content).subgraphs[0].inputs[0] in ends_of(content)


def test_file_with_the_scales_that_it_has_computes_the_same_bits(content, samples):
    scales = {index: scale_of(content, index) for group in free_groups(content) for index in group}
    for kernels in ("builtin", "xnnpack"):
        one, other = (TfliteModel(each, kernels=kernels) for each in (content, set_scales(content, scales)))
        np.testing.assert_array_equal(one.predict(samples), other.predict(samples))


def test_dense_with_other_scales_is_integer_arithmetic_by_numpy(samples):
    """One Dense layer: round((q - zero_point) @ kernel + bias) * input scale * kernel scale / output scale."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((16,)), layers.Dense(7, name="dense")])
    model.layers[-1].set_weights([model.get_weights()[0], np.linspace(-1, 1, 7)])
    inputs = samples.reshape(-1, 16)[:30]
    content = convert(model, Export(format="int8"), calibration=inputs, progress=Progress()).content
    source, target = parse(content).subgraphs[0].inputs[0], parse(content).subgraphs[0].outputs[0]
    scales = {source: Scale.of_range(-2.0, 3.0), target: Scale.of_range(-1.5, 4.0)}
    changed = set_scales(content, scales)
    file = parse(changed)
    operator, tensors = file.subgraphs[0].operators[0], file.subgraphs[0].tensors
    kernel, bias = (tensors[index] for index in operator.inputs[1:])
    integers = file.buffers[kernel.buffer].view(np.int8).reshape(7, 16).astype(np.int64)
    steps = file.buffers[bias.buffer].view("<i4").astype(np.int64)
    # The bias is what the layer has, to half of its new step.
    np.testing.assert_allclose(bias.quantization.scales, np.float32(scales[source].scale) * kernel.quantization.scales, rtol=1e-6)
    np.testing.assert_allclose(steps * bias.quantization.scales, np.linspace(-1, 1, 7), atol=bias.quantization.scales.max())
    stored = np.clip(np.round(inputs / np.float32(scales[source].scale)) + scales[source].zero_point, -128, 127).astype(np.int64)
    sums = (stored - scales[source].zero_point) @ integers.T + steps
    real = sums * (scales[source].scale * kernel.quantization.scales / scales[target].scale)
    expected = np.clip(np.round(real) + scales[target].zero_point, -128, 127)
    received = TfliteModel(changed, kernels="builtin")
    quantized = np.concatenate([received.invoke([row[np.newaxis].astype(np.int8)])[0] for row in stored])
    # Fixed-point rescaling may round a half the other way.
    assert np.abs(quantized - expected).max() <= 1
    assert (quantized == expected).mean() > 0.98


def dense_with_a_large_bias(by_hand, dense_model, kernel_scales):
    """A bias of 2^29 steps on the first output; input scale 0.5."""
    model = copy.deepcopy(dense_model)
    tensors, model.buffers[2].data = model.subgraphs[0].tensors, np.array([2**29, 2, 3], np.int32).view(np.uint8)
    tensors[1].quantization = by_hand.tensor("", [], scales=kernel_scales).quantization
    tensors[2].quantization = by_hand.tensor("", [], scales=0.5 * np.float32(kernel_scales)).quantization
    return by_hand.pack(model)


def test_narrower_input_widens_the_kernel_scale_of_a_channel_whose_bias_would_not_fit(by_hand, dense_model):
    """8 times narrower: 2^32 steps. With 4 times the kernel scale they are 2^30, and the weights 0, 1, 2, 3 a fourth."""
    changed = set_scales(dense_with_a_large_bias(by_hand, dense_model, [0.1, 0.2, 0.3]), {0: Scale(0.5 / 8, 0)})
    file = parse(changed)
    _, kernel, bias, _ = file.subgraphs[0].tensors
    np.testing.assert_allclose(kernel.quantization.scales, [0.4, 0.2, 0.3], rtol=1e-6)
    np.testing.assert_array_equal(read_constant(file, kernel), [[0, 0, 0, 1], [4, 5, 6, 7], [8, 9, 10, 11]])
    np.testing.assert_allclose(read_constant(file, bias), [2**30, 16, 24], rtol=1e-6)
    np.testing.assert_allclose(bias.quantization.scales, np.float32([0.4, 0.2, 0.3]) / 16, rtol=1e-6)
    assert len(file.buffers) == 3  # the old kernel is gone


def test_narrower_input_is_refused_where_one_kernel_scale_leaves_a_bias_no_room(by_hand, dense_model):
    content = dense_with_a_large_bias(by_hand, dense_model, [0.1])
    before, after = content, set_scales(content, {0: Scale(0.5 / 8, 0), 3: Scale(0.125, 0)})
    assert (scale_of(after, 0), scale_of(after, 3)) == (scale_of(before, 0), Scale(0.125, 0))
    for index in (1, 2):
        one, other = (read_constant(file, file.subgraphs[0].tensors[index]) for file in map(parse, (before, after)))
        np.testing.assert_array_equal(one, other)
    assert scale_of(set_scales(content, {0: Scale(0.25, 0)}), 0) == Scale(0.25, 0)  # 2^30 steps fit


def test_global_pool_becomes_a_mean_of_the_same_numbers(samples):
    model = keras.Sequential([keras.Input((8, 8, 2)), layers.AveragePooling2D(8), layers.Flatten()])
    content = convert(model, Export(format="int8"), calibration=samples, progress=Progress()).content
    assert outputs_of(content, "AVERAGE_POOL_2D")
    changed = pools_to_means(content)
    assert not outputs_of(changed, "AVERAGE_POOL_2D")
    assert len(outputs_of(changed, "MEAN")) == 1
    one, other = (TfliteModel(each, kernels="builtin") for each in (content, changed))
    # Both kernels round a mean; a half may go either way: one step.
    assert np.abs(one.predict(samples) - other.predict(samples)).max() <= 1.001 * one.outputs[0].scale


def test_pool_over_a_part_stays(samples):
    model = keras.Sequential([keras.Input((8, 8, 2)), layers.AveragePooling2D(4), layers.Flatten(), layers.Dense(3)])
    content = convert(model, Export(format="int8"), calibration=samples, progress=Progress()).content
    assert pools_to_means(content) == content
