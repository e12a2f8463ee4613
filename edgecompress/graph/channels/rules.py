"""One rule per layer class. What is not in this table is not followed: it freezes what it touches, with the reason."""

from edgecompress.graph.channels import merging, shapes, weighted
from edgecompress.graph.channels.trace import Rule

RULES: dict[str, Rule] = {
    "Dense": weighted.dense,
    **dict.fromkeys(("Conv1D", "Conv2D", "Conv3D"), weighted.convolution),
    **dict.fromkeys(("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"), weighted.transposed_convolution),
    **dict.fromkeys(("DepthwiseConv1D", "DepthwiseConv2D"), weighted.depthwise_convolution),
    **dict.fromkeys(("SeparableConv1D", "SeparableConv2D"), weighted.separable_convolution),
    "Embedding": weighted.embedding,
    **dict.fromkeys(("BatchNormalization", "SyncBatchNormalization"), weighted.batch_normalization),
    "PReLU": weighted.prelu,
    "Activation": shapes.activation,
    **dict.fromkeys((
        "ReLU", "LeakyReLU", "ELU", "ThresholdedReLU", "Identity", "ActivityRegularization",
        "Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "AlphaDropout", "GaussianDropout", "GaussianNoise",
    ), shapes.unchanged),
    **dict.fromkeys((
        "MaxPooling1D", "MaxPooling2D", "MaxPooling3D", "AveragePooling1D", "AveragePooling2D", "AveragePooling3D",
        "ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D", "Cropping1D", "Cropping2D", "Cropping3D",
        "UpSampling1D", "UpSampling2D", "UpSampling3D", "Resizing", "CenterCrop",
    ), shapes.within_channels),
    **dict.fromkeys((
        "GlobalMaxPooling1D", "GlobalMaxPooling2D", "GlobalMaxPooling3D",
        "GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalAveragePooling3D",
    ), shapes.global_pooling),
    "Softmax": shapes.softmax,
    "LayerNormalization": shapes.layer_normalization,
    "Normalization": shapes.normalization,
    "Rescaling": shapes.rescaling,
    "Flatten": shapes.flatten,
    "Reshape": shapes.reshape,
    "Permute": shapes.permute,
    "RepeatVector": shapes.repeat_vector,
    **dict.fromkeys(("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"), merging.elementwise),
    "Concatenate": merging.concatenate,
}  # fmt: skip

MAKERS = frozenset({
    "Dense", "Conv1D", "Conv2D", "Conv3D", "Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose", "SeparableConv1D",
    "SeparableConv2D", "Embedding",
})  # fmt: skip
"""Layers that make channels of their own, also from a fixed tensor. All others give a fixed tensor back as it is."""

MERGERS = frozenset({"Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate"})
"""Layers that take several tensors."""
