"""Scales of blocks: the file holds the kernel rounded block by block, the runtime computes with it, and what cannot have it is told."""

import numpy as np
import pytest

from edgecompress.backend import keras
from edgecompress.device.runtime import TfliteModel
from edgecompress.errors import ConversionError, ModelError
from edgecompress.shrinking import shrink
from edgecompress.tflite import KerasKernel, describe, find_kernels, parse
from edgecompress.tflite.byte_map import bytes_by_kind
from edgecompress.tflite.cut import cut_operators
from edgecompress.tflite.kernel_writing import block_scales
from edgecompress.tflite.pack import pack
from edgecompress.tflite.shrink.sameness import same_graph
from edgecompress.tflite.unpack import unpack

FAMILIES = ("xnnpack", "builtin")
BLOCKS = (32, 64, 128, 256)
SAMPLES = np.random.default_rng(5).normal(size=(12, 256)).astype(np.float32)


@pytest.fixture(scope="module")
def dense():
    """256 -> 24 (ReLU) -> 8 -> 3: the second and the third have too few inputs or units; kernels with an outlier."""
    keras.utils.set_random_seed(3)
    layers = keras.layers
    inputs = keras.Input((256,))
    x = layers.Dense(24, activation="relu", bias_initializer="normal", name="wide")(inputs)
    x = layers.Dense(64, activation="relu6", bias_initializer="normal", name="narrow")(x)
    model = keras.Model(inputs, [layers.Dense(5, name="five")(x), layers.Dense(3, use_bias=False, name="three")(x)])
    kernel, bias = model.get_layer("wide").get_weights()
    kernel[::100] *= 20
    model.get_layer("wide").set_weights([kernel, bias])
    return model


def stored(model, content, name):
    kernel = model.get_layer(name).kernel
    return find_kernels(parse(content), [KerasKernel(name, tuple(kernel.shape), "Dense")])[0]


def dequantized(kernel) -> np.ndarray:
    """[in, out], by the definition: real = scale of the block * value."""
    scales = np.repeat(kernel.scales, kernel.block, axis=1) if kernel.block else kernel.scales[:, None]
    return kernel.values * scales.T


@pytest.mark.parametrize("block", BLOCKS)
def test_the_file_holds_the_kernel_rounded_block_by_block(dense, convert_as, block):
    content = convert_as(dense, samples=SAMPLES, format="int4", block=block).content
    kernel, weights = stored(dense, content, "wide"), dense.get_layer("wide").get_weights()[0]
    assert kernel.block == block
    assert kernel.scales.shape == (24, 256 // block)
    steps = np.repeat(kernel.scales, block, axis=1).T
    error = np.abs(dequantized(kernel) - weights)
    inside = np.abs(weights) <= 7.5 * steps
    assert (error <= steps / 2 * (1 + 1e-5))[inside].all()  # nearest level; float32 rounds
    assert (np.abs(kernel.values) == 7)[~inside].all()  # beyond the last level: clipped
    assert inside.mean() > 0.97
    np.testing.assert_array_equal(block_scales(kernel.scales), kernel.scales)  # what XNNPACK takes without rounding


@pytest.mark.parametrize("block", BLOCKS[:3])
def test_blocks_have_less_error_than_channels_where_there_are_outliers(dense, convert_as, block):
    weights = dense.get_layer("wide").get_weights()[0]
    errors = []
    for export in ({"block": block}, {}):
        content = convert_as(dense, samples=SAMPLES, format="int4", **export).content
        errors.append(np.sum((dequantized(stored(dense, content, "wide")) - weights) ** 2))
    assert errors[0] < 0.9 * errors[1]


def rounded_activations(values: np.ndarray) -> np.ndarray:
    """Each row on 256 levels between its least and its greatest value, 0 among them: TensorFlow Lite's AsymmetricQuantizeFloats."""
    least, greatest = np.minimum(values.min(axis=1, keepdims=True), 0), np.maximum(values.max(axis=1, keepdims=True), 0)
    step = (greatest - least) / 255
    zero_point = np.round(-128 - least / step)
    return step * (np.clip(np.round(values / step) + zero_point, -128, 127) - zero_point)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("block", BLOCKS)
def test_outputs_are_those_of_numpy_with_the_kernels_of_the_file(dense, convert_as, block, family):
    content = convert_as(dense, samples=SAMPLES, format="int4", block=block).content
    x = SAMPLES.astype(np.float64)
    for name, limit in (("wide", np.inf), ("narrow", 6)):
        x = rounded_activations(x) @ dequantized(stored(dense, content, name)) + dense.get_layer(name).get_weights()[1]
        x = np.clip(x, 0, limit)
    outputs = TfliteModel(content, kernels=family)
    received = {spec.shape[-1]: [] for spec in outputs.outputs}
    for sample in SAMPLES:
        for values in outputs.invoke([sample[None]]):
            received[values.shape[-1]].append(values[0])
    for name, units in (("five", 5), ("three", 3)):
        expected = rounded_activations(x) @ dequantized(stored(dense, content, name)) + (
            0 if units == 3 else dense.get_layer(name).bias.numpy()
        )
        # a value near the middle of two levels may fall to either side in float32: a step of one activation
        assert np.abs(np.array(received[units]) - expected).max() < 0.02 * np.abs(expected).max()


def test_layers_that_cannot_have_blocks_say_why_and_keep_a_scale_per_unit(dense, trained, convert_as):
    conversion = convert_as(dense, samples=SAMPLES, format="int4", block=64)
    found = {one.name: one for one in conversion.weights}
    assert [found[name].block for name in ("wide", "narrow", "five", "three")] == [64, 0, 64, 0]
    assert found["narrow"].reason == "not in blocks of 64: its 24 inputs are no multiple"
    assert found["three"].reason.startswith("not in blocks of 64: the runtime gives wrong values")  # less than 4 units
    assert {one.stored for one in conversion.weights} == {"int4"}
    assert conversion.warnings == ["layers without block-wise scales: 2, namely narrow, three; the reasons stand in the report"]
    found = {one.name: one for one in convert_as(trained, format="int4", block=32).weights}
    assert found["conv1"].reason == "not in blocks of 32: only Dense layers can have block-wise scales"
    assert [found[name].block for name in ("conv1", "conv2", "hidden", "logits")] == [0, 0, 32, 32]


def test_only_layers_of_4_bits_have_blocks(dense, convert_as):
    conversion = convert_as(dense, samples=SAMPLES, format="dynamic", layers={"wide": "int4"}, block=32)
    assert {one.name: (one.stored, one.block, one.reason) for one in conversion.weights} == {
        "wide": ("int4", 32, ""), "narrow": ("int8", 0, ""), "five": ("int8", 0, ""), "three": ("int8", 0, ""),
    }  # fmt: skip


def test_bytes_of_scales_count(dense, convert_as):
    content = (conversion := convert_as(dense, samples=SAMPLES, format="int4", block=32)).content
    sizes = {one.name: one.num_bytes for one in conversion.weights}
    assert sizes["wide"] == 256 * 24 // 2 + 2 * 24 * 256 // 32
    assert sizes["narrow"] == 24 * 64 // 2
    scale_bytes = 2 * (24 * 256 + 64 * 5) // 32
    assert describe(content)["bytes_by_type"]["float16"] == scale_bytes
    assert bytes_by_kind(content)["scales"] >= scale_bytes


def test_shrinking_and_cutting_keep_the_scales(dense, convert_as, probe_in_this_process):
    content = convert_as(dense, samples=SAMPLES, format="int4", block=32).content
    smaller = shrink(content).content
    assert len(smaller) < len(content)
    before, after = (stored(dense, one, "wide") for one in (content, smaller))
    np.testing.assert_array_equal(before.values, after.values)
    np.testing.assert_array_equal(before.scales, after.scales)
    piece = next(iter(cut_operators(smaller).values()))
    (alone,) = find_kernels(parse(piece), [KerasKernel("wide", (256, 24), "Dense")])
    np.testing.assert_array_equal(alone.scales, before.scales)


def test_other_scales_make_another_graph(dense, convert_as):
    content = convert_as(dense, samples=SAMPLES, format="int4", block=32).content
    scales = stored(dense, content, "wide").scales.astype("<f2").tobytes()
    assert content.count(scales) == 1
    assert same_graph(content, content)
    assert not same_graph(content, content.replace(scales, scales[2:] + scales[:2]))


def test_scales_that_float16_cannot_hold_are_left_per_unit(convert_as):
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(8, name="tiny")])
    model.layers[0].set_weights([model.layers[0].kernel.numpy() * 1e-7, np.ones(8)])
    (found,) = convert_as(model, samples=SAMPLES[:, :64], format="int4", block=32).weights
    assert (found.block, found.stored) == (0, "int4")
    assert found.reason == "not in blocks of 32: its weights are too large or too small for scales in float16"


