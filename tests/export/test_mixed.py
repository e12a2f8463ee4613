"""Types of weights layer by layer: what is asked for stands in the file, computes rightly, or the reason is told."""

import numpy as np
import pytest

from edgecompress.backend import keras
from edgecompress.device.runtime import TfliteModel
from edgecompress.errors import ConversionError, RecipeError
from edgecompress.export import weight_probe
from edgecompress.export.weight_types import wanted_types
from edgecompress.graph.kernel_weights import model_kernels
from edgecompress.models.copying import copy_model
from edgecompress.recipe.schema import Export
from edgecompress.tflite import KerasKernel, describe, find_kernels, parse, refuses
from edgecompress.tflite.weights import weighted_operators
from edgecompress.weight_grids import to_levels

LAYERS = ["conv1", "depthwise", "conv2", "hidden", "logits"]
FAMILIES = ("xnnpack", "builtin")


def stored_types(conversion) -> dict[str, str]:
    return {weights.name: weights.stored for weights in conversion.weights}


def stored_kernels(model, content: bytes):
    """Layer -> kernel of the file."""
    kernels = [
        KerasKernel(kernel.layer, tuple(kernel.variable.shape), kernel.weight.kind_in_file)
        for kernel in model_kernels(model)
        if kernel.weight.kind_in_file is not None
    ]
    return dict(zip([kernel.layer for kernel in kernels], find_kernels(parse(content), kernels), strict=True))


def decibels(expected, received) -> float:
    return 10 * np.log10(np.sum(expected**2) / np.sum((expected - received) ** 2))


@pytest.mark.parametrize(
    ("export", "expected"),
    [
        ({"format": "weight_only_int8"}, ["int8"] * 5),
        ({"format": "weight_only_int4"}, ["int4"] * 5),
        ({"format": "weight_only_int2"}, ["int2"] * 5),
        ({"format": "int4"}, ["int4", "int8", "int4", "int4", "int4"]),
        ({"format": "int2"}, ["int4", "int8", "int4", "int2", "int2"]),
        ({"format": "int4", "only": ["type:Dense"]}, ["float32", "float32", "float32", "int4", "int4"]),
        ({"format": "dynamic", "layers": {"conv1": "float32", "hidden": "int4"}}, ["float32", "int8", "int8", "int4", "int8"]),
        ({"format": "int8", "layers": {"*": "int4", "conv1": "float32", "logits": "int8"}}, ["float32", "int4", "int4", "int4", "int8"]),
        ({"format": "int8", "layers": {"hidden": "int2"}}, ["int8", "int8", "int8", "int2", "int8"]),
    ],
    ids=str,
)
def test_each_layer_gets_its_type_or_the_next_that_computes_rightly(trained, convert_as, export, expected):
    conversion = convert_as(trained, **export)
    assert stored_types(conversion) == dict(zip(LAYERS, expected, strict=True))
    tflite = parse(conversion.content)
    types = [tflite.subgraphs[0].tensors[operator.kernel_index].dtype for operator in weighted_operators(tflite)]
    assert types == expected  # in the file, not only in the records
    for weights in conversion.weights:
        assert bool(weights.reason) == (weights.stored != weights.wanted)


