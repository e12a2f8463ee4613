"""Operators: MACs by hand and of published models, floats among integers."""

import numpy as np
import pytest

from edgecompress.tflite import list_operators, parse
from edgecompress.tflite.operators import float_operators, operator_macs


@pytest.mark.parametrize(
    ("name", "inputs", "outputs", "expected"),
    [
        ("CONV_2D", [(1, 8, 8, 3), (16, 3, 3, 3), (16,)], [(1, 8, 8, 16)], 8 * 8 * 16 * 3 * 3 * 3),
        ("CONV_2D", [(1, 8, 8, 4), (16, 3, 3, 2), (16,)], [(1, 8, 8, 16)], 8 * 8 * 16 * 3 * 3 * 2),  # two groups
        ("DEPTHWISE_CONV_2D", [(1, 8, 8, 4), (1, 3, 3, 8), (8,)], [(1, 4, 4, 8)], 4 * 4 * 8 * 3 * 3),
        ("FULLY_CONNECTED", [(1, 640), (128, 640), (128,)], [(1, 128)], 640 * 128),
        ("FULLY_CONNECTED", [(1, 5, 8), (6, 8)], [(1, 5, 6)], 5 * 6 * 8),
        ("TRANSPOSE_CONV", [(4,), (2, 3, 3, 4), (1, 5, 5, 4)], [(1, 10, 10, 2)], 5 * 5 * 4 * 3 * 3 * 2),
        ("ADD", [(1, 8, 8, 3), (1, 8, 8, 3)], [(1, 8, 8, 3)], 0),
        ("CONV_2D", [(1, 8, 8, 3), (16,)], [(1, 8, 8, 16)], 0),  # shapes that do not fit
        ("CONV_2D", [], [], 0),
        ("FULLY_CONNECTED", [(1,) * 9, (2, 3)], [(1,) * 9], 0),
    ],
)
def test_macs_by_hand(name, inputs, outputs, expected):
    assert operator_macs(name, inputs, outputs) == expected


def test_macs_of_a_convolution_count_the_products_of_a_loop():
    """Brute force: one product per output, filter position and input channel."""
    height, width, kernel, depth, channels = 5, 4, 3, 2, 3
    padded = np.ones((height + kernel - 1, width + kernel - 1, depth))
    products = 0
    for row in range(height):
        for column in range(width):
            products += channels * padded[row : row + kernel, column : column + kernel].size
    shapes = [(1, height, width, depth), (channels, kernel, kernel, depth)]
    assert operator_macs("CONV_2D", shapes, [(1, height, width, channels)]) == products


def test_macs_of_the_mlperf_tiny_visual_wake_words_model(data_folder):
    tflite = parse((data_folder / "mlperf_tiny/vww/vww_96_int8.tflite").read_bytes())
    assert sum(operator.macs for operator in list_operators(tflite)) == pytest.approx(7.49e6, rel=1e-3)  # published: 7.49 million


def test_an_operator_lists_what_it_reads_writes_and_carries(dense_file):
    (operator,) = list_operators(parse(dense_file))
    assert (operator.name, operator.version, operator.macs, operator.weight_bytes) == ("FULLY_CONNECTED", 4, 12, 24)
    assert [(tensor.name, tensor.shape, tensor.dtype) for tensor in operator.inputs] == [
        ("input", (1, 4), "int8"),
        ("model/dense/MatMul", (3, 4), "int8"),
        ("model/dense/BiasAdd", (3,), "int32"),
    ]
    assert [tensor.name for tensor in operator.outputs] == ["output"]


def test_float_operators_leaves_out_those_that_only_translate(by_hand):
    tensors = [by_hand.tensor("q", [1], "INT8"), by_hand.tensor("f", [1]), by_hand.tensor("g", [1]), by_hand.tensor("r", [1], "INT8")]
    codes = [by_hand.code("DEQUANTIZE"), by_hand.code("SIN"), by_hand.code("QUANTIZE"), by_hand.code("RELU")]
    operators = [by_hand.operator(0, [0], [1]), by_hand.operator(1, [1], [2]), by_hand.operator(2, [2], [3]), by_hand.operator(3, [3], [0])]
    assert float_operators(parse(by_hand.pack(by_hand.file(codes, tensors, operators)))) == ["SIN (g)"]
