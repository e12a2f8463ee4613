"""Made-up inputs."""

import numpy as np
import pytest

from edgecompress.device import DeviceFault
from edgecompress.device.inputs import varied_inputs, zero_inputs
from edgecompress.device.runtime import TensorSpec


def spec(dtype, shape=(1, 5000)):
    return TensorSpec("x", 0, shape, dtype, None, None)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16"])
def test_small_integers_take_their_whole_range(dtype):
    (values,) = varied_inputs([spec(dtype)])
    step = 2 ** (8 * values.itemsize) / 1009
    limits = np.iinfo(dtype)
    assert values.dtype == dtype
    assert values.min() == limits.min
    assert values.max() >= limits.max - step
    assert abs(values.astype(float).mean() - (limits.min + limits.max) / 2) < step


def test_floats_are_spread_over_minus_one_to_one():
    (values,) = varied_inputs([spec("float32")])
    counts, _ = np.histogram(values, bins=10, range=(-1, 1))
    assert counts.sum() == 5000
    assert abs(counts - 500).max() < 10


@pytest.mark.parametrize("dtype", ["int32", "int64", "bool"])
def test_what_may_be_an_index_stays_zero(dtype):
    assert not varied_inputs([spec(dtype)])[0].any()


def test_shapes_and_scalars_fit():
    assert [values.shape for values in varied_inputs([spec("int8", ()), spec("float32", (2, 0)), spec("float32", (3, 4))])] == [
        (),
        (2, 0),
        (3, 4),
    ]
    assert zero_inputs([]) == []


@pytest.mark.parametrize("make", [zero_inputs, varied_inputs])
def test_string_inputs_are_refused(make):
    with pytest.raises(DeviceFault, match=r"input 'x' must be numbers\. Received: a string tensor"):
        make([spec("string")])
