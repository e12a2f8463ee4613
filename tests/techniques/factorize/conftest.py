"""A network that is worth factorizing."""

import pytest

from edgecompress.backend import keras

layers = keras.layers


@pytest.fixture(scope="session")
def trained(digits):
    """A network on the digits with layers that are worth factorizing; its weights have a spectrum because it has learned."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 1), name="input")
    x = layers.Conv2D(24, 3, padding="same", activation="relu", name="conv1")(inputs)
    x = layers.Conv2D(32, 3, padding="same", activation="relu", name="conv2")(x)
    x = layers.Flatten(name="flatten")(layers.MaxPooling2D(name="pool")(x))
    x = layers.Dense(64, activation="relu", name="dense")(x)
    model = keras.Model(inputs, layers.Dense(10, name="logits")(x))
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(digits.train.dataset(64), epochs=4, verbose=0)
    return model
