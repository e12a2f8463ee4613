"""Quantization-aware training with TF-MOT, and keeps under its wrappers."""

import pytest

from edgecompress.backend import keras
from edgecompress.errors import ModelError, RecipeError
from edgecompress.keeps import find_variable
from edgecompress.recipe.stages import ClusterWeights, PruneWeights, QuantizeAware, Train, TrainStage
from edgecompress.techniques import cluster_weights, prune_weights, quantize_aware, train

ONE_EPOCH = Train(epochs=1, learning_rate=1e-4)


def test_batch_normalization_is_quantized_with_the_layer_that_it_follows(small_model):
    _, records = quantize_aware.plan(small_model, QuantizeAware(train=ONE_EPOCH))
    actions = {record.name: (record.action, record.reason) for record in records}
    assert actions["norm1"] == ("changed", "folded into the layer before it")
    assert all(action == "changed" for action, _ in actions.values())


def test_skipped_convolution_takes_its_batch_normalization_along(small_model):
    config = QuantizeAware(skip=["depthwise"], train=ONE_EPOCH)
    reasons = {record.name: record.reason for record in quantize_aware.plan(small_model, config)[1] if record.action == "skipped"}
    assert reasons == {"depthwise": "named in `skip`", "norm2": "its statistics belong to depthwise, which stays float"}


def test_layers_without_an_8_bit_operator_stay_float(make_context):
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(4, 3, name="conv")(inputs)
    x = keras.layers.LayerNormalization(name="norm")(x)
    model = keras.Model(inputs, keras.layers.Dense(10, name="logits")(keras.layers.Flatten(name="flatten")(x)))
    result = quantize_aware.apply(model, QuantizeAware(train=ONE_EPOCH), make_context())
    reasons = {record.name: record.reason for record in result.layers if record.action == "skipped"}
    assert reasons == {
        "norm": "the inverse root of its variance differs from sample to sample too much for 8 bits", "flatten": "it moves float values",
    }  # fmt: skip
    assert result.model.get_layer("quant_conv") is not None


def test_model_without_any_known_layer_is_an_error(make_context):
    inputs = keras.Input((8, 8, 1))
    model = keras.Model(inputs, keras.layers.LayerNormalization(name="norm")(inputs))
    with pytest.raises(ModelError, match="must have a layer that can be quantized"):
        quantize_aware.apply(model, QuantizeAware(train=ONE_EPOCH), make_context())


def test_layers_are_frozen_by_the_class_that_they_have_in_the_model_given(make_context):
    """In its place stands a Conv2D."""
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Conv1D(4, 3, activation="relu", name="conv")(keras.layers.Reshape((8, 8))(inputs))
    model = keras.Model(inputs, keras.layers.Dense(10, name="logits")(keras.layers.Flatten(name="flatten")(x)))
    config = QuantizeAware(train=Train(epochs=1, freeze=["type:Conv1D"]))
    result = quantize_aware.apply(model, config, make_context())
    for name, is_same in (("conv", True), ("logits", False)):
        kernel = find_variable(result.model, name, "kernel").numpy()
        assert (kernel.reshape(model.get_layer(name).kernel.shape) == model.get_layer(name).kernel.numpy()).all() == is_same


def test_skip_pattern_without_match_is_an_error(small_model):
    with pytest.raises(RecipeError, match="skip must match at least one layer"):
        quantize_aware.plan(small_model, QuantizeAware(skip=["no_such"], train=ONE_EPOCH))


def test_zeros_and_shared_values_survive_quantize_aware_and_a_training_after_it(small_model, make_context):
    pruned = prune_weights.apply(small_model, PruneWeights(sparsity=0.6), make_context())
    clustered = cluster_weights.apply(pruned.model, ClusterWeights(clusters=16), make_context(keeps=pruned.keeps))
    quantized = quantize_aware.apply(clustered.model, QuantizeAware(train=ONE_EPOCH), make_context(keeps=clustered.keeps))
    trained = train.apply(quantized.model, TrainStage(epochs=1, learning_rate=1e-4), make_context(keeps=quantized.keeps))
    assert quantized.released == ()
    for model in (quantized.model, trained.model):
        for keep in quantized.keeps:
            assert keep.held(find_variable(model, keep.layer, keep.weight).numpy()), keep
