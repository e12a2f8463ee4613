"""The networks of `tf_keras.applications`: their names, and what inputs their published weights were trained on."""

from __future__ import annotations

from collections.abc import Iterator

from edgecompress.recipe.preprocess import Preprocess


def _named(prefix: str, *endings: str) -> list[str]:
    return [prefix + ending for ending in endings]


# Networks that scale pixels of 0 to 255 themselves.
SCALES_ITSELF = [
    *_named("MobileNetV3", "Small", "Large"), *_named("EfficientNet", *(f"B{number}" for number in range(8))),
    *_named("EfficientNetV2", "B0", "B1", "B2", "B3", "S", "M", "L"), *_named("ConvNeXt", "Tiny", "Small", "Base", "Large", "XLarge"),
    *(_named(prefix, "002", "004", "006", "008", "016", "032", "040", "064", "080", "120", "160", "320")[index]
      for prefix in ("RegNetX", "RegNetY") for index in range(12)),
    *_named("ResNetRS", "50", "101", "152", "200", "270", "350", "420"),
]  # fmt: skip
# x / 127.5 - 1
ONE_TO_ONE = [
    "MobileNet", "MobileNetV2", "InceptionV3", "InceptionResNetV2", *_named("NASNet", "Mobile", "Large"), "Xception",
    *_named("ResNet", "50V2", "101V2", "152V2"),
]  # fmt: skip
# (x / 255 - mean) / std, of ImageNet's three colours
STANDARDIZED = _named("DenseNet", "121", "169", "201")
# x - mean, the colours in the order blue, green, red
BLUE_FIRST = [*_named("ResNet", "50", "101", "152"), *_named("VGG", "16", "19")]

APPLICATIONS = sorted([*SCALES_ITSELF, *ONE_TO_ONE, *STANDARDIZED, *BLUE_FIRST])
WITH_ALPHA = ("MobileNet", "MobileNetV2", "MobileNetV3Small", "MobileNetV3Large")  # have a width multiplier


def published_preprocess(name: str) -> Preprocess | None:
    """The `preprocess` that gives the inputs of the published weights; None where no `preprocess` can say it."""
    if name in SCALES_ITSELF:
        return Preprocess()
    if name in ONE_TO_ONE:
        return Preprocess(scale=1 / 127.5, mean=[1.0])
    return Preprocess(scale=1 / 255, mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]) if name in STANDARDIZED else None


def preprocess_warnings(name: str, weights: str | None, given: Preprocess) -> Iterator[str]:
    """Says where a recipe's `preprocess` gives a network other inputs than those that it is made for, one sentence each."""
    wanted = published_preprocess(name)
    if name in SCALES_ITSELF and _numbers(given) != _numbers(Preprocess()):
        yield f"{name} scales pixels of 0 to 255 itself; leave scale, mean and std out."
    elif weights is not None and wanted is None:
        yield f"the published weights of {name} are for pixels in the order blue, green, red, less their means; preprocess cannot say that."
    elif weights is not None and wanted is not None and _numbers(given) != _numbers(wanted):
        scale, means, stds = round(1 / wanted.scale, 1), wanted.mean, wanted.std
        yield f"the published weights of {name} are for preprocess: {{scale: 1/{scale:g}, mean: {means}, std: {stds}}}."


def _numbers(preprocess: Preprocess) -> list[float]:
    """What is computed with a pixel: the result for black and for white, per channel."""
    channels = range(max(len(preprocess.mean), len(preprocess.std), 3))
    pairs = [(preprocess.mean[i % len(preprocess.mean)], preprocess.std[i % len(preprocess.std)]) for i in channels]
    return [round((pixel * preprocess.scale - mean) / std, 3) for mean, std in pairs for pixel in (0, 255)]
