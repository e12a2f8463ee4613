"""Where the bytes are, how much they could be, and the model as C++ source."""

import copy
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecompress.errors import ConversionError
from edgecompress.tflite import parse
from edgecompress.tflite.byte_map import bytes_by_kind
from edgecompress.tflite.c_array import c_array
from edgecompress.tflite.entropy import entropy_bytes, value_entropy
from edgecompress.tflite.pack import pack
from edgecompress.tflite.unpack import unpack


def test_kinds_add_up_to_the_file(model_contents):
    for path, content in model_contents.items():
        assert sum(bytes_by_kind(content).values()) == len(content), path


def test_constants_scales_and_names_are_counted(dense_file):
    kinds = bytes_by_kind(dense_file)
    assert (kinds["weights int8"], kinds["weights int32"]) == (12, 12)
    assert kinds["scales"] == 3 * 4 + 4 * (1 + 3 + 1)  # three vectors and their lengths


def test_entropy_of_known_distributions():
    assert value_entropy(np.zeros(10, np.uint8)) == 0
    assert value_entropy(np.arange(256, dtype=np.uint8)) == pytest.approx(8)
    assert value_entropy(np.array([0, 0, 0, 1], np.uint8)) == pytest.approx(0.811278, abs=1e-6)
    assert value_entropy(np.array([], np.uint8)) == 0


@given(st.binary(min_size=1, max_size=200))
def test_entropy_never_exceeds_the_bytes(data):
    assert 0 <= value_entropy(np.frombuffer(data, np.uint8)) <= 8


def test_entropy_of_a_file_is_below_its_constants(dense_file):
    assert 0 < entropy_bytes(parse(dense_file)) <= 24


def test_equal_buffers_that_are_stored_once_have_their_entropy_once(by_hand, dense_model):
    model = copy.deepcopy(dense_model)
    model.buffers.append(copy.deepcopy(model.buffers[1]))
    model.subgraphs[0].tensors.append(by_hand.tensor("again", [3, 4], "INT8", buffer=len(model.buffers) - 1))
    once, twice = (parse(pack(unpack(by_hand.pack(one)))) for one in (dense_model, model))
    assert entropy_bytes(twice) == entropy_bytes(once)


def test_the_c_array_holds_the_file_and_registers_its_operators(dense_file):
    files = c_array(dense_file, "my model-2")
    numbers = re.findall(r"0x([0-9a-f]{2}),", files["model.cc"])
    assert bytes(int(number, 16) for number in numbers) == dense_file
    assert "alignas(16)" in files["model.cc"]
    assert f"my_model_2_bytes = {len(dense_file)}" in files["model.h"]
    assert "resolver.AddFullyConnected()" in files["model.h"]
    assert "my_model_2_num_operators = 1;" in files["model.h"]


def test_an_operator_that_the_micro_runtime_lacks_is_named(by_hand):
    tensors = [by_hand.tensor("a", [1]), by_hand.tensor("b", [1])]
    content = by_hand.pack(by_hand.file([by_hand.code("ATAN2")], tensors, [by_hand.operator(0, [0, 0], [1])], outputs=[1]))
    with pytest.raises(ConversionError, match=r"ones that TensorFlow Lite Micro has\. Received: ATAN2"):
        c_array(content, "m")
