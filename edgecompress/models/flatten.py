"""Models without models in them: what every technique and the graph code work on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgecompress.backend import keras
from edgecompress.causes import root_cause
from edgecompress.errors import ModelError
from edgecompress.models.agreement import check_equal
from edgecompress.models.copying import copy_weights
from edgecompress.models.rebuild import calls_of, is_graph, rebuild


def nested_models(model: keras.Model) -> list[str]:
    """Names of the models that `model` calls as layers, in order."""
    return list(dict.fromkeys(call.layer.name for call in calls_of(model) if is_graph(call.layer)))


def flatten(model: keras.Model, *, input_shape: Sequence[int] | None = None) -> keras.Model:
    """A copy of `model` whose nested models are replaced by their layers, with the same weights.

    Names stay where they are unique; else they get the nested model's name in front.

    Args:
        model: a Functional or Sequential model; it is not changed.
        input_shape: of one sample, for a model with one input: takes the place of lengths that are not known.

    Raises:
        ModelError: a model with code of its own stands in it.
    """
    copies: list[tuple[Any, Any]] = []

    def copy(layer: Any, name: str) -> Any:
        copies.append((layer, type(layer).from_config({**layer.get_config(), "name": name})))
        return copies[-1][1]

    flat = rebuild(model, copy, input_shape=input_shape)
    for layer, new in copies:
        copy_weights(layer, new)
    return flat


def with_input_shape(model: keras.Model, input_shape: Sequence[int]) -> keras.Model:
    """A copy of `model` for samples of one shape.

    Args:
        model: a Functional or Sequential model with one input.
        input_shape: of one sample, every length at least 1.

    Raises:
        ModelError: the model has several inputs, or its layers and weights are for another shape.
    """
    if len(model.inputs) != 1:
        raise ModelError(f"input_shape must be absent for a model with several inputs. Received: {len(model.inputs)} inputs")
    try:
        return flatten(model, input_shape=input_shape)
    except ValueError as error:
        raise ModelError(f"model must take samples of the shape {tuple(input_shape)}. Received: {root_cause(error)}") from error


def flatten_proved(model: keras.Model) -> tuple[keras.Model, str | None]:
    """A model without nested ones, and what was done in words; `model` itself and None where it has none.

    Raises:
        ModelError: a model with code of its own stands in it, or the copy does not compute the same.
    """
    names = nested_models(model)
    if not names:
        return model, None
    flat = flatten(model)
    difference = check_equal(model, flat, "making nested models flat")
    return flat, f"nested models made flat: {', '.join(names)}; largest difference {difference:.2g} on random inputs"
