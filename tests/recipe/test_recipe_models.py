"""The `model:` section: which networks it knows, and what it says of inputs that a network was not made for."""

import pytest

from edgecompress.errors import RecipeError
from edgecompress.recipe import check_recipe, load_recipe
from edgecompress.recipe.applications import APPLICATIONS


def loaded(model: str, preprocess: str = "{}"):
    text = f"name: n\ndata: {{source: digits, preprocess: {preprocess}}}\nmodel: {model}\nstages: [train: {{epochs: 1}}]"
    return load_recipe("r.yaml", text=text)


def test_every_source_is_read():
    application = loaded("{source: application, name: MobileNetV2, weights: null, input_shape: [96, 96, 3], classes: 10, alpha: 0.35}")
    assert (application.model.input_shape, application.model.classes, application.model.alpha) == ([96, 96, 3], 10, 0.35)
    assert loaded("{source: file, path: m.keras, input_shape: [32]}").model.input_shape == [32]
    assert loaded("{source: python, path: 'models.py:make'}").model.path == "models.py:make"


def test_names_are_known_once():
    assert len(set(APPLICATIONS)) == len(APPLICATIONS) == 71


@pytest.mark.parametrize(
    ("model", "pattern"),
    [
        (
            "{source: application, name: MobilNetV2}",
            r"^r\.yaml:3: model\.name: name must be a network of tf_keras\.applications, such as MobileNetV2\. "
            r"Received: 'MobilNetV2'\. Did you mean 'MobileNetV2'\?$",
        ),
        (
            "{source: application, name: ResNet50, alpha: 2}",
            r"model: alpha must be absent for ResNet50; it works with MobileNet, .*2\.0\.$",
        ),
        ("{source: application, name: ResNet50, input_shape: [96, 96]}", r"model\.input_shape: input_shape must be a list of 3 whole"),
        ("{source: file, path: m.h5, input_shape: [0]}", r"model\.input_shape\.0: item must be a whole number greater than 0 "),
        ("{source: python}", r"model\.path: path must be given: text\. Received: nothing\.$"),
    ],
)
def test_bad_models_are_named_with_their_line(model, pattern):
    with pytest.raises(RecipeError, match=pattern):
        loaded(model)


@pytest.mark.parametrize(
    ("model", "preprocess", "warning"),
    [
        ("EfficientNetB0", "{scale: 1/255}", "EfficientNetB0 scales pixels of 0 to 255 itself; leave scale, mean and std out."),
        ("EfficientNetB0", "{resize: [64, 64]}", None),
        ("MobileNetV2", "{scale: 1/255}", None),  # random weights take any inputs
        ("MobileNetV2, weights: w.h5", "{scale: 1/255}", "{scale: 1/127.5, mean: [1.0], std: [1.0]}."),
        ("MobileNetV2, weights: w.h5", "{scale: 1/127.5, mean: [1.0]}", None),
        ("MobileNetV2, weights: w.h5", "{mean: [127.5], std: [127.5]}", None),  # the same numbers, written otherwise
        ("DenseNet121, weights: imagenet", "{}", "{scale: 1/255, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}."),
        ("VGG16, weights: imagenet", "{}", "in the order blue, green, red, less their means; preprocess cannot say that."),
    ],
)
def test_inputs_that_a_network_was_not_made_for_are_warned_of(model, preprocess, warning):
    warnings = check_recipe(loaded(f"{{source: application, name: {model}}}", preprocess))
    assert [text.endswith(warning) for text in warnings] == [True] if warning else warnings == []


def test_random_weights_that_nothing_trains_are_warned_of():
    text = "name: n\ndata: {source: digits}\nmodel: {source: application, name: ResNet50%s}"
    assert "its weights are random" in check_recipe(load_recipe("r.yaml", text=text % ""))[0]
    assert not any("random" in warning for warning in check_recipe(load_recipe("r.yaml", text=text % ", weights: w.h5")))
