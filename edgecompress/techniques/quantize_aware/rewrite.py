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
from edgecompress.models.rebuild import Call as OldCall
from edgecompress.models.rebuild import calls_of, mapped, source_name

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
    for call in calls_of(model):
        graph.visit(call)
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
        self._readers: dict[int, list[Any]] = {}  # identity of an old tensor -> layers that read it; None: the model's end
        self._num_calls = Counter(call.layer.name for call in calls_of(model))
        for call in calls_of(model):
            for tensor in _tensors(call):
                self._readers.setdefault(id(tensor), []).append(call.layer)
        for tensor in model.outputs:
            self._readers.setdefault(id(tensor), []).append(None)
        self._inputs: list[Any] = []
        self._tensors: dict[int, Any] = {}  # identity of an old tensor -> the new one
        self._num_readers: dict[int, int] = {}  # identity of a new tensor -> calls of the old model that read it
        self._forms: dict[int, dict[int, Any]] = {}  # identity of a new tensor -> rank -> the same values in that form
        self._layers: dict[str, keras.layers.Layer] = {}
        self._current = ""  # the old layer that is being worked on
        self._origins: dict[str, str] = {}
        self._notes: dict[str, str] = {}
        self._moves: dict[tuple[str, str], tuple[str, str, tuple[int, ...]]] = {}
        self.is_shared = False  # whether the old model calls the current layer several times
        self.affine: dict[int, tuple[Any, np.ndarray, np.ndarray]] = {}  # identity of scale * x + offset -> x, scale, offset
        for tensor in model.inputs:
            self._current = source_name(tensor)
            self._inputs.append(keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=self._current))
            self._note_outputs([tensor], self._inputs[-1:])

    def visit(self, call: OldCall) -> None:
        """Takes one call of the old model over."""
        self._current = call.layer.name
        self.is_shared = self._num_calls[self._current] > 1
        output = None if self._current in self._untouched else self._by_rule(self._call(call))
        self._note_outputs(call.outputs, tf.nest.flatten(self._copy(call) if output is None else output))

    def _note_outputs(self, old: Sequence[Any], new: Sequence[Any]) -> None:
        """Says what stands for tensors of the old model."""
        if len(new) == 1:
            new = [self._after(self._current, new[0])]
        for before, tensor in zip(old, new, strict=True):
            self._tensors[id(before)] = tensor
            self._num_readers[id(tensor)] = len(self._readers.get(id(before), []))

    def finish(self) -> Rewritten:
        """The model between the old one's inputs and outputs, in its own order of both."""
        outputs = [self.plain(self._tensors[id(tensor)], tensor.shape.rank) for tensor in self._model.outputs]
        model = keras.Model(_one_or_all(self._inputs), _one_or_all(outputs), name=self._model.name)
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

    def _call(self, call: OldCall) -> Call:
        """A call of the old model in terms of the new graph."""
        old = _tensors(call)
        operands: list[Any] = []
        if type(call.layer).__name__ == "TFOpLambda":
            operands = [*mapped(call.args, self._tensors), *mapped(call.kwargs, self._tensors).values()]
        readers = [reader for tensor in call.outputs for reader in self._readers.get(id(tensor), [])]
        return Call(
            call.layer, call.layer.get_weights(), [self._tensors[id(tensor)] for tensor in old], [tensor.shape.rank for tensor in old],
            operands, readers[0] if len(readers) == 1 else None,
        )  # fmt: skip

    def _copy(self, call: OldCall) -> Any:
        """The same call of a copy of the layer."""
        layer = call.layer
        inputs = {id(tensor): self.plain(self._tensors[id(tensor)], tensor.shape.rank) for tensor in _tensors(call)}
        copy = keras.models.clone_model(layer) if isinstance(layer, keras.Model) else type(layer).from_config(layer.get_config())
        return self._add(copy, mapped(call.args, inputs), mapped(call.kwargs, inputs), layer.get_weights())

    def _add(self, layer: keras.layers.Layer, arguments: Any, keywords: Any, weights: Sequence[np.ndarray]) -> Any:
        """Calls a layer of the new graph. A name that is known there means a layer that the old model shares: it is called again."""
        known = layer.name in self._layers
        layer = self._layers.setdefault(layer.name, layer)
        self._origins[layer.name] = self._current
        output = layer(*arguments, **keywords)
        if weights and not known:
            layer.set_weights(list(weights))
        return output


def _tensors(call: OldCall) -> list[Any]:
    """What a call of the old model reads, once for each use."""
    return [value for value in tf.nest.flatten((call.args, call.kwargs)) if hasattr(value, "_keras_history")]


def _one_or_all(tensors: list[Any]) -> Any:
    return tensors[0] if len(tensors) == 1 else tensors


def _static(tensor: Any) -> tuple[int, ...]:
    """The shape of one sample; -1 for a length that is not known."""
    return tuple(-1 if size is None else size for size in tensor.shape[1:])
