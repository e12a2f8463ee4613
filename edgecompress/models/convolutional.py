"""Builders of convolutional networks for images and spectrograms [height, width, channels]; outputs are logits.

MLPerf Tiny networks: Banbury et al., MLPerf Tiny Benchmark (2021), table 2; layers as in the reference implementation
(github.com/mlcommons/tiny, benchmark/training/*/keras_model.py), whose parameter counts they reproduce, without its weight
decay. Their last AveragePooling2D over the whole map is written as GlobalAveragePooling2D: the same function for any input size.
"""

from math import ceil

from edgecompress.backend import keras, tf
from edgecompress.models.blocks import batch_norm, batch_norm_relu, convolution, dense, depthwise, dropout

# (channels as a multiple of the first convolution's, stride) of the 13 depthwise-separable blocks. Source: Howard et al.,
# MobileNets (2017), table 1.
MOBILENET_V1_BLOCKS = [(2, 1), (4, 2), (4, 1), (8, 2), (8, 1), (16, 2), *[(16, 1)] * 5, (32, 2), (32, 1)]
MOBILENET_V1_SMALLEST_MAP = 3  # pixels; of MLPerf Tiny's 96 x 96 input, the last map has 3 x 3


def cnn(inputs: tf.Tensor, num_outputs: int, width: int, seed: int) -> tf.Tensor:
    """Four 3x3 convolutions in two groups, then two Dense layers: 871,210 parameters on 28 x 28 x 1 at width 32, 10 outputs."""
    features = inputs
    for group, filters in enumerate((width, 2 * width)):
        for number in (2 * group + 1, 2 * group + 2):
            name = f"conv{number}"
            features = convolution(features, filters, (3, 3), name=name, seed=seed, use_bias=False)
            features = batch_norm_relu(features, name=name)
        features = keras.layers.MaxPooling2D(name=f"pool{group + 1}")(features)
        features = dropout(features, 0.25, name=f"dropout{group + 1}", seed=seed)
    features = keras.layers.Flatten(name="flatten")(features)
    features = dense(features, 8 * width, name="dense1", seed=seed, activation="relu")
    features = dropout(features, 0.4, name="dropout3", seed=seed)
    return dense(features, num_outputs, name="logits", seed=seed)


def ds_cnn(inputs: tf.Tensor, num_outputs: int, width: int, seed: int) -> tf.Tensor:
    """MLPerf Tiny keyword spotting: one 10x4 convolution, four depthwise-separable blocks.

    The first kernel is cut to the input where that is smaller. 24,908 parameters on 49 x 10 x 1 at width 64, 12 outputs.
    Source: Zhang et al., Hello Edge (2017), DS-CNN-S.
    """
    kernel_size = (min(10, inputs.shape[1]), min(4, inputs.shape[2]))
    features = convolution(inputs, width, kernel_size, name="conv1", seed=seed, strides=2)
    features = dropout(batch_norm_relu(features, name="conv1"), 0.2, name="dropout1", seed=seed)
    for block in range(1, 5):
        features = _separable(features, width, name=f"block{block}", seed=seed)
    features = dropout(features, 0.4, name="dropout2", seed=seed)
    features = keras.layers.GlobalAveragePooling2D(name="pool")(features)
    return dense(features, num_outputs, name="logits", seed=seed)


def mobilenet_v1(inputs: tf.Tensor, num_outputs: int, width: int, seed: int) -> tf.Tensor:
    """MobileNetV1; width 8 on 96 x 96 x 3 with 2 outputs is MLPerf Tiny's visual wake words net of 221,794 parameters.

    On inputs smaller than 96 pixels the first strides become 1, so that the last map keeps at least 3 x 3 pixels.
    Source: Howard et al., MobileNets (2017), table 1.
    """
    size = min(inputs.shape[1], inputs.shape[2])
    strides = strides_that_fit([2, *[stride for _, stride in MOBILENET_V1_BLOCKS]], size)
    features = convolution(inputs, width, (3, 3), name="conv1", seed=seed, strides=strides[0])
    features = batch_norm_relu(features, name="conv1")
    for block, ((multiple, _), stride) in enumerate(zip(MOBILENET_V1_BLOCKS, strides[1:], strict=True), start=1):
        features = _separable(features, multiple * width, name=f"block{block}", seed=seed, strides=stride)
    features = keras.layers.GlobalAveragePooling2D(name="pool")(features)
    return dense(features, num_outputs, name="logits", seed=seed)


def resnet8(inputs: tf.Tensor, num_outputs: int, width: int, seed: int) -> tf.Tensor:
    """MLPerf Tiny image classification: three residual blocks; 78,666 parameters on 32 x 32 x 3 at width 16, 10 outputs.

    Source: He et al., Deep Residual Learning (2016), section 4.2, shortened to one block per size.
    """
    features = convolution(inputs, width, (3, 3), name="conv1", seed=seed)
    features = batch_norm_relu(features, name="conv1")
    for block, (multiple, stride) in enumerate(((1, 1), (2, 2), (4, 2)), start=1):
        features = _residual(features, multiple * width, name=f"block{block}", seed=seed, strides=stride)
    features = keras.layers.GlobalAveragePooling2D(name="pool")(features)
    return dense(features, num_outputs, name="logits", seed=seed)


def _separable(inputs: tf.Tensor, filters: int, *, name: str, seed: int, strides: int = 1) -> tf.Tensor:
    """Depthwise 3x3, then pointwise 1x1, each with BatchNormalization and ReLU."""
    features = depthwise(inputs, name=f"{name}_depthwise", seed=seed, strides=strides)
    features = batch_norm_relu(features, name=f"{name}_depthwise")
    features = convolution(features, filters, (1, 1), name=f"{name}_pointwise", seed=seed)
    return batch_norm_relu(features, name=f"{name}_pointwise")


def _residual(inputs: tf.Tensor, filters: int, *, name: str, seed: int, strides: int) -> tf.Tensor:
    """Two 3x3 convolutions beside a shortcut, which is a 1x1 convolution where the shape changes."""
    features = convolution(inputs, filters, (3, 3), name=f"{name}_conv1", seed=seed, strides=strides)
    features = batch_norm_relu(features, name=f"{name}_conv1")
    features = convolution(features, filters, (3, 3), name=f"{name}_conv2", seed=seed)
    features = batch_norm(features, name=f"{name}_conv2")
    shortcut = inputs
    if strides != 1:
        shortcut = convolution(inputs, filters, (1, 1), name=f"{name}_shortcut", seed=seed, strides=strides)
    features = keras.layers.Add(name=f"{name}_add")([shortcut, features])
    return keras.layers.ReLU(name=f"{name}_relu")(features)


def strides_that_fit(strides: list[int], size: int) -> list[int]:
    """Replaces the first twos by ones until the last map of an input keeps at least MOBILENET_V1_SMALLEST_MAP pixels a side.

    Args:
        strides: of all convolutions in order, each 1 or 2, with same padding.
        size: pixels of the shorter side of the input.

    Returns:
        As many strides; all ones where the input itself is smaller.
    """
    fitted = list(strides)
    while 2 in fitted and ceil(size / 2 ** fitted.count(2)) < MOBILENET_V1_SMALLEST_MAP:
        fitted[fitted.index(2)] = 1
    return fitted
