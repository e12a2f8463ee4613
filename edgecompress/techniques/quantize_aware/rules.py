"""Which rule rewrites which layer. Each keeps the model's function: to float rounding, on any input."""

from typing import Any

from edgecompress.techniques.quantize_aware import affine, one_dimension, splits
from edgecompress.techniques.quantize_aware.operators import operator_as_layer
from edgecompress.techniques.quantize_aware.rewrite import Call, Graph, Rule


def _first_of(*rules: Rule) -> Rule:
    """The first rule that applies."""

    def rule(call: Call, graph: Graph) -> Any:
        return next((output for rule in rules if (output := rule(call, graph)) is not None), None)

    return rule


_merge = _first_of(splits.two_at_a_time, one_dimension.elementwise)

RULES: dict[str, Rule] = {
    "TFOpLambda": operator_as_layer,
    "Conv1D": one_dimension.convolution,
    "Conv1DTranspose": one_dimension.convolution,
    "DepthwiseConv1D": one_dimension.depthwise_convolution,
    "SeparableConv1D": one_dimension.depthwise_convolution,
    "MaxPooling1D": one_dimension.pooling,
    "AveragePooling1D": one_dimension.pooling,
    "GlobalAveragePooling1D": one_dimension.lifted_along,
    "GlobalMaxPooling1D": one_dimension.lifted_along,
    "UpSampling1D": one_dimension.lifted_along,
    "ZeroPadding1D": one_dimension.lifted_along,
    "Cropping1D": one_dimension.lifted_along,
    "SpatialDropout1D": one_dimension.lifted_along,
    "SeparableConv2D": splits.separable_as_two,
    "Conv2D": splits.activation_apart,
    "DepthwiseConv2D": splits.activation_apart,
    "Conv2DTranspose": splits.activation_apart,
    "Dense": _first_of(affine.dense_before_batch_normalization, splits.activation_apart),
    "Activation": _first_of(splits.hard_sigmoid_by_relu6, one_dimension.elementwise),
    "ReLU": _first_of(splits.relu_by_relu6, one_dimension.elementwise),
    "AveragePooling2D": splits.mean_over_all,
    "Average": splits.average_as_sum,
    "Add": _merge,
    "Multiply": _merge,
    "Maximum": _merge,
    "Minimum": _merge,
    "Rescaling": affine.rescaling,
    "Normalization": affine.normalization,
    "BatchNormalization": affine.batch_normalization,
    "SyncBatchNormalization": affine.batch_normalization,
    **dict.fromkeys(
        ("Subtract", "Concatenate", "LeakyReLU", "ELU", "Softmax", "Dropout", "GaussianDropout", "GaussianNoise", "AlphaDropout"),
        one_dimension.elementwise,
    ),
}
