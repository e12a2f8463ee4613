"""Random networks with dead and equal channels: the shrunk file gives the same bits, under both kernel families, and loses what it can."""

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from edgecompress.tflite.shrink import Settings, apply_passes, choose_passes


def random_kernel(generator, shape, axis):
    """Integers with rows that are zero, columns that are zero, and rows that are equal."""
    kernel = generator.integers(-60, 61, shape)
    outputs = shape[axis]
    for row in range(outputs):
        index = [slice(None)] * len(shape)
        index[axis] = row
        fate = generator.integers(0, 5)
        if fate < 2:
            kernel[tuple(index)] = 0
        elif fate == 2 and row:
            index_before = list(index)
            index_before[axis] = row - 1
            kernel[tuple(index)] = kernel[tuple(index_before)]
    if axis == 0 and generator.integers(0, 2):
        kernel[..., generator.integers(0, shape[-1])] = 0
    return kernel


def random_bias(generator, kernel, axis):
    """Small and large, equal where rows are equal."""
    bias = generator.integers(-3000, 3001, kernel.shape[axis])
    rows = np.moveaxis(kernel, axis, 0).reshape(kernel.shape[axis], -1)
    for row in range(1, len(rows)):
        if (rows[row] == rows[row - 1]).all():
            bias[row] = bias[row - 1]
    return bias


def random_net(make_net, seed):
    """Convolutions, depthwise convolutions, residual additions, concatenations, pools, then a dense layer."""
    generator = np.random.default_rng(seed)

    def pick(*choices):
        return choices[generator.integers(0, len(choices))]

    net = make_net([1, 8, 8, 3])
    width = int(generator.integers(3, 7))

    def conv(x, outputs, size=None):
        size = size or pick(1, 1, 3)
        same = pick(True, True, size == 1) or net.shape(x)[1] < size  # a kernel larger than its input would leave nothing
        kernel = random_kernel(generator, (outputs, size, size, net.shape(x)[3]), 0)
        return net.conv(
            x, kernel, random_bias(generator, kernel, 0), activation=pick(None, "relu", "relu6"), same=same,
            zero_point=int(pick(-128, -5, 7)), scales=np.full(outputs, 0.02) * pick(1.0, 1.7, 0.3),
        )  # fmt: skip

    def depthwise(x):
        kernel = random_kernel(generator, (1, 3, 3, net.shape(x)[3] * int(pick(1, 1, 2))), 3)
        bias = random_bias(generator, kernel, 3)
        return net.conv(x, kernel, bias, depthwise=True, activation=pick("relu", None), zero_point=int(pick(-128, 3)))

    x = conv(net.input, width)
    for _ in range(int(generator.integers(1, 5))):
        kind = pick("conv", "depthwise", "residual", "concat", "pool", "pad")
        if kind == "conv":
            x = conv(x, int(generator.integers(3, 7)))
        elif kind == "depthwise":
            x = depthwise(x)
        elif kind == "residual":
            branch = conv(x, net.shape(x)[3], 1)
            x = net.add(x, branch, activation=pick(None, "relu"))
        elif kind == "concat":
            left, right = conv(x, 3, 1), conv(x, 4, 1)
            if (net.scale(left), net.zero_point(left)) == (net.scale(right), net.zero_point(right)):
                x = net.concat(left, right)
        elif kind == "pool" and net.shape(x)[1] >= 4:
            x = net.pool(x, kind=pick("MAX_POOL_2D", "AVERAGE_POOL_2D"))
        elif kind == "pad" and net.shape(x)[1] >= 3:
            x = conv(net.pad(x, [[1, 1], [1, 1]]), 4, 3)
    x = conv(x, int(generator.integers(3, 7)), 1)
    if generator.integers(0, 2):
        x = net.mean(x)
    else:
        x = net.reshape(x, [1, int(np.prod(net.shape(x)))])
    kernel = random_kernel(generator, (3, net.shape(x)[1]), 0)
    bias = pick(None, random_bias(generator, kernel, 0))  # only dense layers can be without
    return net.finish(net.dense(x, kernel, bias))


def shrunk(content, **wanted):
    wanted = Settings(**wanted)
    return apply_passes(content, choose_passes(wanted), wanted)[:2]


@settings(max_examples=60, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32))
@example(6103)  # two depthwise kernels in a row: what keeps the groups of one whole keeps those of the other
def test_random_networks_keep_every_bit(make_net, same_outputs, seed):
    content = random_net(make_net, seed)
    small, _ = shrunk(content)
    assert len(small) <= len(content)
    assert same_outputs(content, small)


@pytest.mark.full
@settings(max_examples=3000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32))
def test_thousands_of_random_networks_keep_every_bit(make_net, same_outputs, seed):
    content = random_net(make_net, seed)
    assert same_outputs(content, shrunk(content)[0])


@settings(max_examples=20, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32))
def test_a_second_shrink_finds_nothing(make_net, seed):
    once = shrunk(random_net(make_net, seed))[0]
    again, results = shrunk(once)
    assert again == once
    assert not any(result.changes for result in results if "channels" in result.name)
