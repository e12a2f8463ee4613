"""Outputs of a Keras model, streamed over a split."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edgecompress.backend import keras, tf
from edgecompress.data import Split
from edgecompress.errors import ModelError


def keras_outputs(model: keras.Model, split: Split, *, batch_size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(outputs, targets) of `split` in its natural order, one batch at a time.

    Args:
        model: one input, one output; run as in inference. It is not changed.
        batch_size: samples per step.
    Raises:
        ModelError: several inputs or outputs, or an input that is not of the shape of the samples.
    """
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ModelError(
            f"{model.name}: the model must have one input and one output. Received: {len(model.inputs)} and {len(model.outputs)}."
        )
    dataset = split.dataset(batch_size)
    sample_shape = dataset.element_spec[0].shape[1:]
    expected_shape = model.inputs[0].shape[1:]
    if not sample_shape.is_compatible_with(expected_shape):
        raise ModelError(f"{model.name}: samples must have the shape {list(expected_shape)} of the input. Received: {list(sample_shape)}.")

    # Traced once: the batch size is left open, so that the last, shorter batch takes the same graph.
    @tf.function(input_signature=[tf.TensorSpec([None, *sample_shape], tf.float32)])
    def predict(inputs: tf.Tensor) -> tf.Tensor:
        return model(inputs, training=False)

    for inputs, targets in dataset:
        yield predict(inputs).numpy(), targets.numpy()
