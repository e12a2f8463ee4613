"""Nested models made flat: same outputs, same weights, unique names, whatever the nesting."""

import warnings

import numpy as np
import pytest

from edgecompress.backend import keras, tf
from edgecompress.errors import ModelError
from edgecompress.models import adopt_model, load_model
from edgecompress.models.agreement import check_equal
from edgecompress.models.flatten import flatten, flatten_proved, nested_models, with_input_shape

LAYERS = keras.layers


def body(name: str = "body", classes: int | None = None) -> keras.Model:
    """A Functional model with BatchNormalization, whose statistics show whether training or inference is computed."""
    inputs = keras.Input((8, 8, 3))
    features = LAYERS.Conv2D(4, 3, name="conv")(inputs)
    features = LAYERS.BatchNormalization(name="norm")(features)
    features = LAYERS.GlobalAveragePooling2D(name="pool")(features)
    return keras.Model(inputs, features if classes is None else LAYERS.Dense(classes, name="dense")(features), name=name)


def names(model: keras.Model) -> list[str]:
    return [layer.name for layer in model.layers]


def test_flat_model_is_left_alone():
    model = body()
    assert flatten_proved(model) == (model, None)


def test_transfer_learning_becomes_one_graph_with_the_names_it_had():
    model = keras.Sequential([keras.Input((8, 8, 3), name="image"), body(), LAYERS.Dense(5, name="logits")], name="net")
    flat, change = flatten_proved(model)
    assert names(flat) == ["image", "conv", "norm", "pool", "logits"]
    assert flat.name == "net"
    assert change == "nested models made flat: body; largest difference 0 on random inputs"
    assert nested_models(flat) == []
    assert flat.count_params() == model.count_params()


def test_names_that_are_taken_get_the_nested_models_name_in_front():
    inputs = keras.Input((8, 8, 3))
    scaled = LAYERS.Conv2D(3, 1, name="conv")(inputs)
    model = keras.Model(inputs, LAYERS.Concatenate(name="join")([body("left")(scaled), body("right")(scaled)]))
    flat = flatten(model)
    assert set(names(flat)) >= {"conv", "left_conv", "norm", "right_norm", "pool", "right_pool", "join"}
    assert len(set(names(flat))) == len(flat.layers)
    assert check_equal(model, flat, "flattening") == 0.0


def test_shared_model_stays_one_set_of_weights():
    shared = keras.Sequential([keras.Input((4,)), LAYERS.Dense(4, name="dense")], name="shared")
    inputs = keras.Input((4,))
    model = keras.Model(inputs, LAYERS.Add()([shared(inputs), shared(shared(inputs))]))
    flat = flatten(model)
    assert flat.count_params() == model.count_params() == 20
    assert len(flat.get_layer("dense").inbound_nodes) == 3
    assert check_equal(model, flat, "flattening") == 0.0


def test_models_in_models_in_models_are_entered():
    inner = keras.Sequential([keras.Input((4,)), LAYERS.Dense(3, name="deep")], name="inner")
    middle = keras.Sequential([keras.Input((4,)), inner, LAYERS.ReLU(name="relu")], name="middle")
    model = keras.Sequential([keras.Input((4,)), middle, LAYERS.Dense(2, name="deep")])
    flat, change = flatten_proved(model)
    assert names(flat)[1:] == ["middle_inner_deep", "relu", "deep"]
    assert "middle" in change


def test_several_inputs_and_outputs_by_name_keep_their_structure():
    left, right = keras.Input((4,), name="left"), keras.Input((4,), name="right")
    pair = keras.Model([left, right], [LAYERS.Add()([left, right]), LAYERS.Subtract()([left, right])], name="pair")
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    total, difference = pair([b, a])
    model = keras.Model({"a": a, "b": b}, {"difference": difference, "total": LAYERS.Dense(2)(total)})
    flat = flatten(model)
    assert sorted(flat.input_names) == ["a", "b"]
    assert set(flat.output) == {"difference", "total"}
    values = {"a": np.ones((1, 4), np.float32), "b": np.full((1, 4), 3, np.float32)}
    assert np.array_equal(flat(values)["difference"], np.full((1, 4), 2))
    assert check_equal(model, flat, "flattening") == 0.0


