"""Rules of the Edge TPU, against what its compiler did to Google's own test models, and case by case."""

import pytest

from edgecompress.tflite import parse
from edgecompress.tflite.edgetpu import COMPILED, explain_compiled, is_compiled, place_operators

from .conftest import code, file, operator, pack, tensor

PAIRS = [
    "deeplabv3_mnv2_dm05_pascal_quant", "keras_lstm_mnist_ptq", "mobilenet_v1_0.25_128_quant", "mobilenet_v1_0.5_160_quant", "split_concat",
]  # fmt: skip


@pytest.mark.parametrize("name", PAIRS)
def test_operators_left_are_those_that_the_real_compiler_left(data_folder, name):
    folder = data_folder / "tflite_coral"
    placements = place_operators((folder / f"{name}.tflite").read_bytes())
    compiled = parse((folder / f"{name}_edgetpu.tflite").read_bytes())
    names = [compiled.operator_codes[step.code].name for step in compiled.subgraphs[0].operators]
    assert [place.operator for place in placements if place.fate != "maps"] == [name for name in names if name != COMPILED]


def test_a_compiled_file_is_explained(data_folder):
    folder = data_folder / "tflite_coral"
    whole, part = (parse((folder / f"{name}_edgetpu.tflite").read_bytes()) for name in ("split_concat", "deeplabv3_mnv2_dm05_pascal_quant"))
    assert "nothing is left for the CPU" in explain_compiled(whole)
    assert "8 operators run on the CPU (RESIZE_BILINEAR, QUANTIZE, CONCATENATION, CONV_2D, ARG_MAX)" in explain_compiled(part)
    assert not is_compiled(parse((folder / "split_concat.tflite").read_bytes()))


def one(name, tensors, inputs, outputs, buffers=()):
    """The placement of one operator."""
    return place_operators(pack(file([code(name)], tensors, [operator(0, inputs, outputs)], buffers, inputs[:1], outputs)))[0]


@pytest.mark.parametrize(("dtype", "shape", "fate", "words"), [
    ("INT8", [1, 4, 4, 2], "maps", ""),
    ("UINT8", [4], "maps", ""),
    ("FLOAT32", [1, 4, 4, 2], "does_not_map", "tensors must be int8 or uint8. Received: float32"),
    ("INT16", [1, 4], "does_not_map", "Received: int16"),
    ("INT8", [2, 4, 4, 2], "does_not_map", "only the 3 innermost dimensions may be above 1. Received: [2, 4, 4, 2]"),
])  # fmt: skip
def test_types_and_shapes_decide(dtype, shape, fate, words):
    place = one("TANH", [tensor("in", shape, dtype), tensor("out", shape, dtype)], [0], [1])
    assert (place.fate, words in place.reason) == (fate, True)


def test_an_operator_that_it_lacks_comes_with_a_rewrite():
    place = one("HARD_SWISH", [tensor("in", [1, 4], "INT8"), tensor("out", [1, 4], "INT8")], [0], [1])
    assert (place.fate, place.rewrite) == ("does_not_map", "use relu6")


@pytest.mark.parametrize(("shape", "fate"), [([1, 16_000], "maps"), ([1, 16_001], "does_not_map"), ([1, 2, 5], "does_not_map")])
def test_softmax_is_short_and_flat(shape, fate):
    assert one("SOFTMAX", [tensor("in", shape, "INT8"), tensor("out", shape, "INT8")], [0], [1]).fate == fate


def test_what_reads_from_the_cpu_stays_there_and_the_rest_does_not():
    tensors = [tensor(name, [1, 4], "INT8") for name in ("in", "a", "b", "c", "d")]
    steps = [operator(0, [0], [1]), operator(1, [1], [2]), operator(0, [2], [3]), operator(0, [1], [4])]
    fates = [place.fate for place in place_operators(pack(file([code("TANH"), code("ELU")], tensors, steps, outputs=(3, 4))))]
    assert fates == ["maps", "does_not_map", "behind", "maps"]
