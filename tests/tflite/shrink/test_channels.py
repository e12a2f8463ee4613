"""Channels by hand: what is removed, what goes into which bias, what stays and why."""

import numpy as np
import pytest

from edgecompress.tflite import parse
from edgecompress.tflite.shrink import Settings, apply_passes, choose_passes
from edgecompress.tflite.shrink.census import count_channels
from edgecompress.tflite.weights import read_constant, weighted_operators


def shrunk(content, **wanted):
    wanted = Settings(**wanted)
    return apply_passes(content, choose_passes(wanted), wanted)[:2]


def kernels(content):
    """Stored kernels, and biases, of a file."""
    tflite = parse(content)
    tensors = tflite.subgraphs[0].tensors
    found = weighted_operators(tflite)
    return [read_constant(tflite, tensors[one.kernel_index]) for one in found], [
        read_constant(tflite, tensors[one.operator.inputs[2]]) if len(one.operator.inputs) > 2 and one.operator.inputs[2] >= 0 else None
        for one in found
    ]


def shapes(content):
    return [kernel.shape for kernel in kernels(content)[0]]


def notes(results):
    return [note for result in results for note in result.notes]


def two_convolutions(make_net, bias, *, size=1, same=True, second_same=True):
    """Three channels, the middle one dead, then a convolution with a `size` x `size` kernel."""
    net = make_net([1, 6, 6, 2])
    kernel = np.arange(1, 7).reshape(3, 1, 1, 2)
    kernel[1] = 0
    x = net.conv(net.input, kernel, bias, zero_point=-20, scale=0.1)
    y = net.conv(x, np.arange(1, 3 * size * size * 2 + 1).reshape(2, size, size, 3), [5, 6], same=second_same, zero_point=1)
    return net.finish(y)


def test_the_constant_of_a_dead_channel_goes_into_the_next_bias(make_net, same_outputs):
    """bias 500 of scale 0.05 * 0.02 is 0.5, stored 0.5 / 0.1 = 5 above the zero point; times the weights 2 and 5."""
    before = two_convolutions(make_net, [0, 500, 0])
    after, _ = shrunk(before)
    assert shapes(after) == [(2, 1, 1, 2), (2, 1, 1, 2)]
    assert kernels(after)[1][1].tolist() == [5 + 5 * 2, 6 + 5 * 5]
    assert same_outputs(before, after)


def test_a_constant_that_padding_would_interrupt_stays(make_net, same_outputs):
    before = two_convolutions(make_net, [0, 500, 0], size=3)
    after, results = shrunk(before)
    assert shapes(after) == shapes(before)
    assert notes(results) == ["CONV_2D 0: 1 of 3 channels are constant and stay for CONV_2D"]
    assert same_outputs(before, after)


@pytest.mark.parametrize(("bias", "second_same"), [([0, 0, 0], True), ([0, 500, 0], False)])
def test_without_padding_or_where_the_constant_is_the_padding_it_goes(make_net, same_outputs, bias, second_same):
    before = two_convolutions(make_net, bias, size=3, second_same=second_same)
    after, _ = shrunk(before)
    assert shapes(after) == [(2, 1, 1, 2), (2, 3, 3, 2)]
    assert same_outputs(before, after)


def test_a_constant_that_kernels_might_round_differently_stays(make_net, same_outputs):
    """0.05 * 0.02 * 550 / 0.1 is 5.5: the built-in kernels and XNNPACK need not agree on it."""
    before = two_convolutions(make_net, [0, 550, 0])
    after, _ = shrunk(before)
    assert shapes(after) == shapes(before)
    assert same_outputs(before, after)


def test_a_channel_that_nothing_reads_goes_though_it_lives(make_net, same_outputs):
    net = make_net([1, 6, 6, 2])
    x = net.conv(net.input, np.arange(1, 7).reshape(3, 1, 1, 2), [1, 2, 3])
    x = net.conv(x, np.full((1, 3, 3, 3), 3), [0, 0, 0], depthwise=True, activation="relu", zero_point=-128)
    kernel = np.arange(1, 7).reshape(2, 1, 1, 3)
    kernel[..., 1] = 0
    before = net.finish(net.conv(x, kernel, [0, 0]))
    after, _ = shrunk(before)
    assert shapes(after) == [(2, 1, 1, 2), (1, 3, 3, 2), (2, 1, 1, 2)]
    assert same_outputs(before, after)


