"""Rules of layers with weights: which axes of their weights have which channels on them."""

import numpy as np

from edgecompress.graph.channels.activations import is_elementwise
from edgecompress.graph.channels.trace import Call, Channels, Fixed, NotFollowed, Numbers, Tensor, Trace


def dense(trace: Trace, call: Call) -> Tensor:
    """kernel [in, out]"""
    made = trace.make(call, "kernel", 1, call.layer.units)
    trace.read(call, "kernel", 0, _input(trace, call, call.rank - 1))
    trace.size(call.path, "units", made)
    return _output(trace, call, call.rank - 1, made)


def convolution(trace: Trace, call: Call) -> Tensor:
    """kernel [..., in / groups, out]. A convolution with groups keeps their number: the n-th channel of every group goes at once.

    Where each group reads one channel, it is a depthwise convolution: whole groups go, with the channel that they read.
    """
    axis, kernel_rank, groups = call.data_axis, call.layer.kernel.shape.rank, call.layer.groups
    made = trace.make(call, "kernel", kernel_rank - 1, call.layer.filters)
    tensor = _input(trace, call, axis)
    if groups > 1 and call.layer.kernel.shape[-2] == 1:
        _couple_to_input(trace, call, tensor, made)
    elif groups > 1:
        tensor = _couple_groups(trace, tensor, groups)
        _couple_groups(trace, Channels(axis, made), groups)
    if groups == 1 or call.layer.kernel.shape[-2] > 1:
        trace.read(call, "kernel", kernel_rank - 2, tensor)
    trace.size(call.path, "filters", made)
    return _output(trace, call, axis, made)


def _couple_groups(trace: Trace, tensor: Tensor, groups: int) -> Tensor:
    """The n-th channel of every group goes with the n-th of the first, which is given back."""
    if isinstance(tensor, Fixed):
        return tensor
    first, *others = np.split(tensor.numbers, groups)
    for other in others:
        trace.couple(first, other)
    return Channels(tensor.axis, first)


def _couple_to_input(trace: Trace, call: Call, tensor: Tensor, made: Numbers) -> None:
    """Of a convolution with one input channel per group: its filters go with that channel, and the group with them."""
    if isinstance(tensor, Fixed):
        trace.freeze(Channels(0, made), f"{call.path}: filters one by one {tensor.reason}")
        return
    trace.couple(np.repeat(tensor.numbers, call.layer.filters // call.layer.groups), made)
    trace.size(call.path, "groups", tensor.numbers)


def transposed_convolution(trace: Trace, call: Call) -> Tensor:
    """kernel [..., out, in]"""
    axis, kernel_rank = call.data_axis, call.layer.kernel.shape.rank
    made = trace.make(call, "kernel", kernel_rank - 2, call.layer.filters)
    trace.read(call, "kernel", kernel_rank - 1, _input(trace, call, axis))
    trace.size(call.path, "filters", made)
    return _output(trace, call, axis, made)


def depthwise_convolution(trace: Trace, call: Call) -> Tensor:
    """depthwise_kernel [..., channels, multiplier]; results lie channel by channel, each `multiplier` times."""
    channels = call.channels_on(call.data_axis)
    return _output(trace, call, channels.axis, _filter_each(trace, call, channels))


def _filter_each(trace: Trace, call: Call, channels: Channels) -> Numbers:
    kernel = call.layer.depthwise_kernel.shape
    trace.carry(call, ["depthwise_kernel"], kernel.rank - 2, channels.numbers)
    return np.repeat(channels.numbers, kernel[-1])


def separable_convolution(trace: Trace, call: Call) -> Tensor:
    """depthwise_kernel [..., in, multiplier], then pointwise_kernel [..., in * multiplier, out]"""
    axis, kernel_rank = call.data_axis, call.layer.pointwise_kernel.shape.rank
    made = trace.make(call, "pointwise_kernel", kernel_rank - 1, call.layer.filters)
    tensor = _input(trace, call, axis)
    if isinstance(tensor, Channels):
        trace.read(call, "pointwise_kernel", kernel_rank - 2, Channels(axis, _filter_each(trace, call, tensor)))
    trace.size(call.path, "filters", made)
    return _output(trace, call, axis, made)


def embedding(trace: Trace, call: Call) -> Tensor:
    """embeddings [words, out]"""
    made = trace.make(call, "embeddings", 1, call.layer.output_dim)
    trace.size(call.path, "output_dim", made)
    return Channels(call.rank, made)


def batch_normalization(trace: Trace, call: Call) -> Tensor:
    """All four weights [channels]"""
    axes = call.layer.axis
    if len(axes) != 1:
        raise NotFollowed("normalizes over several axes at once")
    channels = call.channels_on(axes[0] % call.rank)
    trace.carry(call, ["gamma", "beta", "moving_mean", "moving_variance"], 0, channels.numbers)
    return channels


def prelu(trace: Trace, call: Call) -> Tensor:
    """alpha [shape of a sample], with ones where it is shared"""
    (tensor,) = call.inputs
    if isinstance(tensor, Channels) and call.layer.alpha.shape[tensor.axis - 1] > 1:
        trace.carry(call, ["alpha"], tensor.axis - 1, tensor.numbers)
    return tensor


def _input(trace: Trace, call: Call, axis: int) -> Tensor:
    """The input of a layer that sums over `axis`. Channels that lie elsewhere must stay; those that it makes need not."""
    (tensor,) = call.inputs
    if isinstance(tensor, Channels) and tensor.axis != axis:
        reason = f"{call.path}: {call.type} sums over axis {axis}, the channels lie on axis {tensor.axis}"
        trace.freeze(tensor, reason)
        trace.held_inputs[call.path] = reason
        return Fixed(reason)
    return tensor


def _output(trace: Trace, call: Call, axis: int, made: Numbers) -> Tensor:
    """What a layer with a kernel gives; the bias goes with the channels, and the activation must leave them apart."""
    trace.carry(call, ["bias"], 0, made)
    channels = Channels(axis, made)
    if not is_elementwise(call.layer.activation):
        trace.freeze(channels, f"{call.path}: its activation looks at all channels")
    return channels
