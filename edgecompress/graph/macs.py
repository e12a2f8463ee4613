"""Multiply-accumulates (MACs) of one call of one layer, for one sample."""

from collections.abc import Callable
from math import prod
from typing import Any

Shape = tuple[int | None, ...]  # of one sample; None: a length that is not known
FixedShape = tuple[int, ...]
Formula = Callable[[Any, FixedShape, FixedShape], int]


def layer_macs(layer: Any, input_shapes: tuple[Shape, ...], output_shapes: tuple[Shape, ...]) -> int | None:
    """Counts the MACs of one call.

    Biases, activations, pooling, additions and the scaling of BatchNormalization (which folds into the layer before it)
    count 0. "Same" padding counts as if padded zeros were multiplied, as the published counts of networks do.

    Args:
        layer: a built Keras layer.
        input_shapes: without the batch axis, one per input tensor.
        output_shapes: without the batch axis, one per output tensor.

    Returns:
        MACs, or None where there is no formula for the layer or an axis that matters is unknown.
    """
    name = type(layer).__name__
    if name in WITHOUT_MACS:
        return 0
    formula, inputs, outputs = FORMULAS.get(name), _fixed(input_shapes[0]), _fixed(output_shapes[0])
    if formula is None or inputs is None or outputs is None:
        return None
    return formula(layer, inputs, outputs)


def _fixed(shape: Shape) -> FixedShape | None:
    """The shape, if all its lengths are known."""
    sizes = tuple(size for size in shape if size is not None)
    return sizes if len(sizes) == len(shape) else None


def _channels(layer: Any, shape: FixedShape) -> int:
    return shape[0] if layer.data_format == "channels_first" else shape[-1]


def _dense(layer: Any, inputs: FixedShape, outputs: FixedShape) -> int:
    """Every output value is a sum over the last axis of the input."""
    return prod(outputs) * inputs[-1]


def _convolution(layer: Any, inputs: FixedShape, outputs: FixedShape) -> int:
    """Every output value is a sum over the kernel's positions and the input channels of its group."""
    return prod(outputs) * prod(layer.kernel_size) * (_channels(layer, inputs) // int(layer.groups))


def _depthwise(layer: Any, inputs: FixedShape, outputs: FixedShape) -> int:
    """Every output value is a sum over the kernel's positions in one channel."""
    return prod(outputs) * prod(layer.kernel_size)


def _separable(layer: Any, inputs: FixedShape, outputs: FixedShape) -> int:
    """A depthwise convolution to `depth_multiplier` channels per input channel, then a pointwise one to `filters`."""
    positions = prod(outputs) // layer.filters
    between = _channels(layer, inputs) * layer.depth_multiplier
    return int(positions * between * (prod(layer.kernel_size) + layer.filters))


def _transposed(layer: Any, inputs: FixedShape, outputs: FixedShape) -> int:
    """Every input value is multiplied with every kernel position of every filter."""
    return prod(inputs) * prod(layer.kernel_size) * int(layer.filters)


def _recurrent(num_gates: int) -> Formula:
    """Each gate is a Dense of input and state, once per time step. Inputs are [steps, features]."""

    def macs(layer: Any, inputs: FixedShape, outputs: FixedShape) -> int:
        steps, features = inputs
        return steps * num_gates * int(layer.units) * (features + int(layer.units))

    return macs


FORMULAS: dict[str, Formula] = {
    "Dense": _dense,
    "Conv1D": _convolution,
    "Conv2D": _convolution,
    "Conv3D": _convolution,
    "DepthwiseConv1D": _depthwise,
    "DepthwiseConv2D": _depthwise,
    "SeparableConv1D": _separable,
    "SeparableConv2D": _separable,
    "Conv1DTranspose": _transposed,
    "Conv2DTranspose": _transposed,
    "Conv3DTranspose": _transposed,
    "SimpleRNN": _recurrent(1),
    "GRU": _recurrent(3),
    "LSTM": _recurrent(4),
}

WITHOUT_MACS = frozenset({
    "Embedding", "BatchNormalization", "Normalization", "Rescaling", "QuantizeLayer",
    "Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "ThresholdedReLU", "Softmax",
    "Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "GaussianDropout", "GaussianNoise", "AlphaDropout",
    "ActivityRegularization", "Masking",
    "Flatten", "Reshape", "Permute", "RepeatVector",
    "Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate",
    "ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D", "Cropping1D", "Cropping2D", "Cropping3D",
    "UpSampling1D", "UpSampling2D", "UpSampling3D", "Resizing",
    "MaxPooling1D", "MaxPooling2D", "MaxPooling3D", "AveragePooling1D", "AveragePooling2D", "AveragePooling3D",
    "GlobalMaxPooling1D", "GlobalMaxPooling2D", "GlobalMaxPooling3D",
    "GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalAveragePooling3D",
})  # fmt: skip
