"""A small network trained for a moment on scikit-learn's digits."""

import numpy as np
import pytest


@pytest.fixture(scope="session")
def digit_arrays():
    """(train inputs, train labels, test inputs, test labels): 8 x 8 x 1 in [0, 1]."""
    from sklearn.datasets import load_digits

    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))
    inputs, labels = (data.images[order, ..., np.newaxis] / 16).astype(np.float32), data.target[order]
    return inputs[:1400], labels[:1400], inputs[1400:], labels[1400:]


@pytest.fixture(scope="session")
def calibration(digit_arrays):
    return digit_arrays[0][:50]


def build():
    from edgecompress.backend import keras

    keras.utils.set_random_seed(0)
    layers = keras.layers
    inputs = keras.Input((8, 8, 1), name="image")
    x = layers.Conv2D(16, 3, padding="same", use_bias=False, name="conv1")(inputs)
    x = layers.ReLU(name="relu1")(layers.BatchNormalization(name="norm1")(x))
    x = layers.DepthwiseConv2D(3, padding="same", strides=2, use_bias=False, name="depthwise")(x)
    x = layers.ReLU(name="relu2")(layers.BatchNormalization(name="norm2")(x))
    x = layers.Conv2D(32, 1, activation="relu", name="conv2")(x)
    x = layers.Dense(32, activation="relu", name="hidden")(layers.Flatten(name="flatten")(x))
    return keras.Model(inputs, layers.Dense(10, name="logits")(x))


def train(model, inputs, labels, epochs: int):
    from edgecompress.backend import keras

    model.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(inputs, labels, batch_size=64, epochs=epochs, verbose=0)
    return model


@pytest.fixture(scope="session")
def trained(digit_arrays):
    return train(build(), *digit_arrays[:2], epochs=6)


@pytest.fixture(scope="session")
def quantize_aware(trained, digit_arrays):
    """The trained network with TF-MOT's fake-quantization, trained on."""
    from edgecompress.backend import keras, model_optimization

    clone = keras.models.clone_model(trained)
    clone.set_weights(trained.get_weights())
    return train(model_optimization().quantization.keras.quantize_model(clone), *digit_arrays[:2], epochs=1)


@pytest.fixture(autouse=True)
def quick_probe(request):
    """Converted files run in this process; `real_probe` leaves it as it is."""
    if "real_probe" not in request.fixturenames:
        request.getfixturevalue("probe_in_this_process")


@pytest.fixture
def real_probe():
    """The child process is used."""


@pytest.fixture(scope="session")
def convert_as(calibration):
    """convert_as(model, format=..., io=...): the conversion, silent. Asked again it gives the same object, unless `fresh`."""
    from edgecompress.export import convert
    from edgecompress.progress import Progress
    from edgecompress.recipe.schema import Export

    made = {}

    def make(model, *, samples=calibration, runtime=None, fresh=False, **export):
        key = (id(model), id(samples), runtime, repr(export))
        if fresh or key not in made:
            conversion = convert(model, Export(**export), calibration=samples, progress=Progress(), runtime=runtime)
            made[key] = (conversion, model, samples)  # the objects are kept, so that no other gets their identity
        return made[key][0]

    return make
