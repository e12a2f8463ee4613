"""The networks of tf_keras.applications, with an end that fits the task."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

from edgecompress.backend import keras, tf
from edgecompress.causes import root_cause
from edgecompress.errors import ModelError
from edgecompress.models.containers import opened_weights
from edgecompress.models.copying import copy_weights
from edgecompress.recipe.schema import ApplicationModel

IMAGENET, IMAGENET_CLASSES = "imagenet", 1000


def build_application(
    config: ApplicationModel, input_shape: tuple[int, ...], num_outputs: int, *, activation: str | None, seed: int
) -> keras.Model:
    """Builds the network that a recipe names.

    Args:
        config: name, and what it says of weights, width, input and classes.
        input_shape: of one preprocessed sample, [height, width, channels]; used where the recipe does not give one.
        num_outputs: classes; used where the recipe does not give them.
        activation: of the last layer; None: logits.
        seed: of the weights that are random. Same seed, same bits, whatever was built before.

    Raises:
        ModelError: an input that the network cannot take, weights that do not fit or cannot be had.
    """
    shape, classes = tuple(config.input_shape or input_shape), config.classes or num_outputs
    if len(shape) != 3:
        raise ModelError(f"input shape of application {config.name} must be (height, width, channels). Received: {shape}.")
    keras.backend.reset_uids()  # some networks leave the names of their layers to a counter
    keras.utils.set_random_seed(seed)
    make = partial(getattr(keras.applications, config.name), **({} if config.alpha is None else {"alpha": config.alpha}))
    try:
        model = make(weights=None, input_shape=shape, classes=classes, classifier_activation=activation)
    except (ValueError, tf.errors.OpError, MemoryError) as error:
        raise ModelError(f"application {config.name} must fit inputs of the shape {shape}. Received: {root_cause(error)}.") from error
    if config.weights == IMAGENET:
        _take_weights(_published(config.name, make, shape, with_top=classes == IMAGENET_CLASSES), model, config.name)
    elif config.weights is not None:
        _load_weights(
            Path(config.weights).expanduser(), model, config.name, partial(make, weights=None, input_shape=shape, include_top=False)
        )
    return model


def _published(name: str, make: Callable[..., Any], shape: tuple[int, ...], *, with_top: bool) -> keras.Model:
    """The network with the weights that tf_keras downloads, or has downloaded before."""
    try:
        with redirect_stdout(sys.stderr):  # the downloader prints a bar where only results may stand
            return make(weights=IMAGENET, include_top=with_top, **({} if with_top else {"input_shape": shape}))
    except Exception as error:  # the downloader raises bare Exceptions
        raise ModelError(
            f"weights imagenet of application {name} must be within reach: from the network, or in ~/.keras/models. "
            f"Received: {root_cause(error)}."
        ) from error


def _load_weights(path: Path, model: keras.Model, name: str, make_body: Callable[[], Any]) -> None:
    """Weights of a file: of the whole network, or of its body, the network without its last layers."""
    with opened_weights(path) as source:
        try:
            model.load_weights(source)
            return
        except ValueError:
            body = make_body()
        try:
            body.load_weights(source)
        except (ValueError, OSError, KeyError) as error:
            classes = model.output_shape[-1]
            raise ModelError(
                f"{path}: must hold the weights of {name}, whole with {classes} classes or without its top. Received: {root_cause(error)}."
            ) from error
    _take_weights(body, model, name)


def _take_weights(source: keras.Model, model: keras.Model, name: str) -> None:
    """Gives `model` the weights of `source`, which has the same layers, or lacks the last ones."""
    pairs = zip(_weighted(source), _weighted(model), strict=False)
    try:
        for layer, own in pairs:
            copy_weights(layer, own)
    except ValueError as error:
        raise ModelError(f"weights of application {name} must fit its layers. Received: {root_cause(error)}.") from error


def _weighted(model: keras.Model) -> list[Any]:
    """The layers with weights, in order."""
    return [layer for layer in model.layers if layer.weights]
