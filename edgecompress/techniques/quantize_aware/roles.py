"""What 8 bits mean for each class of layers: the table of all that the converter and the runtime were seen to do."""

from enum import Enum

from edgecompress.backend import keras
from edgecompress.techniques.quantize_aware.splits import activation_name


class Role(Enum):
    """What is done with a layer; the value says it to people."""

    INPUT = "8-bit fake-quantization of the input"
    WEIGHTS = "8-bit fake-quantization"
    FOLDED = "folded into the layer before it"
    OUTPUT = "8-bit fake-quantization of the output"
    FIXED = "8 bits in the range that the runtime fixes"
    INNER = "part of a hard swish, which the runtime computes as one 8-bit operator"
    MOVES = "moves values, which keep their 8 bits"
    FLOAT = "stays float"


KERNELS = {"Conv2D": "kernel", "DepthwiseConv2D": "depthwise_kernel", "Conv2DTranspose": "kernel", "Dense": "kernel"}
"""Layers with weights that have an 8-bit operator -> their kernel."""

MOVES = frozenset({
    "Flatten", "Reshape", "Permute", "RepeatVector", "ZeroPadding1D", "ZeroPadding2D", "Cropping1D", "Cropping2D", "Identity",
    "UpSampling2D", "Resizing", "MaxPooling2D", "AveragePooling2D", "GlobalMaxPooling1D", "GlobalMaxPooling2D", "SlicingOpLambda",
    "Dropout", "SpatialDropout1D", "SpatialDropout2D", "GaussianDropout", "GaussianNoise", "AlphaDropout", "ActivityRegularization",
})  # fmt: skip
"""Layers whose outputs are values of their inputs, or lie between them: the runtime gives in- and output one scale."""

MOVING_OPERATORS = frozenset({
    "reshape", "transpose", "compat.v1.transpose", "squeeze", "compat.v1.squeeze", "expand_dims", "pad", "compat.v1.pad", "identity",
    "stop_gradient", "nn.depth_to_space", "nn.space_to_depth", "__operators__.getitem", "strided_slice", "slice", "split", "unstack",
    "tile", "gather", "compat.v1.gather",
})  # fmt: skip

TIED = frozenset({"Concatenate", "Maximum", "Minimum"})
"""Layers that compute, but with one scale for all their inputs and the output."""

COMPUTES = TIED | {
    "ReLU", "LeakyReLU", "PReLU", "Rescaling", "Add", "Subtract", "Multiply", "Dot", "UnitNormalization",
    "GlobalAveragePooling1D", "GlobalAveragePooling2D",
}  # fmt: skip

ACTIVATIONS = {
    **dict.fromkeys(("softmax", "sigmoid", "tanh"), Role.FIXED),
    **dict.fromkeys(("relu", "relu6", "swish", "silu", "gelu", "exponential", "leaky_relu"), Role.OUTPUT),
    "linear": Role.MOVES,
}

_NORMALIZES = "the inverse root of its variance differs from sample to sample too much for 8 bits"
_LOOPS = "the runtime has no 8-bit operator for it: it computes in float"
_PRODUCTS = "the products inside it are one layer to Keras, without a range each"
WHY_FLOAT = {
    "LayerNormalization": _NORMALIZES, "GroupNormalization": _NORMALIZES, "Embedding": "it looks rows of a table up by whole numbers",
    **dict.fromkeys(("GRU", "SimpleRNN", "RNN", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"), _LOOPS),
    **dict.fromkeys(("Attention", "AdditiveAttention", "MultiHeadAttention"), _PRODUCTS),
    **dict.fromkeys(("Conv3D", "Conv3DTranspose"), "the runtime has no 8-bit convolution of three dimensions"),
}  # fmt: skip
WHY_FLOAT_LSTM = "training does not simulate the ranges inside it; the calibration samples of the export set them"


def role_of(layer: keras.layers.Layer) -> tuple[Role, str]:
    """The role of a layer by itself, and why it is float if it is. BatchNormalization is judged with the layer before it."""
    kind = type(layer).__name__
    if is_lstm(layer):
        return Role.FLOAT, WHY_FLOAT_LSTM
    if kind in WHY_FLOAT:
        return Role.FLOAT, WHY_FLOAT[kind]
    if kind in KERNELS:
        return Role.WEIGHTS, ""
    if kind in COMPUTES and _can_compute(layer):
        return Role.OUTPUT, ""
    if kind == "Softmax":
        return Role.FIXED, ""
    if kind == "Activation":
        role = ACTIVATIONS.get(activation_name(layer), Role.FLOAT)
        return role, f"the converter has no 8-bit form of {activation_name(layer)}" if role is Role.FLOAT else ""
    if kind in MOVES or (kind == "TFOpLambda" and layer.symbol in MOVING_OPERATORS):
        return Role.MOVES, ""
    return Role.FLOAT, f"there is no 8-bit scheme for {f'the operator {layer.symbol}' if kind == 'TFOpLambda' else kind}"


def _can_compute(layer: keras.layers.Layer) -> bool:
    """Whether the settings of a layer leave it one operator: a clipped or shifted ReLU and a full affine map do not."""
    config, kind = layer.get_config(), type(layer).__name__
    if kind == "ReLU":
        return not config["threshold"] and (config["max_value"] is None or (config["max_value"] == 6 and not config["negative_slope"]))
    if kind == "Rescaling":
        return not isinstance(config["scale"], list | tuple) and (config["scale"] == 1 or config["offset"] == 0)
    return True


def ties_scales(layer: keras.layers.Layer) -> bool:
    """Whether the runtime gives a layer's inputs and its output one scale."""
    return type(layer).__name__ in TIED or role_of(layer)[0] is Role.MOVES


def is_lstm(layer: keras.layers.Layer) -> bool:
    """Whether the converter may make the fused LSTM of it, whose values can have no fake-quantization: it fails on them."""
    inner = layer.forward_layer if type(layer).__name__ == "Bidirectional" else layer
    return type(inner).__name__ == "LSTM" and not inner.unroll


def is_relu6(layer: keras.layers.Layer) -> bool:
    """Whether a layer is min(max(x, 0), 6)."""
    if type(layer).__name__ == "Activation":
        return activation_name(layer) == "relu6"
    return type(layer).__name__ == "ReLU" and layer.max_value == 6 and not layer.negative_slope and not layer.threshold


def is_fused_relu(layer: keras.layers.Layer) -> bool:
    """Whether an operator can apply a layer to its own output: ReLU and ReLU6."""
    if type(layer).__name__ == "Activation":
        return activation_name(layer) in ("relu", "relu6")
    is_plain = type(layer).__name__ == "ReLU" and layer.max_value is None and not layer.negative_slope and not layer.threshold
    return is_plain or is_relu6(layer)
