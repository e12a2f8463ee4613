"""Multiply-accumulates (MACs) of one call of one layer, for one sample."""

from collections.abc import Callable
from math import prod
from typing import Any

Shape = tuple[int | None, ...]


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
    formula = FORMULAS.get(name)
    try:
        return int(formula(layer, input_shapes[0], output_shapes[0])) if formula else None
    except TypeError:  # None in a product: an axis of unknown length
        return None


def _channels(layer: Any, shape: Shape) -> int:
    return shape[0] if layer.data_format == "channels_first" else shape[-1]  # type: ignore[return-value]


def _dense(layer: Any, inputs: Shape, outputs: Shape) -> int:
    return prod(outputs) * inputs[-1]  # type: ignore


def _convolution(layer: Any, inputs: Shape, outputs: Shape) -> int:
    return prod(outputs) * prod(layer.kernel_size) * (_channels(layer, inputs) // layer.groups)  # type: ignore


def _depthwise(layer: Any, inputs: Shape, outputs: Shape) -> int:
    return prod(outputs) * prod(layer.kernel_size)  # type: ignore


def _separable(layer: Any, inputs: Shape, outputs: Shape) -> int:
    """A depthwise convolution, then a pointwise one to `filters` channels."""
    positions = prod(outputs) // layer.filters  # type: ignore
    middle = _channels(layer, inputs) * layer.depth_multiplier
    return int(positions * middle * (prod(layer.kernel_size) + layer.filters))


def _transposed(layer: Any, inputs: Shape, outputs: Shape) -> int:
    """Every input value is multiplied with every kernel position of every filter."""
    return prod(inputs) * prod(layer.kernel_size) * layer.filters  # type: ignore


def _recurrent(num_gates: int) -> Callable[[Any, Shape, Shape], int]:
    """Each gate is a Dense of inputs and state, once per time step. Inputs are [steps, features]."""

    def macs(layer: Any, inputs: Shape, outputs: Shape) -> int:
        return inputs[0] * num_gates * layer.units * (inputs[1] + layer.units)  # type: ignore

    return macs


FORMULAS: dict[str, Callable[[Any, Shape, Shape], int]] = {
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