@pytest.mark.parametrize("format", ["weight_only_int8", "weight_only_int4", "weight_only_int2"])
@pytest.mark.parametrize("family", FAMILIES)
def test_outputs_are_those_of_the_keras_model_with_the_rounded_kernels(trained, convert_as, digit_arrays, format, family):
    """Oracle: kernels read from the file, divided by what BatchNormalization folded into them, put back into Keras."""
    content = convert_as(trained, format=format).content
    rounded = copy_model(trained)
    for name, kernel in stored_kernels(trained, content).items():
        layer = rounded.get_layer(name)
        values, *bias = layer.get_weights()
        axis = -2 if name == "depthwise" else -1
        shape = [-1 if dimension == values.ndim + axis else 1 for dimension in range(values.ndim)]
        if name in ("conv1", "depthwise"):
            norm = rounded.get_layer("norm1" if name == "conv1" else "norm2")
            factor = norm.gamma.numpy() / np.sqrt(norm.moving_variance.numpy() + norm.epsilon)
        else:
            factor = np.ones(values.shape[axis])
        layer.set_weights([kernel.values * kernel.scales.reshape(shape) / factor.reshape(shape), *bias])
    expected = rounded.predict(digit_arrays[2], verbose=0)
    received = TfliteModel(content, kernels=family).predict(digit_arrays[2])
    np.testing.assert_allclose(received, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("export", [{"format": "int8", "io": "float32", "layers": {"conv2": "int4"}}, {"format": "int4"}], ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_four_bits_stay_near_the_float_model_under_both_kernel_families(trained, convert_as, digit_arrays, export, family):
    """A 4-bit kernel on a good scale has 19 dB; a wrong scale, bias or order of bits gives under 5."""
    expected = trained.predict(digit_arrays[2], verbose=0)
    received = TfliteModel(convert_as(trained, **export).content, kernels=family).predict(digit_arrays[2])
    assert decibels(expected, received) > 14


@pytest.mark.parametrize("layers", [["conv1"], ["depthwise", "conv2"], ["hidden", "logits"], LAYERS], ids=str)
def test_float_layers_in_an_int8_file_compute_in_float(trained, convert_as, digit_arrays, layers):
    mixed = convert_as(trained, format="int8", io="float32", layers=dict.fromkeys(layers, "float32"))
    plain = convert_as(trained, format="int8", io="float32")
    expected = trained.predict(digit_arrays[2], verbose=0)
    better, worse = (decibels(expected, TfliteModel(one.content).predict(digit_arrays[2])) for one in (mixed, plain))
    assert better > worse - 1
    kernels = stored_kernels(trained, mixed.content)
    assert {name for name, kernel in kernels.items() if kernel.values.dtype == np.float32} == set(layers)
    if layers == LAYERS:
        assert describe(mixed.content)["ops"]["QUANTIZE"] <= 3  # between neighbours nothing is rounded
    assert mixed.warnings == []


def test_a_type_that_the_runtime_computes_wrongly_gives_way(trained, convert_as, monkeypatch):
    monkeypatch.setattr(weight_probe, "_answers", {})
    monkeypatch.setattr(weight_probe, "_try", lambda cut, kernel, computes: "the runtime gives wrong values" if kernel.bits == 4 else None)
    conversion = convert_as(trained, format="weight_only_int4", shrink=False)
    assert set(stored_types(conversion).values()) == {"int8"}
    assert {weights.reason for weights in conversion.weights} == {"not int4: the runtime gives wrong values"}
    assert any("another type than export asks for: 5" in warning for warning in conversion.warnings)


def test_ternary_weights_are_stored_as_they_are(trained, convert_as):
    ternary = copy_model(trained)
    for name in LAYERS:
        layer = ternary.get_layer(name)
        kernel, *others = layer.get_weights()
        scale = np.abs(kernel).mean()
        layer.set_weights([scale * to_levels(kernel.reshape(1, -1), np.array([scale]), 2).reshape(kernel.shape), *others])
    conversion = convert_as(ternary, format="int2")
    for name, stored in stored_kernels(ternary, conversion.content).items():
        kernel = ternary.get_layer(name).get_weights()[0]
        assert set(np.unique(stored.values)) <= {-1, 0, 1}
        np.testing.assert_array_equal(np.abs(stored.values), np.abs(np.sign(kernel)))
    assert all("the weights lie on this grid" in weights.reason for weights in conversion.weights)


def test_bytes_are_those_of_the_bits(trained, convert_as):
    sizes = {weights.name: weights.num_bytes for weights in convert_as(trained, format="weight_only_int4").weights}
    assert sizes == {"conv1": 72, "depthwise": 72, "conv2": 256, "hidden": 8192, "logits": 160}
    assert describe(convert_as(trained, format="weight_only_int4").content)["bytes_by_type"]["int4"] == sum(sizes.values())
    assert len(convert_as(trained, format="weight_only_int4").content) < len(convert_as(trained, format="float32").content) / 4


def test_a_layer_called_twice_has_one_kernel(convert_as, digit_arrays):
    keras.utils.set_random_seed(1)
    inputs = keras.Input((8, 8, 1))
    shared = keras.layers.Conv2D(4, 3, padding="same", name="shared")
    x = keras.layers.Conv2D(4, 1, name="first")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3, name="last")(keras.layers.Flatten()(shared(shared(x)))))
    expected = model.predict(digit_arrays[2], verbose=0)
    for export in ({"format": "weight_only_int8"}, {"format": "int8", "io": "float32", "layers": {"shared": "float32"}}):
        content = convert_as(model, **export).content
        assert decibels(expected, TfliteModel(content).predict(digit_arrays[2])) > 25


