"""Blocks of layers that a model can do without: what stands beside a shortcut, and layers that keep the shape of their input."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgecompress.backend import keras, tf
from edgecompress.graph.kernel_weights import KERNEL_WEIGHTS
from edgecompress.graph.order import nodes_in_order

# Layers that belong to the kernel before them: without it they have nothing of their own to do.
FOLLOWERS = frozenset({
    "BatchNormalization", "Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "Dropout", "SpatialDropout1D", "SpatialDropout2D",
    "SpatialDropout3D", "GaussianDropout", "GaussianNoise",
})  # fmt: skip


@dataclass(frozen=True, eq=False)
class Block:
    """Layers that can go together: the tensor they take stands in for the tensor they give.

    Attributes:
        name: of the addition that ends it, or of its layer with a kernel.
        layers: names of all that goes, in the model's order.
        given: the Keras tensor that is replaced.
        taken: the Keras tensor that takes its place, of the same shape.
    """

    name: str
    layers: tuple[str, ...]
    given: Any
    taken: Any


def find_blocks(model: Any) -> list[Block]:
    """The residual branches of a model, and its layers with a kernel that keep the shape; in the model's order.

    A branch is what only feeds one side of an addition of two; with it goes the addition. Of a layer with a kernel, the
    normalization, activation and dropout behind it go too. Layers that are called several times stay, and what the model ends with: an
    addition or a layer behind which nothing has weights, such as a softmax or a reshape.

    Args:
        model: a Functional or Sequential model; nested models are looked at as single layers.
    """
    nodes = list(nodes_in_order(model))
    readers: dict[int, list[Any]] = {}
    for node in nodes:
        for tensor in node.keras_inputs:
            readers.setdefault(id(tensor), []).append(node)
    for tensor in model.outputs:
        readers.setdefault(id(tensor), []).append(None)
    calls = [node.layer.name for node in nodes]
    single = {node.layer.name for node in nodes if calls.count(node.layer.name) == 1}
    found = [_branch(node, nodes, readers) if type(node.layer).__name__ == "Add" else _chain(node, readers) for node in nodes]
    return [block for block in found if block is not None and single.issuperset(block.layers)]


def _branch(addition: Any, nodes: Sequence[Any], readers: Mapping[int, Sequence[Any]]) -> Block | None:
    """The side of an addition that is made of more layers of its own."""
    if len(addition.keras_inputs) != 2 or len(set(map(id, addition.keras_inputs))) != 2:
        return None
    one, other = addition.keras_inputs
    if tuple(one.shape) != tuple(other.shape) or _ends_model(addition.outputs, readers):
        return None
    sides = [(_only_for(tensor, addition, nodes, readers), taken) for tensor, taken in ((one, other), (other, one))]
    layers, taken = max(sides, key=lambda side: len(side[0]))
    return Block(addition.layer.name, (*layers, addition.layer.name), addition.outputs, taken) if layers else None


def _only_for(tensor: Any, reader: Any, nodes: Sequence[Any], readers: Mapping[int, Sequence[Any]]) -> list[str]:
    """Names of the layers that nothing needs but this tensor, as `reader` reads it."""
    useless: dict[int, str] = {}
    for node in reversed(nodes):
        uses = [(output, after) for output in tf.nest.flatten(node.outputs) for after in readers[id(output)]]
        if all(id(after) in useless or (after is reader and output is tensor) for output, after in uses):
            useless[id(node)] = node.layer.name
    return list(useless.values())[::-1]


def _ends_model(tensor: Any, readers: Mapping[int, Sequence[Any]]) -> bool:
    """Whether nothing with weights stands behind a tensor: its layer makes the outputs what the task takes them for."""
    while len(after := readers.get(id(tensor), [])) == 1 and after[0] is not None:
        node = after[0]
        if node.layer.weights or len(node.keras_inputs) != 1 or tf.nest.is_nested(node.outputs):
            return False
        tensor = node.outputs
    return after == [None]


def _chain(node: Any, readers: Mapping[int, Sequence[Any]]) -> Block | None:
    """A layer with a kernel that keeps the shape of its one input, and its followers."""
    if type(node.layer).__name__ not in KERNEL_WEIGHTS or len(node.keras_inputs) != 1:
        return None
    (taken,), given, layers = node.keras_inputs, node.outputs, [node.layer.name]
    if tuple(taken.shape) != tuple(given.shape):
        return None
    while len(after := readers.get(id(given), [])) == 1 and after[0] is not None and type(after[0].layer).__name__ in FOLLOWERS:
        given = after[0].outputs
        layers.append(after[0].layer.name)
    if _ends_model(given, readers):
        return None
    return Block(node.layer.name, tuple(layers), given, taken)


def without_block(model: keras.Model, block: Block) -> keras.Model:
    """A copy of `model` without the layers of a block; all others keep their names and weights.

    Args:
        model: that the block was found in; not changed.
    """
    made = {id(tensor): _copied(tensor._keras_history.layer).output for tensor in model.inputs}
    layers: dict[str, keras.layers.Layer] = {}

    def new(tensor: Any) -> Any:
        return made.get(id(block.taken if tensor is block.given else tensor), tensor)  # a constant is its own copy

    for node in _needed(model, block):
        name = node.layer.name
        if name not in layers:
            layers[name] = _copied(node.layer)
        args, kwargs = tf.nest.map_structure(new, (node.call_args, node.call_kwargs))
        outputs = tf.nest.flatten(layers[name](*args, **kwargs))
        made |= {id(old): output for old, output in zip(tf.nest.flatten(node.outputs), outputs, strict=True)}
    smaller = keras.Model([made[id(tensor)] for tensor in model.inputs], [new(tensor) for tensor in model.outputs], name=model.name)
    for name, layer in layers.items():
        layer.set_weights(model.get_layer(name).get_weights())
    return smaller


def _needed(model: keras.Model, block: Block) -> list[Any]:
    """The calls that are left without the block, each after those that it depends on."""
    needed, wanted = [], {id(block.taken if tensor is block.given else tensor) for tensor in model.outputs}
    for node in reversed(list(nodes_in_order(model))):
        if any(id(tensor) in wanted for tensor in tf.nest.flatten(node.outputs)):
            needed.append(node)
            wanted |= {id(block.taken if tensor is block.given else tensor) for tensor in node.keras_inputs}
    return needed[::-1]


def _copied(layer: keras.layers.Layer) -> keras.layers.Layer:
    """A layer of its own with the same settings."""
    return type(layer).from_config(layer.get_config())
