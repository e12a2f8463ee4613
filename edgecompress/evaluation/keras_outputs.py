"""Outputs of a Keras model, streamed over a split."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from edgecompress.backend import keras, tf
from edgecompress.data import Split
from edgecompress.errors import ModelError
from edgecompress.samples import check_inputs, each


def keras_outputs(model: keras.Model, split: Split, *, batch_size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(outputs, targets) of `split` in its natural order, one batch at a time.

    Args:
        model: one output; run as in inference. It is not changed.
        batch_size: samples per step.
    Raises:
        ModelError: several outputs, or inputs that are not those of the samples.
    """
    if len(model.outputs) != 1:
        raise ModelError(f"{model.name}: the model must have one output. Received: {len(model.outputs)}.")
    check_inputs(split.sample_shape, model.input_names, [tuple(tensor.shape[1:]) for tensor in model.inputs], model.name)
    signature = each(lambda shape: tf.TensorSpec([None, *shape], tf.float32), split.sample_shape)

    # Traced once: the batch size is left open, so that the last, shorter batch takes the same graph.
    @tf.function(input_signature=[signature])
    def predict(inputs: Any) -> tf.Tensor:
        return model(inputs, training=False)

    with split.readable():
        for inputs, targets in split.dataset(batch_size):
            yield predict(inputs).numpy(), targets.numpy()
