"""What a small file may cost when its channels are followed, and that nothing is lost where a limit is met."""

import tracemalloc

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgecompress.tflite.shrink import Settings, apply_passes, channels, choose_passes
from edgecompress.tflite.shrink.census import count_channels


def measured(content):
    """The count of channels, and the most memory that it took, in bytes."""
    tracemalloc.start()
    found, peak = count_channels(content), tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found, peak


def float_dense(net, x, kernel):
    """A dense operator on a kernel that others may use, too."""
    result = net.tensor([1, net.shape(kernel)[0]], "FLOAT32")
    return net.operator("FULLY_CONNECTED", [x, kernel, -1], [result], schema.FullyConnectedOptionsT())


def test_tensors_that_only_claim_many_channels_take_little_memory(make_net):
    net = make_net([1, 2], "FLOAT32", None)
    for _ in range(500):
        net.tensor([1, 65_536], "FLOAT32")
    content = net.finish(net.dense(net.input, np.float32([[1, 2]])))
    found, peak = measured(content)
    assert found.total == 1
    assert peak < 200e6  # five arrays of all places; 65,536 Python objects for each tensor would be gigabytes


def test_operators_on_many_channels_take_little_memory(make_net):
    net = make_net([1, 65_536], "FLOAT32", None)
    x = net.input
    for _ in range(16):
        x = net.operator("RELU", [x], [net.tensor([1, 65_536], "FLOAT32")])
    _, peak = measured(net.finish(x))
    assert peak < 60e6  # an object for each channel of each result took 228 MB


def test_reshapes_with_many_couples_take_little_memory(make_net):
    net = make_net([1, 1024, 1023])
    results = [net.reshape(net.input, [1, 1023, 1024], in_options_only=True) for _ in range(20)]
    _, peak = measured(net.finish(*results))
    assert peak < 160e6  # 17 MB for each; together, without a limit, 335 MB


def test_operators_that_share_a_kernel_of_many_rows_take_little_memory(make_net):
    net = make_net([1, 2], "FLOAT32", None)
    kernel = net.constant(np.arange(2**17, dtype=np.float32).reshape(-1, 2), "FLOAT32")
    found, peak = measured(net.finish(*(float_dense(net, net.input, kernel) for _ in range(6))))
    assert (found.total, found.constant, found.equal) == (6 * 65_536, 0, 0)
    assert peak < 60e6  # an object for each row of each operator took 24 MB per operator


def test_a_constant_of_one_column_is_not_spread_over_the_channels(make_net):
    net = make_net([1, 8192], "FLOAT32", None)
    column = net.constant(np.arange(8192, dtype=np.float32).reshape(-1, 1), "FLOAT32")
    result = net.operator("ADD", [net.input, column], [net.tensor([8192, 8192], "FLOAT32")], schema.AddOptionsT())
    _, peak = measured(net.finish(result))
    assert peak < 10e6  # 8192 x 8192 would be 67 MB


def test_a_result_that_two_operators_write_is_not_followed(make_net):
    net = make_net([1, 2], "FLOAT32", None)
    zeros, ones = (net.constant(np.full((3, 2), value, np.float32), "FLOAT32") for value in (0, 1))
    x = float_dense(net, net.input, zeros)
    net.operator("FULLY_CONNECTED", [net.input, ones, -1], [x], schema.FullyConnectedOptionsT())
    found = count_channels(net.finish(float_dense(net, x, net.constant(np.ones((1, 3), np.float32), "FLOAT32"))))
    assert (found.total, found.constant) == (1, 0)  # the last one alone


def test_constants_beyond_the_limit_are_unknown(make_net, monkeypatch):
    net = make_net([1, 2])
    content = net.finish(net.dense(net.input, np.zeros((4, 2), int), [0, 500, 500, 1000]))
    assert count_channels(content).constant == 4
    monkeypatch.setattr(channels, "MAX_CONSTANTS", 2)
    found = count_channels(content)
    assert (found.total, found.constant) == (4, 3)


@pytest.mark.parametrize("most", [0, 6, 12, 30])
def test_an_operator_beyond_the_limit_keeps_its_channels(make_net, same_outputs, monkeypatch, most):
    monkeypatch.setattr(channels, "MAX_FOLLOWED", most)
    net = make_net([1, 4, 4, 2])
    kernel = np.arange(1, 7).reshape(3, 1, 1, 2)
    kernel[0] = 0
    x = net.conv(net.input, kernel, [500, 0, 0])
    x = net.conv(x, np.full((1, 3, 3, 3), 3), [0, 0, 0], depthwise=True, activation="relu", zero_point=-128)
    x = net.pool(net.conv(net.pad(x, [[1, 1], [1, 1]]), kernel[[0, 1, 0]][..., [0, 1, 1]], [500, 0, 0]))
    before = net.finish(net.dense(net.reshape(x, [1, 27]), np.arange(54).reshape(2, 27) - 20, [7, 8]))
    wanted = Settings()
    after, _ = apply_passes(before, choose_passes(wanted), wanted)[:2]
    assert same_outputs(before, after)
