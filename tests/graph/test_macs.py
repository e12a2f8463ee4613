"""MACs of single layers, worked out by hand."""

import pytest

from edgecompress.backend import keras
from edgecompress.graph.layers import describe_layers

LAYERS = keras.layers
CASES = {
    # 4 inputs x 3 outputs
    "dense": ((4,), LAYERS.Dense(3), 12),
    # the same on each of 5 steps
    "dense_on_steps": ((5, 4), LAYERS.Dense(3), 60),
    # 6x6 positions, 3x3 kernel, 2 -> 5 channels
    "conv2d_same": ((6, 6, 2), LAYERS.Conv2D(5, 3, padding="same"), 36 * 9 * 2 * 5),
    # 4x4 positions without padding
    "conv2d_valid": ((6, 6, 2), LAYERS.Conv2D(5, 3), 16 * 9 * 2 * 5),
    # ceil(5 / 2) = 3 positions a side
    "conv2d_stride": ((5, 5, 2), LAYERS.Conv2D(5, 3, strides=2, padding="same"), 9 * 9 * 2 * 5),
    # a dilated 3x3 kernel covers 5x5: 2x2 positions
    "conv2d_dilated": ((6, 6, 2), LAYERS.Conv2D(5, 3, dilation_rate=2), 4 * 9 * 2 * 5),
    # each of 6 filters sees 4 / 2 channels
    "conv2d_groups": ((6, 6, 4), LAYERS.Conv2D(6, 3, padding="same", groups=2), 36 * 9 * 2 * 6),
    # 6 of 8 positions, kernel 3, 2 -> 5 channels
    "conv1d": ((8, 2), LAYERS.Conv1D(5, 3), 6 * 3 * 2 * 5),
    # 3x3x3 positions, kernel 2x2x2
    "conv3d": ((4, 4, 4, 2), LAYERS.Conv3D(5, 2), 27 * 8 * 2 * 5),
    # 6x6 positions, 3x3 kernel, 2 channels, 3 filters each
    "depthwise": ((6, 6, 2), LAYERS.DepthwiseConv2D(3, padding="same", depth_multiplier=3), 36 * 9 * 2 * 3),
    # depthwise 36 x 9 x 2, pointwise 36 x 2 x 5
    "separable": ((6, 6, 2), LAYERS.SeparableConv2D(5, 3, padding="same"), 36 * 9 * 2 + 36 * 2 * 5),
    # 4 positions; depthwise 4 x 3 x (2 * 2), pointwise 4 x 4 x 5
    "separable1d": ((6, 2), LAYERS.SeparableConv1D(5, 3, depth_multiplier=2), 4 * 3 * 4 + 4 * 4 * 5),
    # each of 3x3x2 input values meets 4x4 kernel positions of 5 filters
    "transposed": ((3, 3, 2), LAYERS.Conv2DTranspose(5, 4, strides=2, padding="same"), 9 * 2 * 16 * 5),
    # 7 steps, 4 gates, 3 units, 2 features + 3 states
    "lstm": ((7, 2), LAYERS.LSTM(3), 7 * 4 * 3 * (2 + 3)),
    "gru": ((7, 2), LAYERS.GRU(3, return_sequences=True), 7 * 3 * 3 * (2 + 3)),
    "simple_rnn": ((7, 2), LAYERS.SimpleRNN(3), 7 * 3 * (2 + 3)),
    "embedding": ((7,), LAYERS.Embedding(10, 3), 0),
    "batch_normalization": ((6, 6, 2), LAYERS.BatchNormalization(), 0),
    "max_pooling": ((6, 6, 2), LAYERS.MaxPooling2D(), 0),
}


@pytest.mark.parametrize("name", CASES)
def test_macs_equal_hand_count(name):
    input_shape, layer, expected = CASES[name]
    (info,) = describe_layers(keras.Sequential([keras.Input(input_shape), layer]))
    assert info.macs == expected
    assert info.macs_known


def test_channels_first_counts_as_channels_last():
    (info,) = describe_layers(keras.Sequential([keras.Input((2, 6, 6)), LAYERS.Conv2D(5, 3, data_format="channels_first")]))
    assert info.macs == 16 * 9 * 2 * 5


@pytest.mark.parametrize("layer", [LAYERS.Bidirectional(LAYERS.LSTM(3)), LAYERS.ConvLSTM1D(2, 1)])
def test_layer_without_a_formula_is_marked_unknown(layer):
    input_shape = (7, 2) if isinstance(layer, LAYERS.Bidirectional) else (7, 4, 2)
    (info,) = describe_layers(keras.Sequential([keras.Input(input_shape), layer]))
    assert (info.macs, info.macs_known) == (0, False)


def test_unknown_length_makes_macs_unknown():
    (info,) = describe_layers(keras.Sequential([keras.Input((None, None, 3)), LAYERS.Conv2D(4, 3)]))
    assert (info.macs, info.macs_known, info.output_shape) == (0, False, (None, None, 4))
