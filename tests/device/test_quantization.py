"""quantize and dequantize against properties and a brute-force oracle."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecompress.device.quantization import dequantize, quantize
from edgecompress.device.runtime import TensorSpec

SMALL_TYPES = st.sampled_from(["int8", "uint8", "int16"])
SCALES = st.floats(2.0**-20, 2.0**10, width=32)


def spec(dtype, scale=None, zero_point=0):
    return TensorSpec("x", 0, (1,), dtype, scale, zero_point if scale is not None else None)


@st.composite
def specs(draw):
    dtype = draw(SMALL_TYPES)
    limits = np.iinfo(dtype)
    return spec(dtype, draw(SCALES), draw(st.integers(limits.min, limits.max)))


@given(specs())
def test_every_integer_survives_the_round_trip(tensor):
    limits = np.iinfo(tensor.dtype)
    stored = np.arange(limits.min, limits.max + 1, 1 if tensor.dtype != "int16" else 97).astype(tensor.dtype)
    np.testing.assert_array_equal(quantize(dequantize(stored, tensor), tensor), stored)


@given(specs(), st.floats(0, 1))
def test_error_is_at_most_half_a_step_inside_the_range(tensor, position):
    limits = np.iinfo(tensor.dtype)
    low, high = dequantize(np.array([limits.min, limits.max]), tensor).astype(np.float64)
    value = np.float32(low + position * (high - low))
    error = abs(float(dequantize(quantize(value, tensor), tensor)) - float(value))
    # Beside the half step: float32 rounding of the value and of the result, each at most 2^-24 of the largest number.
    assert error <= 0.5 * tensor.scale * (1 + 1e-4) + max(abs(low), abs(high)) * 2.0**-22


@given(specs(), st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=20))
def test_agrees_with_exact_arithmetic_away_from_ties(tensor, values):
    limits = np.iinfo(tensor.dtype)
    received = quantize(np.array(values, np.float32), tensor)
    for value, integer in zip(values, received, strict=True):
        exact = Fraction(value) / Fraction(tensor.scale) + tensor.zero_point
        if abs(exact) < 2**17 and abs(exact - round(exact)) < Fraction(2, 5):  # float32 division is exact to a hundredth of a step there
            assert int(integer) == min(max(round(exact), limits.min), limits.max)


def test_rounds_half_to_even_then_clips():
    values = np.array([0.5, 1.5, 2.5, -0.5, -1.5, 1000.0, -1000.0, np.inf, -np.inf])
    np.testing.assert_array_equal(quantize(values, spec("int8", 1.0)), [0, 2, 2, 0, -2, 127, -128, 127, -128])
    np.testing.assert_array_equal(quantize(np.array([-100.0]), spec("int8", 0.5)), [-128])  # a bare cast would wrap to 56


def test_zero_is_the_zero_point():
    assert quantize(np.zeros(1), spec("uint8", 0.1, 131))[0] == 131
    assert dequantize(np.array([131], np.uint8), spec("uint8", 0.1, 131))[0] == 0.0


def test_nan_is_an_error_for_integers_and_passes_for_floats():
    with pytest.raises(ValueError, match=r"values for the int8 tensor 'x' must be numbers\. Received: NaN"):
        quantize(np.array([np.nan]), spec("int8", 1.0))
    assert np.isnan(quantize(np.array([np.nan]), spec("float32")))[0]


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_wide_integers_clip_without_overflow(dtype):
    received = quantize(np.array([1e30, -1e30, 2.0, 123456789.0]), spec(dtype))
    limits = np.iinfo(dtype)
    assert limits.max - received[0] < 1024  # for int64 the largest float64 below 2^63
    assert received[1:].tolist() == [limits.min, 2, 123456789]


def test_tensors_without_scale_keep_their_values():
    np.testing.assert_array_equal(quantize(np.array([0.0, 2.0]), spec("bool")), [False, True])
    np.testing.assert_array_equal(quantize(np.array([0.25]), spec("float32")), np.float32([0.25]))
    np.testing.assert_array_equal(dequantize(np.array([7], np.int64), spec("int64")), np.float32([7.0]))


def test_inputs_stay_untouched():
    values = np.array([1.0, 2.0], np.float32)
    quantize(values, spec("int8", 0.5))
    stored = np.array([1.0, 2.0], np.float32)
    dequantize(stored, spec("float32", 0.5, 3))[0] = 9
    assert values.tolist() == stored.tolist() == [1.0, 2.0]
