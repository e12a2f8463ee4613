"""Rules of layers without weights that take one tensor: most leave channels where they are, some move the axis."""

import numpy as np

from edgecompress.graph.channels.activations import is_elementwise
from edgecompress.graph.channels.trace import Call, Channels, NotFollowed, Numbers, Tensor, Trace


def unchanged(trace: Trace, call: Call) -> Tensor:
    """Works on each value alone."""
    return call.inputs[0]


def within_channels(trace: Trace, call: Call) -> Tensor:
    """Works on each channel alone: pooling, padding, resizing."""
    return call.channels_on(call.data_axis)


def activation(trace: Trace, call: Call) -> Tensor:
    if not is_elementwise(call.layer.activation):
        raise NotFollowed("its activation looks at all channels")
    return call.inputs[0]


def softmax(trace: Trace, call: Call) -> Tensor:
    """Along other axes than that of the channels it leaves them apart."""
    axes = call.layer.axis if isinstance(call.layer.axis, list | tuple) else [call.layer.axis]
    channels = call.channels
    if channels.axis in (axis % call.rank for axis in axes):
        raise NotFollowed("Softmax looks at all channels")
    return channels


def rescaling(trace: Trace, call: Call) -> Tensor:
    if np.ndim(call.layer.scale) or np.ndim(call.layer.offset):
        raise NotFollowed("Rescaling holds a number for each channel in its configuration")
    return call.inputs[0]


def normalization(trace: Trace, call: Call) -> Tensor:
    raise NotFollowed("Normalization holds statistics of the data for each channel")


def layer_normalization(trace: Trace, call: Call) -> Tensor:
    """Its statistics run over its axes: channels on them cannot go without changing it."""
    channels = call.channels
    if channels.axis in (axis % call.rank for axis in call.layer.axis):
        raise NotFollowed("LayerNormalization takes its statistics over the channels")
    return channels


def global_pooling(trace: Trace, call: Call) -> Tensor:
    channels = call.channels_on(call.data_axis)
    return channels if call.layer.keepdims else Channels(1, channels.numbers)


def permute(trace: Trace, call: Call) -> Tensor:
    channels = call.channels
    return Channels(1 + call.layer.dims.index(channels.axis), channels.numbers)


def repeat_vector(trace: Trace, call: Call) -> Tensor:
    return Channels(2, call.channels.numbers)


def flatten(trace: Trace, call: Call) -> Tensor:
    """Every position of a channel becomes a position of the one axis that is left."""
    positions = _numbers_at_positions(call)
    if call.layer.data_format == "channels_first":
        positions = np.moveaxis(positions, 0, -1)  # Keras flattens in the order of channels_last
    return Channels(1, positions.reshape(-1))


def reshape(trace: Trace, call: Call) -> Tensor:
    """Followed where the channels still lie on one axis, alike at all positions of the others."""
    shape = call.output_shapes[0][1:]
    positions = _numbers_at_positions(call).reshape([size or -1 for size in shape])
    for axis in reversed(range(positions.ndim)):
        numbers = np.moveaxis(positions, axis, 0).reshape(positions.shape[axis], -1)
        if (numbers == numbers[:, :1]).all():
            trace.size(call.path, "target_shape", numbers[:, 0], index=axis)
            return Channels(axis + 1, numbers[:, 0])
    raise NotFollowed("Reshape spreads the channels over several axes")


def _numbers_at_positions(call: Call) -> Numbers:
    """The number of the channel at each position of a sample."""
    channels, shape = call.channels, call.input_shapes[0][1:]
    sizes = [size for size in shape if size is not None]
    if len(sizes) < len(shape):
        raise NotFollowed(f"{call.type} of a shape that is not fixed")
    along = [1] * len(sizes)
    along[channels.axis - 1] = -1
    return np.broadcast_to(channels.numbers.reshape(along), sizes)
