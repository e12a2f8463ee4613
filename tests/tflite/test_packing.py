"""Integers of fewer than 8 bits in bytes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecompress.tflite.packing import pack_integers, unpack_integers


def test_the_first_value_lies_in_the_lowest_bits():
    assert pack_integers(np.array([1, -1, 7]), 4).tolist() == [0xF1, 0x07]
    assert pack_integers(np.array([1, 0, -1, -2, 1]), 2).tolist() == [0b10_11_00_01, 0b01]


@given(st.data(), st.sampled_from([2, 4, 8]), st.integers(1, 40))
def test_what_is_packed_is_unpacked(data, bits, size):
    limit = 1 << (bits - 1)
    values = np.array(data.draw(st.lists(st.integers(-limit, limit - 1), min_size=size, max_size=size)), np.int8)
    packed = pack_integers(values, bits)
    assert packed.size == -(-size * bits // 8)
    assert unpack_integers(packed, bits, (size,)).tolist() == values.tolist()


def test_shape_is_kept():
    values = np.arange(-8, 7).reshape(3, 5)
    np.testing.assert_array_equal(unpack_integers(pack_integers(values, 4), 4, (3, 5)), values)


@pytest.mark.parametrize("shape", [(5,), (1,), (2, 3)])
def test_another_number_of_bytes_is_no_constant(shape):
    assert unpack_integers(np.zeros(2, np.uint8), 4, shape) is None
