"""Every layer that may be loaded and that Keras 3 has: translated, it computes the same; `translate` proves it or raises."""

import pytest

from edgecompress.backend import keras_3
from edgecompress.errors import ModelError
from edgecompress.models.allowed import LAYERS
from edgecompress.models.keras3 import translate
from edgecompress.models.rebuild import calls_of

KERAS_3 = keras_3()
L = KERAS_3.layers

IMAGE, SEQUENCE, VOLUME, VECTOR = (8, 8, 4), (8, 4), (6, 6, 6, 2), (6,)
RECURRENT = {"return_sequences": True}

# Name: (keywords, shape of a sample); layers of several inputs get the same one twice.
EXAMPLES = {
    **{name: ({}, VECTOR) for name in (
        "Identity", "ReLU", "LeakyReLU", "PReLU", "ELU", "Softmax", "Masking", "Flatten", "BatchNormalization",
        "LayerNormalization", "UnitNormalization", "ActivityRegularization", "Normalization")},
    **{name: ({}, VECTOR) for name in ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate")},
    **{name: ({}, SEQUENCE) for name in ("Attention", "AdditiveAttention")},
    **{name: ({"rate": 0.3}, SEQUENCE) for name in ("Dropout", "GaussianDropout", "AlphaDropout", "SpatialDropout1D")},
    "SpatialDropout2D": ({"rate": 0.3}, IMAGE), "SpatialDropout3D": ({"rate": 0.3}, VOLUME), "GaussianNoise": ({"stddev": 1.0}, VECTOR),
    "Activation": ({"activation": "gelu"}, VECTOR), "Dense": ({"units": 3, "activation": "relu"}, SEQUENCE),
    "EinsumDense": ({"equation": "abc,cd->abd", "output_shape": (None, 5), "bias_axes": "d"}, SEQUENCE),
    "Embedding": ({"input_dim": 9, "output_dim": 3}, VECTOR),
    "Reshape": ({"target_shape": (3, 2)}, VECTOR), "Permute": ({"dims": (2, 1)}, SEQUENCE), "RepeatVector": ({"n": 3}, VECTOR),
    "Conv1D": ({"filters": 3, "kernel_size": 3, "padding": "causal"}, SEQUENCE),
    "Conv2D": ({"filters": 4, "kernel_size": 3, "groups": 2, "dilation_rate": 2}, IMAGE),
    "Conv3D": ({"filters": 3, "kernel_size": 3}, VOLUME),
    "Conv1DTranspose": ({"filters": 3, "kernel_size": 3, "strides": 2}, SEQUENCE),
    "Conv2DTranspose": ({"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same"}, IMAGE),
    "Conv3DTranspose": ({"filters": 3, "kernel_size": 2, "strides": 2}, VOLUME),
    "DepthwiseConv1D": ({"kernel_size": 3, "depth_multiplier": 2}, SEQUENCE), "DepthwiseConv2D": ({"kernel_size": 3, "strides": 2}, IMAGE),
    "SeparableConv1D": ({"filters": 3, "kernel_size": 3}, SEQUENCE),
    "SeparableConv2D": ({"filters": 3, "kernel_size": 3, "depth_multiplier": 2}, IMAGE),
    **{f"{kind}Pooling{size}D": ({"pool_size": 2}, shape) for kind in ("Max", "Average")
       for size, shape in ((1, SEQUENCE), (2, IMAGE), (3, VOLUME))},
    **{f"Global{kind}Pooling{size}D": ({"keepdims": size == 2}, shape) for kind in ("Max", "Average")
       for size, shape in ((1, SEQUENCE), (2, IMAGE), (3, VOLUME))},
    **{f"{kind}{size}D": ({}, shape) for kind in ("ZeroPadding", "Cropping", "UpSampling")
       for size, shape in ((1, SEQUENCE), (2, IMAGE), (3, VOLUME))},
    "Resizing": ({"height": 5, "width": 11}, IMAGE), "CenterCrop": ({"height": 5, "width": 5}, IMAGE),
    "Rescaling": ({"scale": [0.5, 1.0, 2.0, 3.0], "offset": -1.0}, IMAGE), "GroupNormalization": ({"groups": 2}, IMAGE),
    "SpectralNormalization": (lambda: {"layer": L.Conv2D(3, 3)}, IMAGE), "Dot": ({"axes": -1}, SEQUENCE),
    "MultiHeadAttention": ({"num_heads": 2, "key_dim": 3}, SEQUENCE),
    "SimpleRNN": ({"units": 3}, SEQUENCE), "GRU": ({"units": 3, "reset_after": False}, SEQUENCE),
    "LSTM": ({"units": 3, **RECURRENT}, SEQUENCE),
    **{f"{name}Cell": (None, SEQUENCE) for name in ("SimpleRNN", "GRU", "LSTM")}, "StackedRNNCells": (None, SEQUENCE),
    "RNN": (lambda: {"cell": [L.SimpleRNNCell(3), L.GRUCell(4), L.LSTMCell(2)]}, SEQUENCE),
    "ConvLSTM1D": ({"filters": 2, "kernel_size": 2}, (3, 5, 2)), "ConvLSTM2D": ({"filters": 2, "kernel_size": 2}, (3, 5, 5, 2)),
    "ConvLSTM3D": ({"filters": 2, "kernel_size": 2}, (3, 4, 4, 4, 2)),
    "Bidirectional": (lambda: {"layer": L.LSTM(3, **RECURRENT)}, SEQUENCE), "TimeDistributed": (lambda: {"layer": L.Dense(3)}, SEQUENCE),
    "RandomFlip": ({}, IMAGE), "RandomRotation": ({"factor": 0.1}, IMAGE), "RandomZoom": ({"height_factor": 0.1}, IMAGE),
    "RandomTranslation": ({"height_factor": 0.1, "width_factor": 0.1}, IMAGE), "RandomContrast": ({"factor": 0.1}, IMAGE),
    "RandomBrightness": ({"factor": 0.1}, (8, 8, 3)), "RandomCrop": (None, IMAGE),
    "LayerScale": (None, IMAGE), "StochasticDepth": (None, IMAGE), "InputLayer": (None, VECTOR),
}  # fmt: skip
ELSEWHERE = {
    "the parts of RNN": ("SimpleRNNCell", "GRUCell", "LSTMCell", "StackedRNNCells"),
    "test_networks, ConvNeXt": ("LayerScale", "StochasticDepth"),
    "every test": ("InputLayer",),
    "the test below": ("RandomCrop",),
}
TWO_INPUTS = ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate", "Dot", "Attention", "AdditiveAttention")


def test_there_is_an_example_for_every_layer_that_keras_3_has():
    in_keras_3 = {name for name in LAYERS if hasattr(L, name)} | {"LayerScale", "StochasticDepth"}
    assert set(EXAMPLES) == in_keras_3
    assert {name for name, (options, _) in EXAMPLES.items() if options is None} == {name for names in ELSEWHERE.values() for name in names}


@pytest.mark.parametrize("name", sorted(name for name, (options, _) in EXAMPLES.items() if options is not None))
def test_translated_layer_computes_the_same(name):
    options, shape = EXAMPLES[name]
    layer = getattr(L, name)(**(options() if callable(options) else options))
    inputs = KERAS_3.Input(shape)
    if name in TWO_INPUTS:
        outputs = layer([inputs, L.ReLU(max_value=3.0)(inputs)])
    elif name == "MultiHeadAttention":
        outputs = layer(inputs, inputs)
    else:
        outputs = layer(inputs)
    translated, difference = translate(KERAS_3.Model(inputs, outputs))
    assert difference < 1e-5
    [*_, last] = calls_of(translated)
    assert (last.layer.name, type(last.layer).__name__) == (layer.name, name)


def test_layer_that_means_something_else_in_keras_2_is_refused_by_its_outputs():
    """At inference, RandomCrop of Keras 3 returns the image, that of Keras 2 resizes it."""
    inputs = KERAS_3.Input(IMAGE)
    with pytest.raises(ModelError, match="translation from Keras 3 must keep the outputs"):
        translate(KERAS_3.Model(inputs, L.RandomCrop(5, 5)(inputs)))
