"""One operator cut out of a file computes what it computes there."""

import numpy as np
import pytest

from edgecompress.backend import keras, tf
from edgecompress.device.runtime import TfliteModel
from edgecompress.tflite import list_operators, parse
from edgecompress.tflite.cut import cut_operator
from edgecompress.tflite.kernel_writing import IntegerKernel, write_kernels
from edgecompress.tflite.weights import read_constant, weighted_operators


@pytest.fixture(scope="module")
def content():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 6, 2), batch_size=1)
    x = keras.layers.Conv2D(4, 3, activation="relu", name="first")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3, bias_initializer="ones", name="last")(keras.layers.Flatten()(x)))
    return tf.lite.TFLiteConverter.from_keras_model(model).convert()


def test_the_parts_of_a_file_give_what_the_whole_gives(content):
    image = np.random.default_rng(0).normal(size=(1, 6, 6, 2)).astype(np.float32)
    (expected,) = TfliteModel(content).invoke([image])
    values = image
    for position in range(len(parse(content).subgraphs[0].operators)):
        part = TfliteModel(cut_operator(content, position))
        (values,) = part.invoke([values])
    np.testing.assert_allclose(values, expected, rtol=1e-6)


def test_nothing_but_the_operator_is_left(content):
    cut = cut_operator(content, 0)
    assert [operator.name for operator in list_operators(parse(cut))] == ["CONV_2D"]
    assert len(parse(cut).subgraphs[0].tensors) == 4
    assert len(cut) < len(content)


def test_what_decodes_a_kernel_comes_along(content):
    tflite = parse(content)
    dense = weighted_operators(tflite)[-1]
    kernel = read_constant(tflite, tflite.subgraphs[0].tensors[dense.kernel_index])
    scales = np.abs(kernel).max(axis=1) / 7
    packed = write_kernels(
        content, {dense.kernel_index: IntegerKernel(np.round(kernel / scales[:, None]).astype(np.int8), scales, 0, 4)}, "float"
    )
    cut = cut_operator(packed, len(parse(packed).subgraphs[0].operators) - 1)
    assert [operator.name for operator in list_operators(parse(cut))] == ["DEQUANTIZE", "FULLY_CONNECTED"]
    (given,) = parse(cut).subgraphs[0].inputs
    values = np.ones((1, kernel.shape[1]), np.float32)
    assert parse(cut).subgraphs[0].tensors[given].shape == values.shape
    bias = read_constant(tflite, tflite.subgraphs[0].tensors[dense.operator.inputs[2]])
    expected = values @ (np.round(kernel / scales[:, None]) * scales[:, None]).T + bias
    np.testing.assert_allclose(TfliteModel(cut).invoke([values])[0], expected, rtol=1e-5)
