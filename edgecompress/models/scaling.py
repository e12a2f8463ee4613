"""The graph of a model with every width scaled, by rebuilding it from its configuration."""

import copy
from typing import Any

from edgecompress.backend import keras
from edgecompress.errors import ModelError
from edgecompress.models.blocks import layer_seed

WIDTHS = ("filters", "units")  # of a layer's configuration: how many channels it gives


def scale_widths(model: keras.Model, scale: float, *, seed: int) -> keras.Model:
    """A new model of the same graph and layer names, with initial weights of its own.

    Filters and units become `round(scale * width)`, at least 1; those of the layers that make the outputs stay.

    Args:
        model: functional or sequential, without nested models; it is not changed.
        scale: > 0; 1 gives the same network, untrained.
        seed: of the initial weights.

    Raises:
        ModelError: nothing has a width, or the scaled layers do not fit together, as where the input is added to a layer.
    """
    config = copy.deepcopy(model.get_config())
    last = _layers_that_make_outputs(model)
    num_scaled = 0
    for layer in config["layers"]:
        settings = layer["config"]
        _reseed(settings, layer_seed(seed, settings["name"]))
        for width in WIDTHS:
            if width in settings and settings["name"] not in last:
                settings[width] = max(1, round(scale * settings[width]))
                num_scaled += 1
    if not num_scaled:
        raise ModelError(f"student.scale needs a model with layers whose width can change. Received: {model.name}.")
    try:
        return type(model).from_config(config)
    except (ValueError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(
            f"student.scale: widths of {model.name} do not fit together at {scale:g}: name a builder or a file. {reason}"
        ) from error


def _layers_that_make_outputs(model: keras.Model) -> set[str]:
    """Names of the layers with a width that reach an output through layers without one."""
    found, waiting = set(), [tensor._keras_history.layer for tensor in model.outputs]
    while waiting:
        layer = waiting.pop()
        if any(hasattr(layer, width) for width in WIDTHS):
            found.add(layer.name)
        else:
            waiting.extend(parent.layer for node in layer.inbound_nodes for parent in node.parent_nodes)
    return found


def _reseed(settings: Any, seed: int) -> None:
    """Gives initializers, and layers that draw random numbers, a seed; they lie at any depth."""
    if isinstance(settings, dict):
        if "seed" in settings:
            settings["seed"] = seed
        for part in settings.values():
            _reseed(part, seed)