def test_a_unit_of_zeros_is_no_hindrance_beside_a_block_of_tiny_weights(convert_as):
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(8, name="pruned")])
    kernel = np.random.default_rng(0).normal(size=(64, 8)).astype(np.float32)
    kernel[:, 3], kernel[:32, 5] = 0, kernel[:32, 5] * 1e-5
    model.layers[0].set_weights([kernel, np.ones(8)])
    (found,) = convert_as(model, samples=SAMPLES[:, :64], format="int4", block=32).weights
    assert (found.block, found.reason) == (32, "")


def test_an_older_runtime_is_refused(dense, convert_as):
    with pytest.raises(ConversionError, match=r"too old for FULLY_CONNECTED version 12 \(since 2\.23\.0\)"):
        convert_as(dense, samples=SAMPLES, format="int4", block=32, runtime="ai-edge-litert==2.0.2")


def test_nearest_scales():
    np.testing.assert_array_equal(
        block_scales(np.array([1.0, 1 + 1 / 128, 1 + 1 / 256 + 1e-6, 0.0, 1e9])), [1, 1 + 1 / 128, 1 + 1 / 128, 2.0**-24, 65504]
    )


def test_activations_stand_apart_and_are_the_outputs_of_their_layers(dense, convert_as):
    conversion = convert_as(dense, samples=SAMPLES, format="int4", block=32)
    assert describe(conversion.content)["ops"] == {"FULLY_CONNECTED": 4, "RELU": 1}  # the ReLU6 stays where scales are per unit
    main = parse(conversion.content).subgraphs[0]
    (relu,) = [operator for operator in main.operators if len(operator.inputs) == 1]
    assert conversion.tensors["wide"] == relu.outputs[0]


@pytest.mark.parametrize(("scales", "words"), [(99, "indices of tensors"), ("itself", "must be plain numbers")])
def test_scales_that_are_not_there_are_damage(dense, convert_as, scales, words):
    model = unpack(convert_as(dense, samples=SAMPLES, format="int4", block=32).content)
    tensors = model.subgraphs[0].tensors
    index, details = next(
        (index, tensor.quantization.details) for index, tensor in enumerate(tensors) if tensor.quantization and tensor.quantization.details
    )
    details.scales = index if scales == "itself" else scales
    with pytest.raises(ModelError, match=words):
        parse(pack(model))
