"""Operators that go because they do nothing, or can be done beforehand."""

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgecompress.tflite import list_operators, parse
from edgecompress.tflite.shrink import Settings, apply_passes, choose_passes


def shrunk(content):
    return apply_passes(content, choose_passes(Settings()), Settings())[0]


def names(content):
    return [operator.name for operator in list_operators(parse(content))]


def conv(net, x, seed=0):
    return net.conv(x, np.random.default_rng(seed).integers(-50, 50, (3, 1, 1, net.shape(x)[3])), [1, 2, 3])


def transpose(net, x, order):
    shape = [net.shape(x)[axis] for axis in order]
    return net.operator(
        "TRANSPOSE", [x, net.constant(np.array(order, np.int32), "INT32")], [net.same_step(x, shape)], schema.TransposeOptionsT()
    )


def requantize(net, x, scale=None, zero_point=None):
    out = net.result(net.shape(x), x, scale or net.scale(x), net.zero_point(x) if zero_point is None else zero_point)
    return net.operator("QUANTIZE", [x], [out], schema.QuantizeOptionsT())


@pytest.mark.parametrize("identity", [
    lambda net, x: net.reshape(x, net.shape(x)), lambda net, x: transpose(net, x, [0, 1, 2, 3]),
    lambda net, x: net.pad(x, [[0, 0], [0, 0]]),
    requantize, lambda net, x: net.concat(x),
])  # fmt: skip
@pytest.mark.parametrize("is_last", [True, False])
def test_operators_that_change_nothing_go(make_net, same_outputs, identity, is_last):
    net = make_net([1, 4, 4, 2])
    x = identity(net, conv(net, net.input))
    before = net.finish(x if is_last else conv(net, x, 1))
    after = shrunk(before)
    assert names(after) == ["CONV_2D"] * (1 if is_last else 2)
    assert parse(after).subgraphs[0].tensors[parse(after).subgraphs[0].outputs[0]].name == f"t{net.graph.outputs[0]}"
    assert same_outputs(before, after)


def test_what_is_quantized_right_after_it_was_read_goes(make_net, same_outputs):
    net = make_net([1, 4, 4, 2])
    x = conv(net, net.input)
    real = net.operator("DEQUANTIZE", [x], [net.tensor(net.shape(x), "FLOAT32", name="real")], schema.DequantizeOptionsT())
    back = net.operator("QUANTIZE", [real], [net.same_step(x, net.shape(x))], schema.QuantizeOptionsT())
    before = net.finish(conv(net, back, 1))
    after = shrunk(before)
    assert names(after) == ["CONV_2D", "CONV_2D"]
    assert same_outputs(before, after)


@pytest.mark.parametrize("other", [
    lambda net, x: requantize(net, x, scale=0.07), lambda net, x: requantize(net, x, zero_point=9),
    lambda net, x: transpose(net, x, [0, 2, 1, 3]),
    lambda net, x: net.pad(x, [[0, 0], [1, 0]]),
])  # fmt: skip
def test_operators_that_change_something_stay(make_net, other):
    net = make_net([1, 4, 4, 2])
    before = net.finish(other(net, conv(net, net.input)))
    assert len(names(shrunk(before))) == 2


def test_an_identity_from_input_to_output_stays(make_net, same_outputs):
    net = make_net([1, 4, 4, 2])
    before = net.finish(net.reshape(net.input, [1, 4, 4, 2]))
    assert names(shrunk(before)) == ["RESHAPE"]


@pytest.mark.parametrize(("margins", "stride", "folds"), [
    ([[1, 1], [1, 1]], 1, True), ([[0, 1], [0, 1]], 2, True), ([[1, 1], [1, 1]], 2, False), ([[2, 2], [2, 2]], 1, False),
    ([[1, 1], [0, 0]], 1, False),
])  # fmt: skip
@pytest.mark.parametrize("depthwise", [True, False])
def test_a_pad_that_the_convolution_can_do_goes(make_net, same_outputs, margins, stride, folds, depthwise):
    net = make_net([1, 8, 8, 3])
    x = net.pad(net.input, margins)
    kernel = np.random.default_rng(0).integers(-50, 50, (1, 3, 3, 3))
    before = net.finish(net.conv(x, kernel, [4] * (3 if depthwise else 1), same=False, stride=stride, depthwise=depthwise))
    after = shrunk(before)
    assert ("PAD" not in names(after)) == folds
    assert same_outputs(before, after)


def test_a_pad_that_somebody_else_reads_stays(make_net, same_outputs):
    net = make_net([1, 8, 8, 3])
    x = net.pad(net.input, [[1, 1], [1, 1]])
    kernel = np.random.default_rng(0).integers(-50, 50, (1, 3, 3, 3))
    before = net.finish(net.conv(x, kernel, [4], same=False), net.pool(x))
    after = shrunk(before)
    assert "PAD" in names(after)
    assert same_outputs(before, after)


def test_a_shape_that_never_changes_is_computed_at_once(make_net, same_outputs):
    """SHAPE, one element of it, packed with a constant: the target of a RESHAPE."""
    net = make_net([1, 4, 4, 2])
    x = conv(net, net.input)
    options = schema.ShapeOptionsT()
    options.outType = schema.TensorType.INT32
    shape = net.operator("SHAPE", [x], [net.tensor([4], "INT32", name="shape")], options)
    ends = [net.constant(np.array([value], np.int32), "INT32") for value in (0, 1, 1)]
    options = schema.StridedSliceOptionsT()
    options.shrinkAxisMask = 1
    batch = net.operator("STRIDED_SLICE", [shape, *ends], [net.tensor([], "INT32", name="batch")], options)
    options = schema.PackOptionsT()
    options.valuesCount = 2
    rest = net.constant(np.array(48, np.int32), "INT32")
    target = net.operator("PACK", [batch, rest], [net.tensor([2], "INT32", name="target")], options)
    flat = net.operator("RESHAPE", [x, target], [net.same_step(x, [1, 48])], schema.ReshapeOptionsT())
    before = net.finish(net.dense(flat, np.random.default_rng(0).integers(-50, 50, (2, 48)), [0, 0]))
    after = shrunk(before)
    assert names(after) == ["CONV_2D", "RESHAPE", "FULLY_CONNECTED"]
    assert same_outputs(before, after)


def test_a_shape_with_an_open_batch_is_not_computed(make_net):
    net = make_net([1, 4, 4, 2])
    net.graph.tensors[net.input].shapeSignature = [-1, 4, 4, 2]
    x = net.operator("SHAPE", [net.input], [net.tensor([4], "INT32", name="shape")], schema.ShapeOptionsT())
    one = net.constant(np.ones(4, np.int32), "INT32")
    before = net.finish(net.operator("ADD", [x, one], [net.tensor([4], "INT32", name="sum")], schema.AddOptionsT()))
    assert names(shrunk(before)) == ["SHAPE", "ADD"]


def test_arithmetic_that_overflows_is_left_to_the_runtime(make_net):
    net = make_net([1, 4])
    large = net.constant(np.array([2**30], np.int32), "INT32")
    product = net.operator("MUL", [large, large], [net.tensor([1], "INT32", name="product")], schema.MulOptionsT())
    before = net.finish(net.operator("ADD", [product, large], [net.tensor([1], "INT32", name="sum")], schema.AddOptionsT()))
    assert names(shrunk(before)) == ["MUL", "ADD"]