def test_a_residual_addition_loses_only_what_is_dead_on_both_sides(make_net, same_outputs):
    net = make_net([1, 4, 4, 2])
    left, right = np.arange(1, 9).reshape(4, 1, 1, 2), np.arange(2, 10).reshape(4, 1, 1, 2)
    left[[1, 2]], right[[2, 3]] = 0, 0
    x = net.add(net.conv(net.input, left, np.zeros(4)), net.conv(net.input, right, np.zeros(4)))
    before = net.finish(net.conv(x, np.arange(1, 9).reshape(2, 1, 1, 4), [0, 0]))
    after, results = shrunk(before)
    assert shapes(after) == [(3, 1, 1, 2), (3, 1, 1, 2), (2, 1, 1, 3)]
    assert notes(results) == [f"CONV_2D {number}: 1 of 3 channels are constant and stay for CONV_2D" for number in (0, 1)]
    assert same_outputs(before, after)


def test_concatenation_reshape_and_dense_follow(make_net, same_outputs):
    net = make_net([1, 4, 4, 2])
    left, right = np.arange(1, 7).reshape(3, 1, 1, 2), np.arange(2, 6).reshape(2, 1, 1, 2)
    left[0], right[1] = 0, 0
    x = net.concat(net.conv(net.input, left, np.zeros(3)), net.conv(net.input, right, np.zeros(2)))
    x = net.reshape(net.pool(x), [1, 20])
    before = net.finish(net.dense(x, np.arange(40).reshape(2, 20) - 20, [7, 8]))
    after, _ = shrunk(before)
    assert shapes(after) == [(2, 1, 1, 2), (1, 1, 1, 2), (2, 12)]
    dense = (np.arange(40).reshape(2, 20) - 20).reshape(2, 4, 5)[:, :, [1, 2, 3]].reshape(2, 12)
    assert kernels(after)[0][2].tolist() == dense.tolist()
    assert same_outputs(before, after)


def test_a_reshape_whose_shape_is_in_its_options_alone_follows(make_net, same_outputs):
    """As older converters write it."""
    net = make_net([1, 4, 4, 2])
    kernel = np.arange(1, 7).reshape(3, 1, 1, 2)
    kernel[0] = 0
    x = net.reshape(net.conv(net.input, kernel, np.zeros(3)), [1, 48], in_options_only=True)
    before = net.finish(net.dense(x, np.arange(96).reshape(2, 48) - 48, [7, 8]))
    after, _ = shrunk(before)
    assert shapes(after) == [(2, 1, 1, 2), (2, 32)]
    assert same_outputs(before, after)


def test_equal_channels_become_one_with_the_sum_of_the_weights(make_net, same_outputs):
    net = make_net([1, 4, 4, 2])
    kernel = np.array([[1, 2], [3, 4], [1, 2]]).reshape(3, 1, 1, 2)
    x = net.conv(net.input, kernel, [5, 6, 5])
    before = net.finish(net.conv(x, np.array([[10, 20, 30], [1, 2, -3]]).reshape(2, 1, 1, 3), [0, 0]))
    after, _ = shrunk(before)
    assert kernels(after)[0][1].reshape(2, 2).tolist() == [[40, 20], [-2, 2]]
    assert same_outputs(before, after)


def test_equal_channels_whose_weights_would_not_fit_stay(make_net):
    net = make_net([1, 4, 4, 2])
    x = net.conv(net.input, np.array([[1, 2], [1, 2]]).reshape(2, 1, 1, 2), [5, 5])
    before = net.finish(net.conv(x, np.array([[100, 100]]).reshape(1, 1, 1, 2), [0]))
    assert shapes(shrunk(before)[0]) == shapes(before)


def test_a_tensor_keeps_one_channel_when_all_are_dead(make_net, same_outputs):
    net = make_net([1, 4, 4, 2])
    x = net.conv(net.input, np.zeros((3, 1, 1, 2), int), [0, 0, 0])
    before = net.finish(net.conv(x, np.arange(1, 7).reshape(2, 1, 1, 3), [3, 4]))
    after, _ = shrunk(before)
    assert shapes(after) == [(1, 1, 1, 2), (2, 1, 1, 1)]
    assert same_outputs(before, after)


def test_outputs_of_the_graph_stay_whole(make_net):
    net = make_net([1, 4, 4, 2])
    before = net.finish(net.conv(net.input, np.zeros((3, 1, 1, 2), int), [0, 0, 0]))
    after, results = shrunk(before)
    assert shapes(after) == shapes(before)
    assert notes(results) == ["CONV_2D 0: 3 of 3 channels are constant and stay for an output"]


