"""The layers that the builders are made of, each with initial weights that depend on the seed and its own name only."""

import hashlib

from edgecompress.backend import keras, tf

# 0.9 instead of Keras' 0.99: the statistics settle within some 30 steps, so that a few epochs of a small data set are enough.
BATCH_NORM_MOMENTUM = 0.9


def layer_seed(seed: int, name: str) -> int:
    """A seed for one layer, in [0, 2**31): the same in every process and for every order of building."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:4], "big") >> 1


def convolution(
    inputs: tf.Tensor, filters: int, kernel_size: tuple[int, int], *, name: str, seed: int, strides: int = 1, use_bias: bool = True
) -> tf.Tensor:
    """Conv2D with same padding, He normal initialization."""
    initializer = keras.initializers.HeNormal(seed=layer_seed(seed, name))
    layer = keras.layers.Conv2D(
        filters, kernel_size, strides=strides, padding="same", use_bias=use_bias, kernel_initializer=initializer, name=name
    )
    return layer(inputs)


def depthwise(inputs: tf.Tensor, *, name: str, seed: int, strides: int = 1) -> tf.Tensor:
    """DepthwiseConv2D 3x3 with same padding, Glorot uniform initialization."""
    initializer = keras.initializers.GlorotUniform(seed=layer_seed(seed, name))
    return keras.layers.DepthwiseConv2D(3, strides=strides, padding="same", depthwise_initializer=initializer, name=name)(inputs)


def dense(inputs: tf.Tensor, units: int, *, name: str, seed: int, activation: str | None = None) -> tf.Tensor:
    """Dense, Glorot uniform initialization."""
    initializer = keras.initializers.GlorotUniform(seed=layer_seed(seed, name))
    return keras.layers.Dense(units, activation=activation, kernel_initializer=initializer, name=name)(inputs)


def batch_norm(inputs: tf.Tensor, *, name: str) -> tf.Tensor:
    """BatchNormalization called `name`_bn."""
    return keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=f"{name}_bn")(inputs)


def batch_norm_relu(inputs: tf.Tensor, *, name: str) -> tf.Tensor:
    """BatchNormalization and ReLU after the layer `name`, in the order that converters fold into it."""
    return keras.layers.ReLU(name=f"{name}_relu")(batch_norm(inputs, name=name))


def dropout(inputs: tf.Tensor, rate: float, *, name: str, seed: int) -> tf.Tensor:
    """Dropout with a seed of its own."""
    return keras.layers.Dropout(rate, seed=layer_seed(seed, name), name=name)(inputs)
