"""Models trained with TF-MOT's fake-quantization."""

import numpy as np
import pytest

from edgecompress.device.runtime import TfliteModel
from edgecompress.errors import ConversionError
from edgecompress.export.compatibility import is_quantize_aware
from edgecompress.tflite import KerasKernel, describe, find_kernels, parse

KERNELS = [
    KerasKernel("conv1", (3, 3, 1, 16), "Conv2D"),
    KerasKernel("depthwise", (3, 3, 16, 1), "DepthwiseConv2D"),
    KerasKernel("conv2", (1, 1, 16, 32), "Conv2D"),
    KerasKernel("hidden", (512, 32), "Dense"),
    KerasKernel("logits", (32, 10), "Dense"),
]


def variables(model, ending: str) -> dict[str, np.ndarray]:
    return {variable.name.removesuffix(":0"): variable.numpy() for variable in model.weights if variable.name.endswith(ending + ":0")}


@pytest.fixture(scope="module")
def converted(quantize_aware, convert_as):
    return convert_as(quantize_aware, format="int8", samples=None)


def test_it_is_known_by_its_layers(trained, quantize_aware):
    assert is_quantize_aware(quantize_aware)
    assert not is_quantize_aware(trained)


def test_it_becomes_all_integer_without_samples(converted):
    described = describe(converted.content)
    assert converted.warnings == []
    assert not {"QUANTIZE", "DEQUANTIZE"} & set(described["ops"])
    assert [tensor["dtype"] for tensor in described["inputs"] + described["outputs"]] == ["int8", "int8"]


def test_it_uses_the_ranges_of_the_training(quantize_aware, converted):
    """scale = (max - min) / 255 of what the training recorded, for the first and the last tensor."""
    described = describe(converted.content)
    first = next(layer for layer in quantize_aware.layers if type(layer).__name__ == "QuantizeLayer").name  # Keras numbers them
    low, high = (variables(quantize_aware, f"{first}_{side}").popitem()[1] for side in ("min", "max"))
    assert described["inputs"][0]["scale"] == pytest.approx((high - low) / 255, rel=1e-5)  # float32
    outputs = {side: variables(quantize_aware, f"post_activation_{side}") for side in ("min", "max")}
    low, high = (outputs[side][f"quant_logits/post_activation_{side}"] for side in ("min", "max"))
    assert described["outputs"][0]["scale"] == pytest.approx(
        (high - low) / 255, rel=1e-3
    )  # the training nudges the range so that 0 is exact


def test_samples_given_all_the_same_change_nothing(quantize_aware, converted, convert_as, calibration):
    assert convert_as(quantize_aware, format="int8", samples=100 * calibration).content == converted.content


@pytest.mark.parametrize("io", ["int8", "uint8", "float32"])
def test_in_and_outputs_have_the_asked_type(quantize_aware, convert_as, io):
    described = describe(convert_as(quantize_aware, format="int8", io=io, samples=None).content)
    assert [tensor["dtype"] for tensor in described["inputs"] + described["outputs"]] == [io, io]


def test_the_file_chooses_the_same_classes_as_keras(quantize_aware, converted, digit_arrays):
    inputs = digit_arrays[2]
    same = TfliteModel(converted.content).predict(inputs).argmax(1) == quantize_aware.predict(inputs, verbose=0).argmax(1)
    assert same.mean() >= 0.97


def test_every_kernel_is_found_and_is_the_trained_one_rounded(quantize_aware, converted):
    """conv2, hidden and logits have no BatchNormalization to fold: value / scale rounds to the stored integer."""
    stored = dict(zip([kernel.layer for kernel in KERNELS], find_kernels(parse(converted.content), KERNELS), strict=True))
    assert {kernel.layer: stored[kernel.layer].values.shape for kernel in KERNELS} == {kernel.layer: kernel.shape for kernel in KERNELS}
    trained = variables(quantize_aware, "kernel")
    for layer in ("conv2", "hidden", "logits"):
        steps = trained[f"{layer}/kernel"] / stored[layer].scales
        assert np.abs(np.clip(steps, -127, 127) - stored[layer].values).max() <= 0.5 + 1e-3  # rounding, and float32


@pytest.mark.parametrize("format", ["float32", "float16", "dynamic", "int16x8"])
def test_other_formats_are_refused(quantize_aware, convert_as, format):
    with pytest.raises(ConversionError, match=rf"format of a quantize-aware model must be int8.* Received: '{format}'"):
        convert_as(quantize_aware, format=format)


def test_layers_left_out_of_the_training_use_the_samples(trained, convert_as, calibration):
    """Without samples, a layer without fake-quantization stays in float: that is a warning."""
    from edgecompress.backend import keras, model_optimization

    quantization = model_optimization().quantization.keras

    def annotate(layer):
        return layer if layer.name in ("hidden", "logits") else quantization.quantize_annotate_layer(layer)

    annotated = keras.models.clone_model(trained, clone_function=annotate)
    model = quantization.quantize_apply(annotated)
    model(calibration, training=True)  # records ranges
    without = convert_as(model, format="int8", io="float32", samples=None)
    assert "operators that compute in float, not in integers: " in without.warnings[0]
    assert "FULLY_CONNECTED" in without.warnings[0]
    assert convert_as(model, format="int8", io="float32").warnings == []
