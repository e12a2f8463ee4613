"""Rescaling against an emulation of both kernel families, padding against brute force."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecompress.tflite.shrink.quantized import Step, clamp_limits, rescale, same_padding, taps_outside

INT8 = Step(0.1, -5, -128, 127)


def fixed_point(accumulator: int, multiplier: float, *, half_up: bool) -> int:
    """The built-in kernels: a 31-bit multiplier, then a shift, both rounded; vector code rounds halves up, scalar code away from 0."""
    fraction, exponent = np.frexp(multiplier)
    mantissa = round(float(fraction) * 2**31)
    left, right = max(0, int(exponent)), max(0, -int(exponent))
    product = accumulator * 2**left * mantissa
    high = (product + (1 << 30 if product >= 0 else 1 - (1 << 30))) // 2**31 if product >= 0 else -((-product + (1 << 30)) // 2**31)
    if not right:
        return high
    half = 1 << (right - 1)
    return (high + half) >> right if half_up or high >= 0 else -((-high + half) >> right)


def in_float(accumulator: int, multiplier: float) -> int:
    """XNNPACK: one float32 product, rounded half to even."""
    return int(np.rint(np.float32(accumulator) * np.float32(multiplier)))


@given(st.integers(-(2**24), 2**24), st.floats(1e-6, 2.0), st.integers(-128, 127))
def test_what_is_sure_is_what_every_kernel_gives(accumulator, multiplier, zero_point):
    values, sure = rescale(np.array([accumulator]), np.array([multiplier]), zero_point, (-128, 127))
    if sure[0]:
        every = [fixed_point(accumulator, multiplier, half_up=way) for way in (True, False)] + [in_float(accumulator, multiplier)]
        assert {int(np.clip(value + zero_point, -128, 127)) for value in every} == {int(values[0])}


def test_nothing_is_surer_than_zero_and_halves_never_are():
    values, sure = rescale(np.array([0, 5, 1000]), np.array([0.1]), -128, (-128, 127))
    assert (values[[0, 2]].tolist(), sure.tolist()) == ([-128, -28], [True, False, True])


def test_most_accumulators_are_sure():
    _, sure = rescale(np.arange(-20_000, 20_000), np.array([0.00371]), 0, (-128, 127))
    assert sure.mean() > 0.9


@pytest.mark.parametrize(("activation", "limits"), [(0, (-128, 127)), (1, (-5, 127)), (2, (-15, 5)), (3, (-5, 55)), (4, None), (5, None)])
def test_activations_clamp_in_steps(activation, limits):
    assert clamp_limits(activation, INT8) == limits


def test_a_limit_on_half_a_step_is_not_trusted():
    assert clamp_limits(3, Step(6 / 20.5, 0, -128, 127)) is None


def test_float_limits_are_real_numbers():
    assert clamp_limits(3, None) == (0.0, 6.0)
    assert clamp_limits(0, None) == (-np.inf, np.inf)


@given(st.integers(1, 20), st.integers(1, 5), st.integers(1, 4), st.integers(1, 3))
def test_taps_outside_agree_with_brute_force(size, kernel, stride, dilation):
    before, after = same_padding(size, kernel, stride, dilation)
    outputs = -(-size // stride)
    touched = np.zeros(kernel, bool)
    for output in range(outputs):
        for tap in range(kernel):
            place = output * stride + tap * dilation - before
            touched[tap] |= not 0 <= place < size
    assert taps_outside(size, kernel, stride, dilation, same=True).tolist() == touched.tolist()
    assert not taps_outside(size, kernel, stride, dilation, same=False).any()
    assert (outputs - 1) * stride + (kernel - 1) * dilation + 1 - size <= before + after


def test_an_open_size_makes_every_tap_of_a_large_kernel_doubtful():
    assert taps_outside(None, 3, 1, 1, same=True).all()
    assert not taps_outside(None, 1, 2, 1, same=True).any()
