"""Known networks with weights of 4 bits and of mixed types: which layers have them, and which have not and why."""

import numpy as np
import pytest

from edgecompress.backend import keras
from edgecompress.device.runtime import TfliteModel
from edgecompress.export import convert
from edgecompress.graph.kernel_weights import model_kernels
from edgecompress.models import load_model
from edgecompress.progress import Progress
from edgecompress.recipe.schema import Export
from edgecompress.tflite import parse
from edgecompress.tflite.weights import weighted_operators

pytestmark = pytest.mark.full

layers = keras.layers
NUM_SAMPLES = 6

# Classes whose kernels have no operator of 4 bits in ai-edge-litert 2.3 -> the type that carries them.
HYBRID_CARRIERS = {"DepthwiseConv2D": "int8", "DepthwiseConv1D": "int8", "Conv2DTranspose": "int8", "SeparableConv2D": "int8"}
INTEGER_CARRIERS = {"Conv2DTranspose": "int8"}


def as_file(model, high=1.0, **export):
    """The conversion, and samples."""
    generator = np.random.default_rng(0)
    samples = generator.uniform(0, high, (NUM_SAMPLES, *model.input_shape[1:])).astype(np.float32)
    return convert(model, Export(**export), calibration=samples, progress=Progress()), samples


def check(model, carriers, conversion, samples, wanted="int4"):
    """Every kernel has the type that was asked for, or a carrier with its reason; the records are what the file holds; it runs."""
    assert len(conversion.weights) == len(list(model_kernels(model)))
    for one in conversion.weights:
        expected = {wanted, carriers.get(one.type, wanted)}
        assert one.stored in expected, one
        assert one.reason or one.stored == one.wanted
    main = parse(conversion.content).subgraphs[0]
    in_file = [main.tensors[operator.kernel_index].dtype for operator in weighted_operators(parse(conversion.content))]
    assert in_file.count("int4") >= sum(one.stored == "int4" for one in conversion.weights)
    assert np.isfinite(TfliteModel(conversion.content).predict(samples[:2])).all()


def decibels(expected, received) -> float:
    return 10 * np.log10(np.sum(np.square(expected)) / np.sum(np.square(expected - received)))


@pytest.mark.parametrize("name", ["MobileNetV2", "MobileNetV3Small", "EfficientNetB0", "ResNet50", "DenseNet121"])
@pytest.mark.parametrize("format", ["int4", "weight_only_int4"])
def test_application_in_4_bits(name, format):
    model = getattr(keras.applications, name)(weights=None, input_shape=(64, 64, 3), classes=10)
    conversion, samples = as_file(model, 255.0 if name in ("MobileNetV3Small", "EfficientNetB0") else 1.0, format=format)
    check(model, HYBRID_CARRIERS if format == "int4" else {}, conversion, samples)
    assert len(conversion.content) < model.count_params() * (0.75 if format == "int4" else 0.7) + 200_000


@pytest.mark.parametrize("name", ["MobileNetV2", "ResNet50", "DenseNet121"])
def test_application_in_int8_with_4_bits_and_float_layers(name):
    model = getattr(keras.applications, name)(weights=None, input_shape=(64, 64, 3), classes=10)
    first = next(kernel.layer for kernel in model_kernels(model))
    conversion, samples = as_file(model, format="int8", io="float32", layers={"*": "int4", first: "float32", "type:Dense": "int8"})
    stored = {one.name: one.stored for one in conversion.weights}
    assert stored.pop(first) == "float32"
    assert {kind: stored[kind] for kind in stored if kind.startswith("predictions")} == {"predictions": "int8"}
    assert {stored[name] for name in stored if name != "predictions"} == {"int4"}
    assert np.isfinite(TfliteModel(conversion.content).predict(samples[:2])).all()


@pytest.mark.parametrize("path", ["ad/ad01.h5", "ic/pretrainedResnet.h5", "vww/vww_96.h5", "sww/str_ww_ref_model.h5", "kws/kws_ref_model"])
@pytest.mark.parametrize(
    "export", [{"format": "int4"}, {"format": "weight_only_int4"}, {"format": "int8", "layers": {"*": "int4"}}], ids=str
)
def test_mlperf_tiny_model(path, export, data_folder):
    model = load_model(data_folder / "mlperf_tiny" / path, allow_code=True)
    carriers = {"int4": HYBRID_CARRIERS, "weight_only_int4": {}, "int8": INTEGER_CARRIERS}[export["format"]]
    check(model, carriers, *as_file(model, **export))


def u_net():
    inputs = keras.Input((32, 32, 3))
    x, skips = inputs, []
    for width in (8, 16):
        x = layers.Activation("relu")(layers.BatchNormalization()(layers.Conv2D(width, 3, padding="same", use_bias=False)(x)))
        skips.append(x)
        x = layers.MaxPooling2D()(x)
    x = layers.Conv2D(32, 3, padding="same", activation="relu")(x)
    for width, skip in zip((16, 8), reversed(skips), strict=True):
        x = layers.Conv2DTranspose(width, 2, strides=2)(x)
        x = layers.Conv2D(width, 3, padding="same", activation="relu")(layers.Concatenate()([skip, x]))
    return keras.Model(inputs, layers.Conv2D(3, 1)(x))


def one_dimension():
    inputs = keras.Input((64, 8))
    x = layers.Conv1D(16, 5, padding="same", activation="relu")(inputs)
    for _ in range(2):
        x = layers.ReLU()(layers.BatchNormalization()(layers.DepthwiseConv1D(3, padding="same", use_bias=False)(x)))
        x = layers.ReLU()(layers.BatchNormalization()(layers.Conv1D(16, 1, use_bias=False)(x)))
    return keras.Model(inputs, layers.Dense(4)(layers.GlobalAveragePooling1D()(x)))


@pytest.mark.parametrize("build", [u_net, one_dimension])
@pytest.mark.parametrize(
    "export", [{"format": "int4"}, {"format": "weight_only_int4"}, {"format": "int8", "layers": {"*": "int4"}}], ids=str
)
def test_shapes_of_other_kinds(build, export):
    keras.utils.set_random_seed(0)
    model = build()
    carriers = {"int4": HYBRID_CARRIERS, "weight_only_int4": {}, "int8": INTEGER_CARRIERS}[export["format"]]
    conversion, samples = as_file(model, **export)
    check(model, carriers, conversion, samples)
    if export["format"] != "int8":
        assert decibels(model.predict(samples, verbose=0), TfliteModel(conversion.content).predict(samples)) > 8


def test_an_lstm_keeps_its_weights_and_its_dense_layers_have_4_bits():
    inputs = keras.Input((12, 8))
    model = keras.Model(inputs, layers.Dense(4, name="last")(layers.LSTM(16, name="lstm")(layers.Dense(16, name="first")(inputs))))
    conversion, samples = as_file(model, format="int4")
    assert {one.name: one.stored for one in conversion.weights if one.type == "Dense"} == {"first": "int4", "last": "int4"}
    (lstm,) = [one for one in conversion.weights if one.type == "LSTM"]
    assert lstm.stored is None
    assert lstm.reason == "the file does not keep its weights as a kernel of their own"
    assert np.isfinite(TfliteModel(conversion.content).predict(samples)).all()
