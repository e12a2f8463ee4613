"""Layers that take the place of tf_keras' own."""

import numpy as np
from tf_keras.src.applications import convnext

from edgecompress.backend import OWN_LAYERS, keras


def test_stochastic_depth_is_the_layer_of_tf_keras_but_for_where_it_draws_from():
    layer = OWN_LAYERS["StochasticDepth"](0.25, name="drop")
    assert set(layer.get_config()) == {"name", "trainable", "dtype", "drop_path_rate"}  # what tf_keras' own can be made of
    samples = np.ones((4000, 2, 2, 1), np.float32)
    np.testing.assert_array_equal(layer(samples, training=False), samples)
    kept = layer(samples, training=True).numpy().reshape(4000, -1)
    assert set(np.unique(kept)) == {0, np.float32(1 / 0.75)}
    assert (kept == kept[:, :1]).all()  # a sample as a whole
    assert abs((kept > 0).mean() - 0.75) < 0.03  # four standard errors
    assert layer.weights == []


def test_convnext_is_built_of_it(tmp_path):
    model = convnext.ConvNeXt([1] * 4, [4, 8, 8, 8], drop_path_rate=0.1, input_shape=(32, 32, 3), weights=None, classes=2)
    model.save(tmp_path / "model.h5")
    loaded = keras.models.load_model(tmp_path / "model.h5")
    for made in (model, loaded):
        assert any(type(layer) is OWN_LAYERS["StochasticDepth"] for layer in made.layers)
