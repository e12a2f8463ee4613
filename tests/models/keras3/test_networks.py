"""Published networks of Keras 3: translated within 1e-5. Two small ones always, all at full size with --full."""

import pytest

from edgecompress.backend import keras_3
from edgecompress.models.keras3 import translate

LIMIT = 1e-5
NETWORKS = ("MobileNetV2", "MobileNetV3Small", "EfficientNetB0", "ResNet50", "DenseNet121", "NASNetMobile", "ConvNeXtTiny")


def largest_difference(name: str, pixels: int, **options) -> float:
    model = getattr(keras_3().applications, name)(weights=None, input_shape=(pixels, pixels, 3), classes=10, **options)
    translated, difference = translate(model)
    assert translated.count_params() - num_counters(translated) == model.count_params() - num_counters(model)
    return difference


def num_counters(model) -> int:
    """Normalization of tf_keras also counts the samples that it was adapted to, and so does that of some versions of Keras 3."""
    return sum(type(layer).__name__ == "Normalization" and len(layer.weights) == 3 for layer in model.layers)


def test_mobilenet_v3_with_its_hard_activations():
    assert largest_difference("MobileNetV3Small", 32) <= LIMIT


def test_mobilenet_v2():
    assert largest_difference("MobileNetV2", 32, alpha=0.35) <= LIMIT


@pytest.mark.full
@pytest.mark.parametrize("name", NETWORKS)
def test_network_at_full_size(name):
    assert largest_difference(name, 224) <= LIMIT
