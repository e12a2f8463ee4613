"""Surgery is exact on whole architectures; each prints the share of its channels that can be cut.

Only the outputs are frozen, everywhere: inputs make no channels.
"""

import pytest

from edgecompress.backend import keras
from edgecompress.models.builders import BUILDERS, build_model
from edgecompress.recipe.schema import BuilderModel

L = keras.layers
SHAPES = {"ds_cnn": (49, 10, 1), "autoencoder": (64,), "mlp": (12,)}
APPLICATIONS = {
    "MobileNet": 32, "MobileNetV2": 32, "MobileNetV3Small": 32, "EfficientNetB0": 32, "EfficientNetV2B0": 32, "ResNet50": 32,
    "ResNet50V2": 32, "DenseNet121": 32, "InceptionV3": 75, "Xception": 71, "NASNetMobile": 32, "VGG16": 32,
}  # fmt: skip
SMALL = ("MobileNetV3Small", "VGG16")  # squeeze-and-excite with functions, and a Flatten
FILES = {
    "resnet8": "mlperf_tiny/ic/pretrainedResnet.h5",
    "visual wake words": "mlperf_tiny/vww/vww_96.h5",
    "anomaly detection": "mlperf_tiny/ad/ad01.h5",
    "streaming wake word": "mlperf_tiny/sww/str_ww_ref_model.h5",
    "keyword spotting": "mlperf_tiny/kws/kws_ref_model",
    "mini_XCEPTION": "keras_models/fer2013_mini_XCEPTION.102-0.66.hdf5",
}


def assert_only_outputs_are_frozen(name, graph):
    print(f"{name}: {graph.num_free:,} of {graph.num_channels:,} channels can be cut ({graph.num_free / graph.num_channels:.1%})")
    assert {reason for group in graph.groups for reason in group.reasons} == {"an output of the model"}


@pytest.mark.parametrize("name", BUILDERS)
def test_builders(name, assert_exact):
    config = BuilderModel(source="builder", name=name, width=8)
    model = build_model(config, SHAPES.get(name, (16, 16, 3)), 5, seed=0)
    assert_only_outputs_are_frozen(name, assert_exact(model)[0])


def unet():
    """Two levels down, two up, with skip concatenations; the map that it gives has as many pixels as its input."""

    def block(x, filters):
        for _ in range(2):
            x = L.ReLU()(L.BatchNormalization()(L.Conv2D(filters, 3, padding="same")(x)))
        return x

    inputs = keras.Input((32, 32, 3))
    first = block(inputs, 8)
    second = block(L.MaxPooling2D()(first), 16)
    x = block(L.MaxPooling2D()(second), 32)
    x = block(L.Concatenate()([second, L.Conv2DTranspose(16, 2, strides=2)(x)]), 16)
    x = block(L.Concatenate()([first, L.Conv2D(8, 2, padding="same")(L.UpSampling2D()(x))]), 8)
    return keras.Model(inputs, L.Conv2D(4, 1)(x))


def test_unet(assert_exact):
    assert_only_outputs_are_frozen("U-Net", assert_exact(unet())[0])


@pytest.mark.parametrize("name", FILES)
def test_real_models(name, data_folder, assert_exact):
    model = keras.models.load_model(data_folder / FILES[name], compile=False)
    if hasattr(model.layers[-1], "activation"):
        model.layers[-1].activation = keras.activations.linear  # a softmax that says 1.0 for any input would hide every difference
    assert_only_outputs_are_frozen(name, assert_exact(model, vary=False)[0])


@pytest.mark.parametrize("name", [name if name in SMALL else pytest.param(name, marks=pytest.mark.full) for name in APPLICATIONS])
def test_applications(name, assert_exact):
    size = APPLICATIONS[name]
    build = getattr(keras.applications, name)
    model = build(weights=None, input_shape=(size, size, 3), classes=10, classifier_activation=None)  # a softmax would hide differences
    assert_only_outputs_are_frozen(name, assert_exact(model)[0])


def test_a_nested_application_is_cut_inside(assert_exact):
    base = keras.applications.MobileNetV2(weights=None, input_shape=(32, 32, 3), include_top=False, alpha=0.35)
    model = keras.Sequential([base, L.GlobalAveragePooling2D(), L.Dense(4, name="logits")])
    assert_only_outputs_are_frozen("Sequential over MobileNetV2", assert_exact(model)[0])
