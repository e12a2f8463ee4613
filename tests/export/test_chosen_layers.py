"""The format dynamic for chosen layers only."""

import numpy as np
import pytest

from edgecompress.backend import keras
from edgecompress.device.runtime import TfliteModel
from edgecompress.errors import ConversionError, RecipeError
from edgecompress.export.chosen_layers import choose_kernels, quantize_kernels
from edgecompress.tflite import KerasKernel, describe, find_kernels, parse, refuses
from edgecompress.tflite.weights import weighted_operators

LAYERS = ["conv1", "depthwise", "conv2", "hidden", "logits"]


def types_of_weights(model, content: bytes) -> dict[str, str]:
    """Layer -> type of its kernel in the file."""
    kernels = choose_kernels(model, ["*"])
    return {kernel.layer: stored.values.dtype.name for kernel, stored in zip(kernels, find_kernels(parse(content), kernels), strict=True)}


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        (["hidden"], ["hidden"]),
        (["type:Dense"], ["hidden", "logits"]),
        (["conv*", "depthwise"], ["conv1", "depthwise", "conv2"]),
        (["re:logits|conv1"], ["conv1", "logits"]),
        (["*"], LAYERS),
    ],
)
def test_exactly_the_chosen_layers_become_int8(trained, convert_as, only, expected):
    conversion = convert_as(trained, format="dynamic", only=only)
    types = types_of_weights(trained, conversion.content)
    assert types == {layer: "int8" if layer in expected else "float32" for layer in LAYERS}
    assert conversion.rung == "concrete function"


def test_the_outputs_stay_close_to_the_float_model(trained, convert_as, digit_arrays):
    """8-bit weights and 8-bit dynamic activations: 30 dB is what one such layer reaches easily; a wrong scale gives under 10."""
    content = convert_as(trained, format="dynamic", only=["conv2", "hidden"]).content
    expected = trained.predict(digit_arrays[2], verbose=0)
    error = TfliteModel(content).predict(digit_arrays[2]) - expected
    assert 10 * np.log10(np.sum(expected**2) / np.sum(error**2)) > 30


def test_operator_versions_tell_old_runtimes_apart(trained, convert_as):
    """ai-edge-quantizer leaves version 1, which tflite-runtime 2.14 loads and computes with one scale for all outputs: nonsense."""
    content = convert_as(trained, format="dynamic", only=["conv1", "depthwise", "hidden"]).content
    versions = describe(content)["op_versions"]
    assert {name: versions[name] for name in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")} == {
        "CONV_2D": 5, "DEPTHWISE_CONV_2D": 6, "FULLY_CONNECTED": 12,
    }  # fmt: skip
    assert refuses(parse(content), "tflite-runtime==2.14.0") == ["FULLY_CONNECTED version 12 (since 2.17.0)"]


def test_dense_kernels_get_one_scale_for_a_runtime_that_knows_no_more(trained, convert_as):
    content = convert_as(trained, format="dynamic", only=["hidden"], runtime="tflite-runtime==2.14.0").content
    (stored,) = find_kernels(parse(content), [KerasKernel("hidden", (512, 32), "Dense")])
    assert (stored.values.dtype, stored.scales.size) == (np.int8, 1)
    assert describe(content)["op_versions"]["FULLY_CONNECTED"] == 3


def test_layers_of_nested_models_are_named_by_their_path(convert_as):
    inner_inputs = keras.Input((8, 8, 2))
    inner = keras.Model(inner_inputs, keras.layers.Conv2D(4, 3, name="conv")(inner_inputs), name="block")
    inputs = keras.Input((8, 8, 1))
    model = keras.Model(inputs, inner(keras.layers.Conv2D(2, 3, padding="same", name="conv")(inputs)))
    types = types_of_weights(model, convert_as(model, format="dynamic", only=["block/conv"]).content)
    assert types == {"conv": "float32", "block/conv": "int8"}


def test_a_separable_layer_is_quantized_in_both_kernels(convert_as):
    inputs = keras.Input((8, 8, 2))
    model = keras.Model(inputs, keras.layers.Conv2D(3, 1, name="other")(keras.layers.SeparableConv2D(4, 3, name="sep")(inputs)))
    tflite = parse(convert_as(model, format="dynamic", only=["sep"]).content)
    names = [(operator.name, tflite.subgraphs[0].tensors[operator.kernel_index].dtype) for operator in weighted_operators(tflite)]
    assert names == [("DEPTHWISE_CONV_2D", "int8"), ("CONV_2D", "int8"), ("CONV_2D", "float32")]


def test_a_pattern_that_matches_no_kernel_is_a_recipe_error(trained, convert_as):
    with pytest.raises(RecipeError, match=r"^export\.only must match at least one layer\. Received: 'hiden'\. Did you mean 'hidden'\?"):
        convert_as(trained, format="dynamic", only=["hiden"])
    with pytest.raises(RecipeError, match=r"Received: 'relu1'"):
        convert_as(trained, format="dynamic", only=["relu1"])


def test_a_layer_that_the_file_does_not_keep_apart_is_named(trained, convert_as):
    content = convert_as(trained, format="float32").content
    with pytest.raises(ConversionError, match=r"export\.only must name layers that the file keeps apart\. Received: elsewhere"):
        quantize_kernels(content, [KerasKernel("elsewhere", (7, 7), "Dense")], per_tensor_dense=False)


def test_same_choice_gives_the_same_bytes(trained, convert_as):
    first, second = (convert_as(trained, format="dynamic", only=["type:Dense"], fresh=True).content for _ in range(2))
    assert first == second
