"""Networks of tf_keras.applications by name: the end fits the task, weights come from a file, nothing else is left open."""

import inspect

import numpy as np
import pytest

from edgecompress.backend import keras
from edgecompress.errors import ModelError
from edgecompress.models import build_application
from edgecompress.recipe.applications import APPLICATIONS, WITH_ALPHA, published_preprocess
from edgecompress.recipe.schema import ApplicationModel

SHAPE = (32, 32, 3)


def built(activation: str | None = None, *, classes: int = 4, shape: tuple[int, ...] = SHAPE, seed: int = 0, **fields) -> keras.Model:
    fields = {"name": "MobileNetV2", "alpha": 0.35} | fields
    return build_application(ApplicationModel(source="application", **fields), shape, classes, activation=activation, seed=seed)


def same_weights(first: keras.Model, second: keras.Model) -> list[bool]:
    return [np.array_equal(old, new) for old, new in zip(first.get_weights(), second.get_weights(), strict=True)]


def test_names_are_those_of_tf_keras():
    functions = {name for name, found in vars(keras.applications).items() if inspect.isfunction(found)}
    assert set(APPLICATIONS) == functions
    assert len(APPLICATIONS) == len(functions)
    have_alpha = {name for name in functions if "alpha" in inspect.signature(getattr(keras.applications, name)).parameters}
    assert set(WITH_ALPHA) == have_alpha


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("mobilenet", "MobileNet"), ("mobilenet_v2", "MobileNetV2"), ("mobilenet_v3", "MobileNetV3Small"), ("densenet", "DenseNet121"),
        ("efficientnet", "EfficientNetB0"), ("efficientnet_v2", "EfficientNetV2B0"), ("convnext", "ConvNeXtTiny"), ("xception", "Xception"),
        ("inception_v3", "InceptionV3"), ("inception_resnet_v2", "InceptionResNetV2"), ("nasnet", "NASNetMobile"),
        ("resnet_v2", "ResNet50V2"), ("regnet", "RegNetX002"), ("resnet_rs", "ResNetRS50"),
    ],
)  # fmt: skip
def test_published_preprocess_is_that_of_keras(module, name):
    pixels = np.arange(0, 256, dtype=np.float32).repeat(3).reshape(1, 16, 16, 3)
    wanted = published_preprocess(name)
    ours = (pixels * wanted.scale - np.array(wanted.mean)) / np.array(wanted.std)
    assert np.allclose(ours, getattr(keras.applications, module).preprocess_input(pixels.copy()), atol=1e-5)  # float32


def test_networks_with_blue_first_have_no_preprocess():
    assert published_preprocess("ResNet50") is None
    assert published_preprocess("VGG16") is None


@pytest.mark.parametrize(("activation", "expected"), [(None, "linear"), ("softmax", "softmax"), ("sigmoid", "sigmoid")])
def test_last_layer_fits_the_task(activation, expected):
    model = built(activation)
    assert model.output_shape == (None, 4)
    assert model.layers[-1].activation.__name__ == expected


def test_recipe_goes_before_data():
    model = built(classes=9, shape=(64, 64, 3), input_shape=[32, 32, 3])
    assert (model.input_shape, model.output_shape) == ((None, *SHAPE), (None, 9))
    assert built(**{"classes": 9}).output_shape == (None, 9)


def test_same_seed_same_bits_and_names_whatever_was_built_before():
    first = built()
    keras.layers.Dense(2)
    second, other = built(), built(seed=1)
    assert first.to_json() == second.to_json()
    assert all(same_weights(first, second))
    assert not all(same_weights(first, other))


@pytest.mark.parametrize("file", ["weights.h5", "model.weights.h5", "whole.h5"])
def test_weights_of_the_whole_network_come_from_a_file(tmp_path, file):
    trained = built(seed=5)
    save = trained.save if file == "whole.h5" else trained.save_weights
    save(tmp_path / file)
    assert all(same_weights(trained, built(weights=str(tmp_path / file))))


def test_weights_without_the_top_leave_the_last_layer_random(tmp_path):
    body = keras.applications.MobileNetV2(alpha=0.35, weights=None, include_top=False, input_shape=SHAPE)
    body.save_weights(tmp_path / "no_top.h5")
    model, random = built(weights=str(tmp_path / "no_top.h5")), built()
    assert [np.array_equal(old, new) for old, new in zip(body.get_weights(), model.get_weights(), strict=False)].count(False) == 0
    assert same_weights(model, random)[-2:] == [True, True]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (
            {"shape": (8, 8, 3)},
            r"application MobileNetV2 must fit inputs of the shape \(8, 8, 3\)\. Received: Input size must be",
        ),
        ({"shape": (32,)}, r"input shape of application MobileNetV2 must be \(height, width, channels\)\. Received: \(32,\)\."),
        ({"weights": "nothing.h5"}, r"nothing\.h5: must be a file of weights \(\.h5\)\. Received: No such file or directory\."),
    ],
)
def test_what_cannot_be_built_is_one_line(fields, reason):
    with pytest.raises(ModelError, match=reason) as caught:
        built(**fields)
    assert "\n" not in str(caught.value)


def test_weights_of_another_network_are_one_line(tmp_path):
    built(alpha=0.5).save_weights(tmp_path / "other.h5")
    with pytest.raises(ModelError, match=r"other\.h5: must hold the weights of MobileNetV2, whole with 4 classes or without its top"):
        built(weights=str(tmp_path / "other.h5"))
    (tmp_path / "text.h5").write_text("no weights")
    with pytest.raises(ModelError, match=r"text\.h5: must be a file of weights \(\.h5\)\. Received: \S"):
        built(weights=str(tmp_path / "text.h5"))


def test_published_weights_out_of_reach_are_one_line(monkeypatch):
    def unreachable(*_, **__):
        raise Exception("URL fetch failure on https://example.invalid: None -- no network")

    monkeypatch.setattr("tf_keras.src.utils.data_utils.get_file", unreachable)
    with pytest.raises(ModelError, match=r"weights imagenet of application MobileNetV2 must be within reach: .*URL fetch failure"):
        built(weights="imagenet")


def test_published_weights_fill_all_but_the_last_layer(monkeypatch, tmp_path):
    keras.utils.set_random_seed(9)
    body = keras.applications.MobileNetV2(alpha=0.35, weights=None, include_top=False, input_shape=SHAPE)
    body.save_weights(tmp_path / "no_top.h5")
    monkeypatch.setattr("tf_keras.src.utils.data_utils.get_file", lambda *_, **__: str(tmp_path / "no_top.h5"))
    model = built(weights="imagenet")
    assert all(np.array_equal(old, new) for old, new in zip(body.get_weights(), model.get_weights(), strict=False))
    assert model.output_shape == (None, 4)