def depthwise_net(make_net, activation):
    """Eleven channels, six of them dead, through a depthwise convolution whose results may be negative or not."""
    net = make_net([1, 6, 6, 3])
    kernel = np.random.default_rng(0).integers(-60, 60, (11, 1, 1, 3))
    kernel[[0, 2, 3, 5, 9, 10]] = 0
    x = net.conv(net.input, kernel, np.zeros(11), zero_point=3)
    depthwise = np.random.default_rng(1).integers(-60, 60, (1, 3, 3, 11))
    x = net.conv(x, depthwise, np.zeros(11), depthwise=True, activation=activation, zero_point=3)
    return net.finish(net.conv(x, np.random.default_rng(2).integers(-60, 60, (2, 1, 1, 11)), [0, 0]))


def test_depthwise_outputs_stay_in_whole_groups_where_halves_below_zero_are_rounded(make_net, same_outputs):
    """Four of the first eight channels live and one of the three behind them: the eight stay whole, and one behind them."""
    before = depthwise_net(make_net, None)
    after, _ = shrunk(before)
    assert shapes(after)[1] == (1, 3, 3, 9)
    assert same_outputs(before, after, trials=40)


def test_depthwise_outputs_behind_a_relu_need_no_groups(make_net, same_outputs):
    before = depthwise_net(make_net, "relu")
    after, _ = shrunk(before)
    assert shapes(after)[1] == (1, 3, 3, 5)
    assert same_outputs(before, after, trials=40)


def test_numbers_of_channels_are_rounded_where_asked(make_net, same_outputs):
    net = make_net([1, 4, 4, 2])
    kernel = np.arange(1, 25).reshape(12, 1, 1, 2)
    kernel[[0, 3, 4, 8, 10]] = 0
    x = net.conv(net.input, kernel, np.zeros(12))
    before = net.finish(net.conv(x, np.arange(24).reshape(2, 1, 1, 12), [0, 0]))
    assert shapes(shrunk(before)[0])[0][0] == 7
    rounded = shrunk(before, round_to=4)[0]
    assert shapes(rounded)[0][0] == 8
    assert same_outputs(before, rounded)


def float_net(make_net, bias):
    net = make_net([1, 4, 4, 2], "FLOAT32", None)
    kernel = np.float32([[0.5, -1], [0, 0], [2, 1]]).reshape(3, 1, 1, 2)
    x = net.conv(net.input, kernel, bias, activation="relu")
    return net.finish(net.conv(x, np.float32([[1, 2, 3], [4, 5, 6]]).reshape(2, 1, 1, 3), [0.25, 0.5]))


def test_equal_integers_of_a_dynamic_kernel_are_equal_channels_only_with_equal_scales(make_net):
    net = make_net([1, 2], "FLOAT32", None)
    kernel = np.array([[127, 5], [127, 5], [127, 5]])
    x = net.dense(net.input, kernel, scales=[0.1, 0.2, 0.1])
    found = count_channels(net.finish(net.dense(x, np.float32([[1, 2, 3]]))))
    assert (found.total, found.constant, found.equal) == (4, 0, 1)


def test_float_channels_that_are_zero_go(make_net):
    after, _ = shrunk(float_net(make_net, [0.1, -0.5, 0.2]))  # the ReLU makes it zero
    assert shapes(after) == [(2, 1, 1, 2), (2, 1, 1, 2)]
    assert kernels(after)[1][1].tolist() == [0.25, 0.5]


def test_float_constants_are_folded_only_where_rounding_is_allowed(make_net):
    before = float_net(make_net, [0.1, 0.5, 0.2])
    assert shapes(shrunk(before)[0]) == shapes(before)
    after, _ = shrunk(before, tolerance=1e-6)
    assert shapes(after) == [(2, 1, 1, 2), (2, 1, 1, 2)]
    assert kernels(after)[1][1].tolist() == [0.25 + 0.5 * 2, 0.5 + 0.5 * 5]


def test_a_kernel_that_two_operators_share_keeps_its_other_reader(make_net, same_outputs):
    net = make_net([1, 4, 4, 2])
    kernel = np.array([[1, 2], [0, 0]]).reshape(2, 1, 1, 2)
    x = net.conv(net.input, kernel, [0, 0], scale=0.05, zero_point=-3)
    shared, bias = net.graph.operators[0].inputs[1:]
    out = net.same_step(x, net.shape(x))
    y = net.operator("CONV_2D", [x, shared, bias], [out], net.graph.operators[0].builtinOptions)
    before = net.finish(y)
    after, _ = shrunk(before)
    assert shapes(after) == [(1, 1, 1, 2), (2, 1, 1, 1)]
    assert same_outputs(before, after)
