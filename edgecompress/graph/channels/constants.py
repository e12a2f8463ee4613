"""Which values inside a model do not depend on its inputs: those behind filters of zeros, and what follows from them.

Every layer is called on what is known of its inputs; beside the values goes a flag for each that some input of the model could
change. A layer that no rule below covers is taken to make everything it gives depend on everything it reads.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecompress.backend import tf
from edgecompress.graph.channels.activations import LAYERS, is_elementwise
from edgecompress.graph.channels.operators import ELEMENTWISE, symbol_name
from edgecompress.graph.channels.rules import MERGERS
from edgecompress.graph.order import nodes_in_order

KERNELS = {
    "Dense": ("kernel",),
    **dict.fromkeys(("Conv1D", "Conv2D", "Conv3D", "Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"), ("kernel",)),
    **dict.fromkeys(("DepthwiseConv1D", "DepthwiseConv2D"), ("depthwise_kernel",)),
    **dict.fromkeys(("SeparableConv1D", "SeparableConv2D"), ("depthwise_kernel", "pointwise_kernel")),
}
"""Layers that multiply with kernels and sum, in the order that they hold them."""

MOVERS = frozenset({
    *(f"{kind}Pooling{rank}D" for kind in ("Max", "Average", "GlobalMax", "GlobalAverage") for rank in (1, 2, 3)),
    *(f"{kind}{rank}D" for kind in ("ZeroPadding", "Cropping") for rank in (1, 2, 3)), "UpSampling1D", "UpSampling3D",
    "Flatten", "Reshape", "Permute", "RepeatVector", "Concatenate",
})  # fmt: skip
"""Layers that move values or take means and maxima of some: of flags, they give flags."""

ONE_BY_ONE = LAYERS | {
    "Identity", "ActivityRegularization", "BatchNormalization", "SyncBatchNormalization", "PReLU", "Rescaling", "Dropout",
    "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "AlphaDropout", "GaussianDropout", "GaussianNoise",
}  # fmt: skip
"""Layers that work on each value alone once a model is trained."""

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of a tensor before any input is seen.

    Attributes:
        values: float32 [1, ...], as one sample has them; 0 where they are unknown.
        unknown: bool, of the same shape.
    """

    values: Array
    unknown: Array


def known_inputs(model: Any) -> Mapping[str, Sequence[Known | None]]:
    """What each layer of a model is known to read, first input only: one element for each of its calls.

    Nested models are not entered: nothing is known of what they give.

    Args:
        model: a Functional or Sequential model with a known input shape.

    Returns:
        By the layer's name; None for an input whose shape is not fixed.
    """
    known: dict[int, Known | None] = {id(tensor): _nothing(tensor) for tensor in model.inputs}
    reads: dict[str, list[Known | None]] = {}
    for node in nodes_in_order(model):
        given = [known[id(tensor)] for tensor in node.keras_inputs]
        reads.setdefault(node.layer.name, []).append(given[0])
        outputs = tf.nest.flatten(node.outputs)
        known.update((id(tensor), _nothing(tensor)) for tensor in outputs)
        complete = [one for one in given if one is not None]
        if len(outputs) == 1 and known[id(outputs[0])] is not None and len(complete) == len(given):
            known[id(outputs[0])] = _follow(node, complete) or known[id(outputs[0])]
    return reads


def linear_part(layer: Any, inputs: Array, kernels: Sequence[Array]) -> Array:
    """What a layer of `KERNELS` gives with other kernels, without its bias and activation."""
    config = {**layer.get_config(), "activation": "linear", "use_bias": False}
    alone = type(layer).from_config(config)
    alone.build(inputs.shape)
    alone.set_weights(kernels)
    return np.asarray(alone(tf.constant(inputs)))


def _nothing(tensor: Any) -> Known | None:
    """Of a tensor that anything may stand in."""
    shape = tuple(tensor.shape)[1:]
    if None in shape:
        return None
    return Known(np.zeros((1, *shape), np.float32), np.ones((1, *shape), bool))


def _follow(node: Any, given: Sequence[Known]) -> Known | None:
    """What is known of the one output of a call; None: nothing."""
    if all(one.unknown.all() for one in given) and type(node.layer).__name__ not in KERNELS:
        return None
    unknown = _unknown(node, given)
    if unknown is None:
        return None
    values = _called(node, [one.values for one in given])
    if values.shape != unknown.shape:
        return None
    unknown = unknown | ~np.isfinite(values)
    return Known(np.where(unknown, np.float32(0), values), unknown)


def _unknown(node: Any, given: Sequence[Known]) -> Array | None:
    """Which values of the output an input of the model could change; None where no rule says it."""
    layer, kind = node.layer, type(node.layer).__name__
    if getattr(layer, "data_format", None) == "channels_first":
        return None  # kernels for it are missing on most processors
    flags = [one.unknown for one in given]
    if kind in KERNELS and is_elementwise(layer.activation):
        counted = [(getattr(layer, name).numpy() != 0).astype(np.float32) for name in KERNELS[kind]]
        return linear_part(layer, flags[0].astype(np.float32), counted) > 0
    if kind in MOVERS or (kind == "UpSampling2D" and layer.interpolation in {"nearest", "bilinear"}):
        return _called(node, [one.astype(np.float32) for one in flags]) > 0
    if kind in ONE_BY_ONE or (kind == "Activation" and is_elementwise(layer.activation)):
        return flags[0]
    if kind in MERGERS or (kind == "TFOpLambda" and symbol_name(layer) in ELEMENTWISE):
        return _any(flags) & ~(_any([(one.values == 0) & ~one.unknown for one in given]) if kind == "Multiply" else np.False_)
    return None


def _any(flags: Sequence[Array]) -> Array:
    """Flags of the results of an operator on each value alone. Fewer axes: Keras adds them behind the batch, which is the first."""
    rank = max(one.ndim for one in flags)
    aligned = [one.reshape((1,) * (rank - one.ndim) + one.shape) for one in flags]
    return np.asarray(np.logical_or.reduce(np.broadcast_arrays(*aligned)))


def _called(node: Any, inputs: Sequence[Array]) -> Array:
    """The layer of a call, called in the same way on other tensors."""
    tensors = {id(tensor): tf.constant(array) for tensor, array in zip(node.keras_inputs, inputs, strict=True)}
    arguments, keywords = tf.nest.map_structure(lambda value: tensors.get(id(value), value), (node.call_args, node.call_kwargs))
    return np.asarray(node.layer(*arguments, **keywords))