@pytest.mark.parametrize("tiny", [1e-3, 3e-6, 1e-10, 1e-30])
@pytest.mark.parametrize("weight_type", ["int4", "int2"])
def test_channels_of_next_to_nothing_keep_their_bias(convert_as, weight_type, tiny):
    """One of zeros, and one of tiny weights: in steps of such a scale a bias has more bits than the runtime's sums."""
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, name="dense")])
    kernel = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    kernel[:, 1], kernel[:, 2] = 0, kernel[:, 2] * tiny
    model.layers[0].set_weights([kernel, np.float32([0.3, 0.3, 0.3, 0.4])])
    samples = np.random.default_rng(1).uniform(0, 1, (100, 8)).astype(np.float32)
    content = convert_as(model, samples=samples, format="int8", io="float32", layers={"dense": weight_type}).content
    for family in FAMILIES:
        biases = TfliteModel(content, kernels=family).predict(samples)[:, 1:3]
        np.testing.assert_allclose(biases, 0.3, atol=0.02)  # a step of the output


@pytest.mark.parametrize(
    ("tiny", "words"), [(1, "the weights lie on this grid"), (0, "the weights lie on this grid"), (1e-6, "is coarser")]
)
def test_a_grid_that_a_bias_makes_coarser_is_told(convert_as, tiny, words):
    """Weights that are multiples of the int4 step: they stay so, unless the bias of a unit needs a wider scale."""
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, name="dense")])
    kernel = np.random.default_rng(0).integers(-7, 8, (8, 4)) * 0.1
    kernel[0] = 0.7
    kernel[:, 2] *= tiny
    model.layers[0].set_weights([kernel, np.full(4, 0.3)])
    samples = np.random.default_rng(1).uniform(0, 1, (100, 8)).astype(np.float32)
    (weights,) = convert_as(model, samples=samples, format="int8", io="float32", layers={"dense": "int4"}).weights
    assert weights.stored == "int4"
    assert words in weights.reason


@pytest.mark.parametrize(
    ("export", "words"),
    [
        ({"format": "int8", "layers": {"conv_1": "int4"}}, "must match at least one layer. Received: 'conv_1'. Did you mean 'conv1'"),
        ({"format": "int8", "layers": {"norm1": "int4"}}, "whose weights the file keeps as a kernel: Conv2D, Dense, DepthwiseConv2D. "
         "Received: 'norm1', which matches norm1 (BatchNormalization)"),
        ({"format": "int4", "only": ["flatten"]}, "export.only must match a layer whose weights"),
    ],
    ids=str,
)  # fmt: skip
def test_patterns_that_match_nothing_that_has_a_kernel_are_errors(trained, export, words):
    with pytest.raises(RecipeError) as error:
        wanted_types(trained, Export(**export))
    assert words in str(error.value)


def test_a_quantize_aware_model_has_no_other_types(quantize_aware, convert_as):
    with pytest.raises(ConversionError, match=r"export.layers must be {} for a quantize-aware model.*Received: {'hidden': 'int4'}"):
        convert_as(quantize_aware, format="int8", layers={"hidden": "int4"})


def test_of_several_patterns_the_last_counts(trained):
    export = Export(format="int8", layers={"*": "int4", "type:Dense": "int8", "logits": "float32"})
    assert {one.layer: one.bits for one in wanted_types(trained, export)} == {
        "conv1": 4, "depthwise": 4, "conv2": 4, "hidden": 8, "logits": 32,
    }  # fmt: skip


def test_what_a_target_runtime_is_too_old_for_is_named(trained, convert_as):
    assert refuses(parse(convert_as(trained, format="int2").content), "tflite-runtime==2.14.0") != []
    with pytest.raises(ConversionError, match=r"too old for .*FULLY_CONNECTED version 14 \(since 2\.23\.0\)"):
        convert_as(trained, format="int2", runtime="tflite-runtime==2.14.0")
    with pytest.raises(ConversionError, match=r"too old for .*DEQUANTIZE version 6"):
        convert_as(trained, format="weight_only_int4", runtime="tflite-runtime==2.14.0")


def test_layers_without_a_kernel_of_their_own_are_named(convert_as):
    inputs = keras.Input((6, 4))
    model = keras.Model(inputs, keras.layers.Dense(3, name="last")(keras.layers.LSTM(5, name="lstm")(inputs)))
    conversion = convert_as(model, format="int4", samples=np.random.default_rng(0).normal(size=(8, 6, 4)).astype(np.float32))
    assert stored_types(conversion) == {"last": "int4", "lstm": None}
    assert conversion.weights[-1].reason == "the file does not keep its weights as a kernel of their own"
    with pytest.raises(RecipeError, match=r"'lstm', which matches lstm \(LSTM\)"):
        wanted_types(model, Export(format="int4", layers={"lstm": "int4"}))
