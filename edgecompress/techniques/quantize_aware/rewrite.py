"""A model built anew, call by call, with other layers in the place of some: the same function, in layers that 8 bits can compute.

A rule looks at one call and either puts layers of its own into the new graph or leaves the layer as it is. What a rule puts
goes through the rules again, so a SeparableConv1D becomes a SeparableConv2D, which becomes two convolutions, whose
activation becomes a layer.

TensorFlow Lite has no convolutions and pools of one dimension. Vectors [channels] and sequences [length, channels] are
*lifted* to images [1, length, channels] for them; a layer that does not care for the form takes the lifted tensor too, so
that a Reshape stands only where the lifted part of a model begins and ends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from edgecompress.backend import keras, tf
from edgecompress.keeps import Keep

IMAGE_RANK = 4  # with the batch axis


@dataclass(frozen=True)
class Call:
    """One call of a layer, in terms of the new graph.

    Attributes:
        layer: holds the configuration; it may belong to the old model, so a rule never calls it.
        weights: values of its variables, in Keras' order.
        inputs: symbolic tensors, possibly lifted.
        ranks: number of axes, with the batch, that the layer expects of each input.
        operands: of an operator (TFOpLambda): its arguments in order, tensors in their new form.
        reader: the one layer of the old model that reads the output; None where there are several, or none.
    """

    layer: keras.layers.Layer
    weights: list[np.ndarray]
    inputs: list[Any]
    ranks: list[int]
    operands: list[Any] = field(default_factory=list)
    reader: keras.layers.Layer | None = None

    @property
    def is_lifted(self) -> bool:
        """Whether some input has another form than the layer expects."""
        return any(tensor.shape.rank != rank for tensor, rank in zip(self.inputs, self.ranks, strict=True))

    @property
    def can_be_lifted(self) -> bool:
        """Whether every input has an image form, and all the same."""
        return len(set(self.ranks)) == 1 and 2 <= self.ranks[0] <= IMAGE_RANK


Rule = Callable[[Call, "Graph"], Any]
"""Gives the output in the new graph; None where the rule does not apply."""

After = Callable[[str, Any], Any]
"""(layer of the old model, its output in the new graph) -> what its readers get instead."""


@dataclass(frozen=True)
class Rewritten:
    """A model that computes what another did.

    Attributes:
        model: a functional model with the inputs and outputs of the old one.
        origins: layer of the new model -> layer of the old one that it stands for.
        notes: layer of the old model -> what was put in its place, in words; layers that were copied have none.
        moves: (layer, weight) of the old model -> (layer, weight, shape) where its values are now, of those that moved.
    """

    model: keras.Model
    origins: dict[str, str]
    notes: dict[str, str]
    moves: dict[tuple[str, str], tuple[str, str, tuple[int, ...]]]

    def move(self, keep: Keep) -> Keep:
        """The same promise about the kernel in its new place. The last two axes, of channels, are the same there."""
        if (keep.layer, keep.weight) not in self.moves:
            return keep
        layer, weight, shape = self.moves[keep.layer, keep.weight]
        return replace(keep, layer=layer, weight=weight, values=keep.values.reshape(shape))


def rewrite(
    model: keras.Model, rules: Mapping[str, Rule], *, untouched: Sequence[str] = (), after: After = lambda name, tensor: tensor
) -> Rewritten:
    """Builds `model` anew; it is not changed.

    Args:
        model: Functional or Sequential.
        rules: class name of a layer -> its rule.
        untouched: layers that are copied whatever the rules say.
        after: changes what comes out of inputs and layers with one output.
    """
    graph = Graph(model, rules, untouched, after)
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            graph.visit(node)
    return graph.finish()


def like(layer: keras.layers.Layer, kind: type[keras.layers.Layer] | None = None, **changes: Any) -> keras.layers.Layer:
    """A new layer with the configuration of `layer`, changed, and of another class where `kind` says so."""
    config = {name: value for name, value in layer.get_config().items() if name != "batch_input_shape"}
    return (kind or type(layer)).from_config({**config, **changes})


class Graph:
    """The new graph while it grows. A rule sees `put`, `add` and the methods after them."""

    def __init__(self, model: keras.Model, rules: Mapping[str, Rule], untouched: Sequence[str], after: After) -> None:
        self._model, self._rules, self._untouched, self._after = model, rules, set(untouched), after
        self._old_names = {layer.name for layer in model.layers}
        self._readers: dict[str, list[Any]] = {}  # identity of an old tensor -> layers that read it; None: the model's end
        nodes = [node for nodes in model._nodes_by_depth.values() for node in nodes]
        self._num_calls = Counter(node.layer.name for node in nodes)
        for node in nodes:
            for identity in node.flat_input_ids:
                self._readers.setdefault(identity, []).append(node.layer)
        for tensor in model.outputs:
            self._readers.setdefault(str(id(tensor)), []).append(None)
        self._inputs: dict[str, Any] = {}  # identity of an old input -> the new one
        self._tensors: dict[str, Any] = {}  # identity of an old tensor -> the new one
        self._num_readers: dict[int, int] = {}  # identity of a new tensor -> calls of the old model that read it
        self._forms: dict[int, dict[int, Any]] = {}  # identity of a new tensor -> rank -> the same values in that form
        self._layers: dict[str, keras.layers.Layer] = {}
        self._current = ""  # the old layer that is being worked on
        self._origins: dict[str, str] = {}
        self._notes: dict[str, str] = {}
        self._moves: dict[tuple[str, str], tuple[str, str, tuple[int, ...]]] = {}
        self.is_shared = False  # whether the old model calls the current layer several times
        self.affine: dict[int, tuple[Any, np.ndarray, np.ndarray]] = {}  # identity of scale * x + offset -> x, scale, offset

    def visit(self, node: Any) -> None:
        """Takes one call of the old model over."""
        self._current = node.layer.name
        self.is_shared = self._num_calls[self._current] > 1
        if node.is_input:
            output = keras.Input(node.outputs.shape[1:], dtype=node.outputs.dtype, name=node.layer.name)
            self._inputs[str(id(node.outputs))] = output
        else:
            output = None if self._current in self._untouched else self._by_rule(self._call(node))
            output = self._copy(node) if output is None else output
        if len(tf.nest.flatten(output)) == 1:
            output = self._after(self._current, output)
        for old, new in zip(tf.nest.flatten(node.outputs), tf.nest.flatten(output), strict=True):
            self._tensors[str(id(old))] = new
            self._num_readers[id(new)] = len(self._readers.get(str(id(old)), []))

    def finish(self) -> Rewritten:
        """The model between the old one's inputs and outputs, in its own order of both."""
        inputs = [self._inputs[str(id(tensor))] for tensor in self._model.inputs]
        outputs = [self.plain(self._tensors[str(id(tensor))], tensor.shape.rank) for tensor in self._model.outputs]
        model = keras.Model(_one_or_all(inputs), _one_or_all(outputs), name=self._model.name)
        return Rewritten(model, self._origins, self._notes, self._moves)

    def put(self, layer: keras.layers.Layer, *inputs: Any, weights: Sequence[np.ndarray] = ()) -> Any:
        """Adds a call of a new layer, which goes through the rules; returns its output."""
        output = self._by_rule(Call(layer, list(weights), list(inputs), [tensor.shape.rank for tensor in inputs]))
        return self.add(layer, *inputs, weights=weights) if output is None else output

    def add(self, layer: keras.layers.Layer, *inputs: Any, weights: Sequence[np.ndarray] = ()) -> Any:
        """Adds a call of a new layer as it is; returns its output."""
        return self._add(layer, [_one_or_all(list(inputs))], {}, weights)

    def name(self, ending: str) -> str:
        """A name for a further layer in the place of the one that is being worked on."""
        name = f"{self._current}_{ending}"
        while name in self._old_names:
            name += "_"
        return name

    def note(self, words: str) -> None:
        """Says what was put in the place of the layer that is being worked on."""
        said = self._notes.get(self._current)
        if said is None or words not in said:
            self._notes[self._current] = words if said is None else f"{said}, {words}"

    def moved(self, weight: str, layer: str, new_weight: str, values: np.ndarray) -> None:
        """Says where the values of a weight of the layer that is being worked on are now."""
        self._moves[self._current, weight] = (layer, new_weight, values.shape)

    def is_read_once(self, tensor: Any) -> bool:
        """Whether one call alone reads a tensor of the new graph, and it is no output of the model."""
        return self._num_readers.get(id(tensor), 1) == 1

    def lift(self, tensor: Any) -> Any:
        """The tensor as an image: [channels] as [1, 1, channels], [length, channels] as [1, length, channels]."""
        shape = _static(tensor)
        return self._form(tensor, IMAGE_RANK, (1,) * (IMAGE_RANK - 1 - len(shape)) + shape)

    def in_one_form(self, call: Call) -> list[Any]:
        """The inputs of a call, all lifted if one of them is."""
        return [self.lift(tensor) for tensor in call.inputs] if call.is_lifted else call.inputs

    def plain(self, tensor: Any, rank: int) -> Any:
        """The tensor with as many axes as the old model gave it."""
        return self._form(tensor, rank, _static(tensor)[-(rank - 1) :])

    def _form(self, tensor: Any, rank: int, shape: tuple[int, ...]) -> Any:
        """The tensor itself, or a Reshape of it, made once."""
        if tensor.shape.rank == rank:
            return tensor
        forms = self._forms.setdefault(id(tensor), {tensor.shape.rank: tensor})
        if rank not in forms:
            name = f"{tensor._keras_history.layer.name}_as_{'image' if rank == IMAGE_RANK else 'before'}"
            while name in self._old_names or name in self._layers:
                name += "_"
            self._layers[name] = keras.layers.Reshape(shape, name=name)
            forms[rank] = self._layers[name](tensor)
            self._forms[id(forms[rank])] = forms
        return forms[rank]

    def _by_rule(self, call: Call) -> Any:
        rule = self._rules.get(type(call.layer).__name__)
        return None if rule is None else rule(call, self)

    def _call(self, node: Any) -> Call:
        """A call of the old model in terms of the new graph."""
        inputs = [self._tensors[identity] for identity in node.flat_input_ids]
        operands: list[Any] = []
        if type(node.layer).__name__ == "TFOpLambda":
            arguments, keywords = self._arguments(node, inputs)
            operands = [*arguments, *keywords.values()]
        readers = [reader for tensor in tf.nest.flatten(node.outputs) for reader in self._readers.get(str(id(tensor)), [])]
        ranks = [tensor.shape.rank for tensor in node.keras_inputs]
        return Call(node.layer, node.layer.get_weights(), inputs, ranks, operands, readers[0] if len(readers) == 1 else None)

    def _copy(self, node: Any) -> Any:
        """The same call of a copy of the layer."""
        layer = node.layer
        pairs = zip(node.flat_input_ids, node.keras_inputs, strict=True)
        inputs = [self.plain(self._tensors[identity], old.shape.rank) for identity, old in pairs]
        arguments, keywords = self._arguments(node, inputs)
        copy = keras.models.clone_model(layer) if isinstance(layer, keras.Model) else type(layer).from_config(layer.get_config())
        return self._add(copy, arguments, keywords, layer.get_weights())

    def _arguments(self, node: Any, inputs: Sequence[Any]) -> tuple[Any, Any]:
        """Arguments of a call of the old model with new tensors in their places. Keras takes them off lists, one for each use."""
        tensors: dict[str, list[Any]] = {}
        for identity, tensor in zip(node.flat_input_ids, inputs, strict=True):
            tensors.setdefault(identity, []).append(tensor)
        return node.map_arguments(tensors)

    def _add(self, layer: keras.layers.Layer, arguments: Any, keywords: Any, weights: Sequence[np.ndarray]) -> Any:
        """Calls a layer of the new graph. A name that is known there means a layer that the old model shares: it is called again."""
        known = layer.name in self._layers
        layer = self._layers.setdefault(layer.name, layer)
        self._origins[layer.name] = self._current
        output = layer(*arguments, **keywords)
        if weights and not known:
            layer.set_weights(list(weights))
        return output


def _one_or_all(tensors: list[Any]) -> Any:
    return tensors[0] if len(tensors) == 1 else tensors


def _static(tensor: Any) -> tuple[int, ...]:
    """The shape of one sample; -1 for a length that is not known."""
    return tuple(-1 if size is None else size for size in tensor.shape[1:])
