"""Cutting channels out of a model: the same graph, rebuilt from its configuration with smaller weights."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecompress.backend import keras
from edgecompress.errors import ModelError
from edgecompress.graph.channels.groups import ChannelGraph, channel_graph
from edgecompress.graph.channels.trace import Numbers

Removed = Mapping[str, Iterable[int]]


@dataclass(frozen=True, eq=False)
class Cut:
    """A cut as it will be made.

    Attributes:
        weights: by path of the layer and name of the weight: the axes that get shorter and the positions that stay on each.
        sizes: by path of the layer: the fields of its config that change, each with its index (None: the field itself) and
            new value.
    """

    weights: Mapping[tuple[str, str], tuple[tuple[int, Numbers], ...]]
    sizes: Mapping[str, tuple[tuple[str, int | None, int], ...]]

    def slice(self, layer: str, weight: str, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """What is left of an array that has the axes of a weight."""
        for axis, kept in self.weights.get((layer, weight), ()):
            values = np.take(values, kept, axis)
        return values

    def config(self, layer: str, config: dict[str, Any]) -> dict[str, Any]:
        """The config of a layer after the cut."""
        changed = dict(config)
        for name, index, value in self.sizes.get(layer, ()):
            if index is None:
                changed[name] = value
            elif changed[name][index] != -1:  # Reshape finds that length itself
                changed[name] = (*changed[name][:index], value, *changed[name][index + 1 :])
        return changed


def plan_cut(graph: ChannelGraph, removed: Removed) -> Cut:
    """What a cut comes to.

    Args:
        graph: of the model that will be cut.
        removed: name of a group to the channels of it that go.

    Raises:
        ModelError: a group or channel that is not there, one that must stay, or a layer that would be left without any.
    """
    gone = removed_channels(graph, removed)
    weights: dict[tuple[str, str], tuple[tuple[int, Numbers], ...]] = {}
    for axis in graph.weights:
        stays = ~gone[axis.numbers]
        if not stays.any():
            raise ModelError(f"a cut must leave at least one channel of each layer. Received: all channels of {axis.layer}.")
        if not stays.all():
            key = axis.layer, axis.weight
            weights[key] = (*weights.get(key, ()), (axis.axis, np.flatnonzero(stays)))
    sizes: dict[str, tuple[tuple[str, int | None, int], ...]] = {}
    for size in graph.sizes:
        if gone[size.numbers].any():
            value = int((~gone[size.numbers]).sum())
            sizes[size.layer] = (*sizes.get(size.layer, ()), (size.field, size.index, value))
    return Cut(weights, sizes)


def removed_channels(graph: ChannelGraph, removed: Removed) -> npt.NDArray[np.bool_]:
    """True for each channel of the graph that goes, and one False behind them, which -1 refers to.

    Raises:
        ModelError: a group or channel that is not there, or one that must stay.
    """
    gone = np.zeros(graph.num_channels + 1, bool)
    places = {group.name: (group, start) for group, start in zip(graph.groups, graph.starts, strict=False)}
    for name, channels in removed.items():
        if name not in places:
            near = difflib.get_close_matches(name, places, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ModelError(f"a group of channels must be one that the model has. Received: {name!r}.{hint}")
        group, start = places[name]
        chosen = np.fromiter(channels, np.int64)
        if chosen.size and not 0 <= chosen.min() <= chosen.max() < group.size:
            raise ModelError(f"channels of {name} must lie in 0 to {group.size - 1}. Received: {chosen.min()} to {chosen.max()}.")
        if group.frozen[chosen].any():
            raise ModelError(f"channels of {name} that must stay cannot be cut: {'; '.join(group.reasons)}.")
        gone[start + chosen] = True
    return gone


def cut(model: keras.Model, removed: Removed) -> keras.Model:
    """Cuts channels out of a model. The result is plain Keras: no masks, no wrappers; names and all other settings stay.

    Args:
        model: a Functional or Sequential model; not changed.
        removed: name of a group (see `channel_graph`) to the channels of it that go.

    Returns:
        A smaller model. It gives what `model` gives after `silence`, to float rounding.

    Raises:
        ModelError: a group or channel that is not there, one that must stay, or a layer that would be left without any.
    """
    return carry_out(plan_cut(channel_graph(model), removed), model)


def carry_out(planned: Cut, model: keras.Model) -> keras.Model:
    """Makes the cut that `plan_cut` planned for `model`, which is not changed."""
    return _rebuilt(planned, model, "")


def silence(model: keras.Model, graph: ChannelGraph, removed: Removed) -> None:
    """Zeroes, in place, what is read of these channels: the model then behaves as if they were cut, at the same size.

    Args:
        model: changed.
        graph: of this model, or of one with the same layers.
        removed: name of a group to channels of it.

    Raises:
        ModelError: a group or channel that is not there, or one that must stay.
    """
    gone = removed_channels(graph, removed)
    for axis in graph.weights:
        silent = gone[axis.numbers]
        if axis.role == "reads" and silent.any():
            variable = getattr(layer_at(model, axis.layer), axis.weight)
            along = [1] * variable.shape.rank
            along[axis.axis] = -1
            variable.assign(variable.numpy() * ~silent.reshape(along))


def _rebuilt(planned: Cut, model: keras.Model, prefix: str) -> keras.Model:
    """A model, or one nested in it, with smaller layers in its place."""

    def smaller_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
        if hasattr(layer, "_nodes_by_depth"):
            return _rebuilt(planned, layer, f"{prefix}{layer.name}/")
        return type(layer).from_config(planned.config(prefix + layer.name, layer.get_config()))

    inputs = _smaller_inputs(planned, model, prefix)
    smaller = keras.models.clone_model(model, input_tensors=inputs, clone_function=smaller_layer)
    for layer in model.layers:
        if not hasattr(layer, "_nodes_by_depth"):
            _fill(planned, prefix + layer.name, layer, smaller.get_layer(layer.name))
    return smaller


def _smaller_inputs(planned: Cut, model: keras.Model, prefix: str) -> list[Any] | None:
    """Inputs of a nested model that gets fewer channels; None where they stay as they are."""
    layers = [tensor._keras_history.layer for tensor in model.inputs]
    if not any(prefix + layer.name in planned.sizes for layer in layers):
        return None
    return [keras.layers.InputLayer(**planned.config(prefix + layer.name, layer.get_config())).output for layer in layers]


def _fill(planned: Cut, path: str, layer: keras.layers.Layer, smaller: keras.layers.Layer) -> None:
    """Hands what is left of its weights to a layer."""
    names = (variable.name.split("/")[-1].split(":")[0] for variable in layer.weights)
    smaller.set_weights([planned.slice(path, name, values) for name, values in zip(names, layer.get_weights(), strict=True)])


def layer_at(model: keras.Model, path: str) -> keras.layers.Layer:
    """The layer at `outer/inner`; names may hold slashes themselves."""
    for layer in model.layers:
        if layer.name == path:
            return layer
        if hasattr(layer, "_nodes_by_depth") and path.startswith(f"{layer.name}/"):
            return layer_at(layer, path.removeprefix(f"{layer.name}/"))
    raise ModelError(f"the model must have the layer {path!r} of its channel graph")
