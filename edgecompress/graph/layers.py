"""What every leaf layer of a model is and costs: shapes, parameters, multiply-accumulates, bytes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgecompress.errors import ModelError
from edgecompress.graph.macs import Shape, layer_macs

FLOAT32_BYTES = 4
WRAPPERS = ("QuantizeWrapper", "PruneLowMagnitude", "ClusterWeights", "LowBitWeights")  # the last one is ours, the others TF-MOT's


@dataclass(frozen=True)
class LayerInfo:
    """One leaf layer of a model. Shapes are of one sample: without the batch axis; None is an unknown length.

    Attributes:
        name: the layer's name; `outer/inner` inside a nested model. Of a TF-MOT wrapper, the wrapped layer's.
        type: class name, such as Conv2D.
        input_shapes: one per input tensor of the first call.
        output_shape: of the first output tensor of the first call.
        parameters: numbers in all variables, statistics of BatchNormalization included, quantizer state not.
        nonzero_parameters: those of them that are not 0.
        macs: multiply-accumulates for one sample, summed over all calls of the layer.
        macs_known: False where `macs` is 0 for want of a formula or of a fixed shape.
        bytes_float32: 4 * parameters.
    """

    name: str
    type: str
    input_shapes: tuple[Shape, ...]
    output_shape: Shape
    parameters: int
    nonzero_parameters: int
    macs: int
    macs_known: bool
    bytes_float32: int


@dataclass(frozen=True)
class ModelTotals:
    """Sums over the layers of a model; `macs_known` is True when it is for every layer."""

    parameters: int
    nonzero_parameters: int
    macs: int
    macs_known: bool
    bytes_float32: int


def describe_layers(model: Any) -> list[LayerInfo]:
    """Describes every leaf layer of a Functional or Sequential model, in the model's order.

    Nested models are entered. TF-MOT's wrappers (quantize-aware, pruning) are seen through. Input layers are left out.

    Args:
        model: a built Keras model.

    Returns:
        One LayerInfo per leaf layer.

    Raises:
        ModelError: a subclassed model, or one whose input shape is not known yet: it has no graph to read.
    """
    return list(_walk(model, prefix="", num_calls=1))


def total(layers: Sequence[LayerInfo]) -> ModelTotals:
    """Sums parameters, non-zero parameters, MACs and bytes."""
    return ModelTotals(
        parameters=sum(layer.parameters for layer in layers),
        nonzero_parameters=sum(layer.nonzero_parameters for layer in layers),
        macs=sum(layer.macs for layer in layers),
        macs_known=all(layer.macs_known for layer in layers),
        bytes_float32=sum(layer.bytes_float32 for layer in layers),
    )


def _walk(model: Any, prefix: str, num_calls: int) -> Iterator[LayerInfo]:
    """Leaf layers of `model`, which is itself called `num_calls` times."""
    if not getattr(model, "_is_graph_network", False):
        raise ModelError(
            "model must be a Functional or Sequential model with a known input shape. "
            f"Received: {model.name!r} of class {type(model).__name__}."
        )
    calls: dict[int, list[Any]] = {}
    for nodes in model._nodes_by_depth.values():
        for node in nodes:
            calls.setdefault(id(node.layer), []).append(node)
    for layer in model.layers:
        nodes = calls[id(layer)]
        if hasattr(layer, "_nodes_by_depth"):
            yield from _walk(layer, f"{prefix}{layer.name}/", num_calls * len(nodes))
        elif type(layer).__name__ != "InputLayer":
            yield _describe(layer, nodes, prefix, num_calls)


def _describe(layer: Any, nodes: Sequence[Any], prefix: str, num_calls: int) -> LayerInfo:
    """One leaf layer; `nodes` are its calls inside its model."""
    inner = wrapped_layer(layer)
    counts = [layer_macs(inner, _shapes(node.input_shapes), _shapes(node.output_shapes)) for node in nodes]
    known = all(count is not None for count in counts)
    parameters, nonzero = 0, 0
    for variable in layer_variables(layer):
        values = np.asarray(variable)
        parameters += values.size
        nonzero += int(np.count_nonzero(values))
    return LayerInfo(
        name=prefix + inner.name,
        type=type(inner).__name__,
        input_shapes=_shapes(nodes[0].input_shapes),
        output_shape=_shapes(nodes[0].output_shapes)[0],
        parameters=parameters,
        nonzero_parameters=nonzero,
        macs=num_calls * sum(count or 0 for count in counts) if known else 0,
        macs_known=known,
        bytes_float32=FLOAT32_BYTES * parameters,
    )


def wrapped_layer(layer: Any) -> Any:
    """The layer inside a wrapper that it is trained in, of TF-MOT or `techniques.low_bits`; any other layer itself."""
    return layer.layer if _is_wrapper(layer) else layer


def layer_variables(layer: Any) -> list[Any]:
    """The variables of a layer that belong to the network, not to its wrapper's masks, quantizers or scales."""
    if type(layer).__name__ == "QuantizeLayer":
        return []
    if not _is_wrapper(layer):
        return list(layer.weights)
    # A quantize-aware layer gives up its kernel to the wrapper: the layer keeps only the quantized tensor of it.
    variables = [variable for variable, *_ in getattr(layer, "_weight_vars", [])] + list(layer.layer.weights)
    return list({id(variable): variable for variable in variables}.values())


def _is_wrapper(layer: Any) -> bool:
    return any(kind.__name__ in WRAPPERS for kind in type(layer).__mro__)


def _shapes(shapes: Any) -> tuple[Shape, ...]:
    """Keras' nested shapes as a flat tuple, without batch axes."""
    if isinstance(shapes, dict):
        shapes = list(shapes.values())
    if isinstance(shapes, tuple) and all(size is None or isinstance(size, int) for size in shapes):
        return (tuple(shapes[1:]),)
    return tuple(shape for part in shapes for shape in _shapes(part))
