"""Builders of fully connected networks for inputs of any shape."""

from math import prod

from edgecompress.backend import keras, tf
from edgecompress.models.blocks import batch_norm_relu, dense

BOTTLENECK_DIVISOR = 16  # MLPerf Tiny: 128 wide, 8 at the bottleneck
MIN_BOTTLENECK = 4  # of fewer ReLU units, all may start dead: the output is then the same for every input


def mlp(inputs: tf.Tensor, num_outputs: int, width: int, seed: int) -> tf.Tensor:
    """Two hidden Dense layers of `width` with ReLU, then logits."""
    features = _flatten(inputs)
    for number in (1, 2):
        features = dense(features, width, name=f"dense{number}", seed=seed, activation="relu")
    return dense(features, num_outputs, name="logits", seed=seed)


def autoencoder(inputs: tf.Tensor, num_outputs: int, width: int, seed: int) -> tf.Tensor:
    """MLPerf Tiny anomaly detection: 4 Dense layers, a bottleneck, 4 Dense layers, each with BatchNormalization and ReLU.

    The output has the shape of the input; `num_outputs` is not used. 269,992 parameters on 640 values at width 128.
    Source: Banbury et al., MLPerf Tiny Benchmark (2021), table 2; layers as in the reference implementation
    (github.com/mlcommons/tiny, benchmark/training/anomaly_detection/keras_model.py).
    """
    features = _flatten(inputs)
    bottleneck = max(MIN_BOTTLENECK, width // BOTTLENECK_DIVISOR)
    names = [*(f"encoder{number}" for number in range(1, 5)), "bottleneck", *(f"decoder{number}" for number in range(1, 5))]
    for name in names:
        features = dense(features, bottleneck if name == "bottleneck" else width, name=name, seed=seed)
        features = batch_norm_relu(features, name=name)
    sample_shape = tuple(inputs.shape[1:])
    features = dense(features, prod(sample_shape), name="reconstruction", seed=seed)
    return features if len(sample_shape) == 1 else keras.layers.Reshape(sample_shape, name="reshape")(features)


def _flatten(inputs: tf.Tensor) -> tf.Tensor:
    """One axis per sample; inputs that have one already stay as they are."""
    return inputs if len(inputs.shape) == 2 else keras.layers.Flatten(name="flatten")(inputs)