@pytest.mark.parametrize("training", [None, False])
def test_a_frozen_body_stays_in_inference_while_the_rest_trains(training):
    """`base(x, training=False)` of transfer learning: its BatchNormalization must not learn from batches."""
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, LAYERS.ReLU()(body()(inputs, training=training)))
    flat = flatten(model)
    images = np.random.default_rng(0).random((16, 8, 8, 3), np.float32)
    assert np.allclose(flat(images, training=True), model(images, training=True), atol=1e-6)  # rounding of a mean over 16 images
    norms = [found.get_layer("norm") for found in (model.get_layer("body"), flat)]
    assert np.allclose(norms[0].moving_mean, norms[1].moving_mean, atol=1e-7)
    assert np.any(norms[1].moving_mean) == (training is None)


def test_what_is_frozen_stays_frozen():
    base = body()
    base.trainable = False
    model = keras.Sequential([keras.Input((8, 8, 3)), base, LAYERS.Dense(5, name="logits")])
    assert [weight.name for weight in flatten(model).trainable_weights] == ["logits/kernel:0", "logits/bias:0"]


def test_functions_and_slices_inside_keep_their_constants():
    inputs = keras.Input((6,))
    inner = keras.Model(inputs, tf.nn.relu(inputs * 2.0 - 1.0)[:, 1:4], name="inner")
    outer = keras.Input((6,))
    model = keras.Model(outer, inner(outer) + inner(outer * 0.5))
    flat = flatten(model)
    assert nested_models(flat) == []
    assert check_equal(model, flat, "flattening") == 0.0


def test_adapted_normalization_computes_with_its_statistics():
    normalization = LAYERS.Normalization(name="normalize")
    normalization.adapt(np.random.default_rng(0).normal(5, 3, (200, 4)))
    inner = keras.Sequential([keras.Input((4,)), normalization], name="inner")
    model = keras.Sequential([keras.Input((4,)), inner, LAYERS.Dense(2)])
    assert check_equal(model, flatten(model), "flattening") == 0.0


def test_masks_of_an_embedding_reach_the_recurrent_layer_inside():
    words = keras.Input((5,))
    reader = keras.Sequential([keras.Input((5, 3)), LAYERS.LSTM(4)], name="reader")
    model = keras.Model(words, reader(LAYERS.Embedding(9, 3, mask_zero=True)(words)))
    assert check_equal(model, flatten(model), "flattening") == 0.0


def test_original_is_not_changed():
    base = body(classes=3)
    model = keras.Sequential([keras.Input((8, 8, 3)), base])
    before = model.get_weights()
    flat = flatten(model)
    flat.set_weights([weight + 1 for weight in flat.get_weights()])
    assert all(np.array_equal(old, new) for old, new in zip(before, model.get_weights(), strict=True))
    assert model.get_layer("body") is base


class SubNet(keras.Model):
    def call(self, inputs):
        return inputs * 2.0


def test_subclassed_model_inside_is_refused_by_name():
    inputs = keras.Input((4,))
    with pytest.raises(
        ModelError, match=r"^model: models in the model must be Functional or Sequential\. Received: 'mine' of class SubNet, "
    ):
        adopt_model(keras.Model(inputs, SubNet(name="mine")(inputs)))


def test_loaded_models_are_flat(tmp_path):
    model = keras.Sequential([keras.Input((8, 8, 3)), body(), LAYERS.Dense(5)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("model.h5", "model.keras"):
            model.save(tmp_path / name)
            loaded = load_model(tmp_path / name)
            assert nested_models(loaded) == []
            assert check_equal(model, loaded, "loading") == 0.0


def test_input_shape_takes_the_place_of_unknown_lengths():
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, LAYERS.GlobalMaxPooling2D()(LAYERS.Conv2D(4, 3)(inputs)))
    fixed = with_input_shape(model, (10, 12, 3))
    assert fixed.input_shape == (None, 10, 12, 3)
    images = np.random.default_rng(0).random((2, 10, 12, 3), np.float32)
    assert np.array_equal(fixed(images), model(images))


def test_input_shape_that_does_not_fit_is_refused():
    model = body()
    with pytest.raises(ModelError, match=r"^model must take samples of the shape \(2, 2, 3\)\. Received: \S"):
        with_input_shape(model, (2, 2, 3))
    with pytest.raises(ModelError, match=r"^model must take samples of the shape \(8, 8, 1\)\. Received: \S"):
        with_input_shape(model, (8, 8, 1))
    pair = keras.Model([keras.Input((2,)), keras.Input((2,))], keras.Input((1,)))
    with pytest.raises(ModelError, match=r"input_shape must be absent for a model with several inputs\. Received: 2 inputs"):
        with_input_shape(pair, (2,))
