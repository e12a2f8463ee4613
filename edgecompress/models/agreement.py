"""Whether two models compute the same, measured on random inputs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from edgecompress.backend import keras, keras_3, tf
from edgecompress.errors import ModelError
from edgecompress.models.rebuild import calls_of, graph_of, is_graph

TOLERANCE = 1e-4  # of the largest output; float rounding of deep networks stays below 1e-5
UNKNOWN_LENGTH = 64  # of an axis without a fixed one: divisible by what networks halve
VALUE_RANGES = ((-1.0, 1.0), (0.0, 255.0))  # one sample each: of normalized values, and of pixels


def check_equal(old: Any, new: Any, what: str) -> float:
    """Runs both models on the same random inputs and compares all outputs.

    Args:
        old, new: models of tf_keras or Keras 3 with the same inputs and outputs.
        what: was done to get from the one to the other, as the subject of a sentence.

    Returns:
        The largest difference of two outputs; relative to the sample's largest output where that is greater than 1. The
        tolerance holds relative to it also where all outputs are small, as the probabilities of many classes are.

    Raises:
        ModelError: they differ by more than TOLERANCE.
    """
    inputs = random_inputs(old)
    largest = 0.0
    for before, after in zip(outputs_of(old, inputs), outputs_of(new, inputs), strict=True):
        if before.shape != after.shape:
            raise ModelError(f"{what} must keep the outputs' shapes. Received: {after.shape} instead of {before.shape}")
        for sample_before, sample_after in zip(before, after, strict=True):
            largest = max(largest, _difference(sample_before, sample_after, what))
    return largest


def _difference(before: np.ndarray, after: np.ndarray, what: str) -> float:
    """The largest difference of one sample's outputs, as `check_equal` returns it."""
    finite = np.isfinite(before)
    scale = float(np.max(np.abs(before[finite]), initial=0.0))
    difference = float(np.max(np.abs(after[finite] - before[finite]), initial=0.0))
    if not difference <= TOLERANCE * scale or not np.array_equal(before[~finite], after[~finite], equal_nan=True):
        raise ModelError(
            f"{what} must keep the outputs to {TOLERANCE:g} of the largest. Received: a difference of {difference:.3g} "
            f"where the largest output is {scale:.3g}"
        )
    return difference / max(1.0, scale)


def random_inputs(model: Any) -> list[np.ndarray]:
    """One array per input of the model, the same at every call: its rows cover VALUE_RANGES, or the words of its Embeddings."""
    random = np.random.default_rng(0)
    words = min((layer.input_dim for layer in _layers(model) if type(layer).__name__ == "Embedding"), default=None)
    return [_random_input(tensor, words, random) for tensor in model.inputs]


def _random_input(tensor: Any, words: int | None, random: np.random.Generator) -> np.ndarray:
    dtype = np.dtype(tf.as_dtype(tensor.dtype).as_numpy_dtype)
    batch_size, *shape = (size or UNKNOWN_LENGTH for size in (tensor.shape[0] or len(VALUE_RANGES), *tensor.shape[1:]))
    if dtype.kind == "b":
        return random.integers(0, 2, (batch_size, *shape)).astype(dtype)
    if words is not None:
        return random.integers(0, words, (batch_size, *shape)).astype(dtype)
    if dtype.kind in "iu":
        return random.integers(0, 128, (batch_size, *shape)).astype(dtype)
    if dtype.kind not in "fV":  # V: bfloat16
        raise ModelError(f"inputs must be numbers. Received: {tensor.name!r} of type {dtype}")
    rows = [random.uniform(*VALUE_RANGES[row % len(VALUE_RANGES)], shape) for row in range(batch_size)]
    return np.stack(rows).astype(dtype)


def outputs_of(model: Any, inputs: list[np.ndarray]) -> list[np.ndarray]:
    """The outputs of a model, flat."""
    structure = graph_of(model).input
    given = tf.nest.pack_sequence_as(structure, inputs) if tf.nest.is_nested(structure) else inputs[0]
    to_numpy = np.asarray if isinstance(model, keras.Model) else keras_3().ops.convert_to_numpy  # its backend may be another
    return [np.asarray(to_numpy(output), np.float64) for output in tf.nest.flatten(model(given, training=False))]


def _layers(model: Any) -> Iterator[Any]:
    """Every layer that is called, those of models inside too."""
    for call in calls_of(model):
        if is_graph(call.layer):
            yield from _layers(call.layer)
        else:
            yield call.layer
