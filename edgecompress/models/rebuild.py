"""A Keras graph called again, call by call, with other layers: a flat model comes out, whatever was nested in the old one."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from edgecompress.backend import keras, tf
from edgecompress.errors import ModelError
from edgecompress.graph.order import nodes_in_order

Make = Callable[[Any, str], Callable[..., Any]]


@dataclass(frozen=True)
class Call:
    """One call in a graph: of a layer, a model or (Keras 3) an operation, on symbolic tensors of that graph."""

    layer: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outputs: list[Any]


def rebuild(model: Any, make: Make, *, input_shape: Sequence[int] | None = None) -> keras.Model:
    """A flat tf_keras model with the graph of `model`, a Functional or Sequential one of tf_keras or Keras 3.

    Models in it are entered: their layers take the place of the call. A layer that is called several times is made once.

    Args:
        model: it is only read.
        make: gives what stands for a layer, when it meets it first; gets the layer and a name that is unique in the new model.
        input_shape: of one sample, for a model with one input; absent: the shapes of `model`.

    Raises:
        ModelError: a model with code of its own stands in it.
    """
    structure = graph_of(model).input
    inputs = mapped(structure, {id(tensor): _new_input(tensor, input_shape) for tensor in model.inputs})
    with _collector_paused():
        return keras.Model(inputs, _Rebuilding(model, make).replay(model, inputs, training=None), name=model.name)


@contextmanager
def _collector_paused() -> Iterator[None]:
    """No search for cyclic garbage meanwhile: building hundreds of layers starts many, which find nothing and take a fifth of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def is_graph(layer: Any) -> bool:
    """Whether a layer is a Functional or Sequential model with a known graph."""
    return hasattr(graph_of(layer), "_nodes_by_depth")


def graph_of(model: Any) -> Any:
    """What holds the graph of a model: the model itself; a Sequential one of Keras 3 holds a Functional one."""
    return getattr(model, "_functional", None) or model


def calls_of(model: Any) -> Iterator[Call]:
    """The calls of a graph in an order in which they can be done; input layers are none.

    Raises:
        ModelError: a model with code of its own stands in it.
    """
    for node in nodes_in_order(graph_of(model)):
        if hasattr(node, "operation"):  # Keras 3, which records a default training=True, and overrules it whenever it runs a graph
            kwargs = {key: value for key, value in node.arguments.kwargs.items() if (key, value) != ("training", True)}
            call = Call(node.operation, node.arguments.args, kwargs, list(node.outputs))
        else:
            call = Call(node.layer, node.call_args, node.call_kwargs, tf.nest.flatten(node.outputs))
        _refuse_subclassed(call.layer)
        yield call


class _Rebuilding:
    """What was made so far, and which names are taken."""

    def __init__(self, model: Any, make: Make) -> None:
        self._make = make
        self._made: dict[int, Callable[..., Any]] = {}
        # Layers of the outer model keep their names; those of inner ones do where nothing else has the name.
        self._names = {call.layer.name for call in calls_of(model) if not is_graph(call.layer)}
        self._names |= {source_name(tensor) for tensor in model.inputs}
        self._outer = {id(call.layer) for call in calls_of(model)}

    def replay(self, model: Any, inputs: Any, *, training: bool | None, path: tuple[str, ...] = ()) -> Any:
        """The calls of `model` on `inputs`, tensors in the structure of its own; returns tensors in that of its outputs.

        `training` is what the model was called with: it holds for the layers inside that are not called with their own.
        """
        tensors = _paired(graph_of(model).input, inputs)
        for call in calls_of(model):
            args, kwargs = mapped(call.args, tensors), mapped(call.kwargs, tensors)
            outputs = self._call(call.layer, args, kwargs, training, path)
            tensors |= dict(zip(map(id, call.outputs), tf.nest.flatten(outputs), strict=True))
        return mapped(graph_of(model).output, tensors)

    def _call(self, layer: Any, args: Any, kwargs: dict[str, Any], training: bool | None, path: tuple[str, ...]) -> Any:
        if is_graph(layer):
            return self._call_model(layer, args, kwargs, training, path)
        if id(layer) not in self._made:
            self._made[id(layer)] = self._make(layer, layer.name if id(layer) in self._outer else self._free_name(layer.name, path))
        if training is not None and _takes_training(layer):
            kwargs = {"training": training} | kwargs
        return self._made[id(layer)](*args, **kwargs)

    def _call_model(self, model: Any, args: Any, kwargs: dict[str, Any], training: bool | None, path: tuple[str, ...]) -> Any:
        """A model inside the model."""
        inputs = args[0] if args else kwargs["inputs"]
        if kwargs.get("mask") is not None:
            raise ModelError(f"a model in the model must be called without a mask of its own. Received: one for {model.name!r}")
        own = kwargs.get("training")
        return self.replay(model, inputs, training=training if own is None else own, path=(*path, model.name))

    def _free_name(self, name: str, path: tuple[str, ...]) -> str:
        """`name`; where it is taken, with the names of the models around it, and at last with a number."""
        longer = "_".join((*path, name))
        candidates = [name, longer, *(f"{longer}_{number}" for number in range(1, len(self._names) + 2))]
        free = next(candidate for candidate in candidates if candidate not in self._names)
        self._names.add(free)
        return free


def _refuse_subclassed(layer: Any) -> None:
    """A model that is no graph cannot be entered."""
    if hasattr(layer, "fit") and not is_graph(layer):
        raise ModelError(
            f"models in the model must be Functional or Sequential. Received: {layer.name!r} of class {type(layer).__name__}, "
            "whose graph is only known by running its code"
        )


def _takes_training(layer: Any) -> bool:
    """Whether a call of the layer may say `training=...`."""
    if hasattr(layer, "_call_spec"):  # tf_keras
        return bool(layer._call_spec.expects_training_arg)
    return bool(getattr(layer, "_call_has_training_arg", False))


def _new_input(tensor: Any, sample_shape: Sequence[int] | None) -> Any:
    """An input of the new model like `tensor` of the old one."""
    batch_size, *shape = tuple(tensor.shape)
    return keras.Input(
        shape=shape if sample_shape is None else tuple(sample_shape), batch_size=batch_size, dtype=tf.as_dtype(tensor.dtype),
        name=source_name(tensor),
    )  # fmt: skip


def source_name(tensor: Any) -> str:
    """Name of the layer that a symbolic tensor comes from."""
    return str(tensor._keras_history[0].name)


def _paired(old: Any, new: Any) -> dict[int, Any]:
    """Old tensors, by id, to new ones: two structures that may differ in how a single tensor is wrapped."""
    if isinstance(old, dict) and isinstance(new, dict):
        return {id(old[name]): new[name] for name in old}
    if isinstance(new, dict):
        new = [new[source_name(tensor)] for tensor in tf.nest.flatten(old)]
    return dict(zip(map(id, tf.nest.flatten(old)), tf.nest.flatten(new), strict=True))


def mapped(structure: Any, tensors: dict[int, Any]) -> Any:
    """The structure with each old tensor replaced by the new one; everything else stays."""
    if id(structure) in tensors:
        return tensors[id(structure)]
    if isinstance(structure, dict):
        return {key: mapped(value, tensors) for key, value in structure.items()}
    if isinstance(structure, list | tuple):
        parts = [mapped(value, tensors) for value in structure]
        return type(structure)(parts) if type(structure) in (list, tuple) else parts
    return structure
