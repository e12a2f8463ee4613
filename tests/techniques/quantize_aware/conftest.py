"""Small models with weights that hide nothing."""

import numpy as np
import pytest


@pytest.fixture(scope="session")
def stirred():
    """Gives a model random weights everywhere, also where Keras starts with zeros and ones, and returns it."""

    def stir(model, seed=0):
        generator = np.random.default_rng(seed)
        for layer in model.layers:
            if type(layer).__name__ in ("BatchNormalization", "SyncBatchNormalization"):
                layer.set_weights([generator.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
            elif type(layer).__name__ != "Normalization":
                layer.set_weights([weight + generator.normal(0, 0.2, weight.shape) for weight in layer.get_weights()])
        return model

    return stir


@pytest.fixture(scope="session")
def samples_for():
    """Random samples of a model's input shape."""

    def make(model, num_samples=4, seed=1):
        return np.random.default_rng(seed).normal(0, 2, (num_samples, *model.input_shape[1:])).astype(np.float32)

    return make
