"""Which tensor of a .tflite holds the output of which Keras layer.

The converter names what an operator gives after the operations that went into it, joined by ";": `model/relu/Relu;model/norm/...`.
So a tensor is the output of the last of the layers that its name mentions, in the order of the model. A layer that was taken
together with the one after it has no tensor. Where names are gone, the kernels tell, which are found by shape and order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from edgecompress.backend import keras
from edgecompress.graph.kernel_weights import model_kernels
from edgecompress.graph.layers import wrapped_layer
from edgecompress.graph.order import nodes_in_order
from edgecompress.tflite import KerasKernel, Tflite, find_kernels
from edgecompress.tflite.operators import TRANSLATORS
from edgecompress.tflite.weights import QUANTIZE_AWARE_PREFIX, weighted_operators

FOLLOWERS = ("BatchNormalization", "SyncBatchNormalization", "ReLU", "Activation")  # what an operator with a kernel may take along


def layer_tensors(model: keras.Model, tflite: Tflite) -> dict[str, int]:
    """Finds the tensors of layers.

    Args:
        model: what was converted. Layers inside a nested model are not looked at, nor are layers that are called several times.
        tflite: the file.

    Returns:
        Layer (without TF-MOT's prefix) -> index of a tensor of the main subgraph that has as many values for one sample.
    """
    calls = Counter([node.layer for node in nodes_in_order(model)])
    layers = {wrapped_layer(layer).name: layer for layer in calls if calls[layer] == 1}
    sizes = {name: _num_values(layer) for name, layer in layers.items()}
    found: dict[str, int] = {}
    for index, names in _named_outputs(tflite, list(layers)):
        owner = max(names, key=list(layers).index)
        if _tensor_size(tflite, index) == sizes[owner]:
            found[owner] = index  # of several, the last one computed
    for name, index in _by_kernels(model, tflite, layers):
        if name not in found and index not in found.values() and _tensor_size(tflite, index) == sizes[name]:
            found[name] = index
    for tensor, index in zip(model.outputs, tflite.subgraphs[0].outputs, strict=False):
        name = wrapped_layer(tensor._keras_history.layer).name
        if _tensor_size(tflite, index) == sizes.get(name):
            found[name] = index  # whatever it is called: the converter renames it
    return found


def kernel_layers(model: keras.Model) -> dict[str, str]:
    """The last of the layers that one operator computes -> the first of them, which holds its kernel: {relu: conv}."""
    layers = {wrapped_layer(node.layer).name: node.layer for node in nodes_in_order(model)}
    return {_last_taken_along(layers, kernel.layer): kernel.layer for kernel in model_kernels(model) if kernel.layer in layers}


def _num_values(layer: keras.layers.Layer) -> int | None:
    """Values of one sample's output; None where it is not one tensor of a known size."""
    output = layer.output
    return None if isinstance(output, list | tuple | dict) else output.shape[1:].num_elements()


def _tensor_size(tflite: Tflite, index: int) -> int:
    size = 1
    for length in tflite.subgraphs[0].tensors[index].shape:
        size *= length
    return size


def _named_outputs(tflite: Tflite, layers: Sequence[str]) -> list[tuple[int, set[str]]]:
    """Computed tensors, in the order in which they are, with the layers in their names. Copies of another type or scale come first."""
    known = {**{QUANTIZE_AWARE_PREFIX + name: name for name in layers}, **{name: name for name in layers}}
    named = []
    for operator in tflite.subgraphs[0].operators:
        for index in operator.outputs:
            if names := {layer for part in tflite.subgraphs[0].tensors[index].name.split(";") if (layer := _layer_in(part, known))}:
                named.append((tflite.operator_codes[operator.code].name not in TRANSLATORS, index, names))
    return [(index, names) for _, index, names in sorted(named, key=lambda entry: entry[0])]


def _layer_in(scope: str, known: dict[str, str]) -> str | None:
    """The layer that an operation such as `model/quant_block/conv/Conv2D` belongs to: the longest name in its path."""
    parts = scope.split("/")
    spans = [(start, end) for start in range(len(parts)) for end in range(start + 1, len(parts) + 1)]
    paths = ["/".join(parts[start:end]) for start, end in sorted(spans, key=lambda span: span[0] - span[1])]
    return next((known[path] for path in paths if path in known), None)


def _by_kernels(model: keras.Model, tflite: Tflite, layers: dict[str, keras.layers.Layer]) -> list[tuple[str, int]]:
    """Outputs of operators with a kernel: of the layer that holds it, or of the BatchNormalization and ReLU that went along."""
    kernels = [kernel for kernel in model_kernels(model) if kernel.weight.kind_in_file is not None and kernel.layer in layers]
    wanted = [KerasKernel(kernel.layer, tuple(kernel.variable.shape), str(kernel.weight.kind_in_file)) for kernel in kernels]
    outputs = {operator.kernel_index: operator.operator.outputs[0] for operator in weighted_operators(tflite)}
    found = []
    for kernel, stored in zip(kernels, find_kernels(tflite, wanted), strict=True):
        if stored is not None and stored.tensor_index in outputs:
            found.append((_last_taken_along(layers, kernel.layer), outputs[stored.tensor_index]))
    return found


def _last_taken_along(layers: dict[str, keras.layers.Layer], name: str) -> str:
    """Follows a layer through the BatchNormalization and ReLU that alone read it."""
    while True:
        nodes = layers[name].outbound_nodes
        reader = wrapped_layer(nodes[0].layer) if len(nodes) == 1 else None
        if reader is None or type(reader).__name__ not in FOLLOWERS or reader.name not in layers:
            return name
        if getattr(getattr(reader, "activation", None), "__name__", "relu") not in ("relu", "relu6"):
            return name
        name = reader.name
