"""Rules of layers that take several tensors: channels at one position go together, or lie behind each other."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edgecompress.graph.channels.trace import Call, Channels, Fixed, NotFollowed, Numbers, Tensor, Trace


def elementwise(trace: Trace, call: Call) -> Tensor:
    """Add and its like. Channels at one position go together; a tensor with one position for all of them asks nothing of them.

    Tensors of fewer axes are aligned at the last one, as NumPy does; Keras adds axes behind the batch, which is the same.
    """
    rank = len(call.output_shapes[0])
    aligned = [
        replace(tensor, axis=tensor.axis + rank - len(shape)) if isinstance(tensor, Channels) else tensor
        for tensor, shape in zip(call.inputs, call.input_shapes, strict=True)
    ]
    axis = _common_axis(aligned)
    width = call.output_shapes[0][axis] or 1
    whole = [tensor for tensor in aligned if isinstance(tensor, Channels) and tensor.numbers.size == width]
    for tensor, shape in zip(aligned, call.input_shapes, strict=True):
        meets_all = rank - len(shape) > axis or shape[axis - rank] == 1
        if isinstance(tensor, Channels) and tensor.numbers.size != width:
            trace.freeze(tensor, f"{call.path}: meets every channel of another tensor")
        elif isinstance(tensor, Channels):
            trace.couple(whole[0].numbers, tensor.numbers)
        elif not meets_all and whole:
            trace.freeze(whole[0], f"{call.path}: meets {tensor.reason}")
    return whole[0] if whole else Fixed(f"{call.path}: meets every channel of a tensor that is fixed")


def concatenate(trace: Trace, call: Call) -> Tensor:
    return concatenated(trace, call, call.layer.axis)


def concatenated(trace: Trace, call: Call, along: int) -> Tensor:
    """Along the axis of the channels they lie behind each other; along another one, those at one position go together."""
    axis = _common_axis(call.inputs)
    channels = [tensor for tensor in call.inputs if isinstance(tensor, Channels)]
    if axis == along % call.rank:
        parts = [_numbers(trace, call, tensor, shape[axis]) for tensor, shape in zip(call.inputs, call.input_shapes, strict=True)]
        return Channels(axis, np.concatenate(parts))
    for tensor in call.inputs:
        if isinstance(tensor, Fixed):
            trace.freeze(channels[0], f"{call.path}: lies beside {tensor.reason}")
        else:
            trace.couple(channels[0].numbers, tensor.numbers)
    return channels[0]


def _numbers(trace: Trace, call: Call, tensor: Tensor, size: int | None) -> Numbers:
    """Of a part of a concatenation; what is fixed gets numbers that are frozen."""
    if isinstance(tensor, Channels):
        return tensor.numbers
    if size is None:
        raise NotFollowed("joins tensors of an unknown number of channels")
    numbers = trace.new(size)
    trace.freeze(Channels(0, numbers), tensor.reason)
    return numbers


def _common_axis(tensors: Sequence[Tensor]) -> int:
    """The axis that the channels of all tensors lie on."""
    axes = {tensor.axis for tensor in tensors if isinstance(tensor, Channels)}
    if len(axes) != 1:
        raise NotFollowed(f"takes tensors whose channels lie on different axes: {', '.join(map(str, sorted(axes)))}")
    return axes.pop()
