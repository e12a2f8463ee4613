"""What goes around a cut: statistics taken anew, and a penalty before it."""

import numpy as np
import pytest

from edgecompress.backend import keras, tf
from edgecompress.errors import ModelError
from edgecompress.graph.channels import channel_graph
from edgecompress.models.copying import copy_model
from edgecompress.recipe.stages import PruneChannels, Train
from edgecompress.recipe.stages.prune_channels import SparseTraining
from edgecompress.techniques import prune_channels
from edgecompress.techniques.structured.reestimate import reestimate_batch_norm
from edgecompress.techniques.structured.sparse import SMALLEST_SQUARE, batch_norm_l1, group_lasso, train_sparse

L = keras.layers


def test_statistics_are_those_of_what_each_normalization_sees(digits):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 1))
    first = L.BatchNormalization(name="first")(L.Conv2D(4, 3, name="conv1")(inputs))
    second = L.BatchNormalization(name="second")(L.Conv2D(3, 3, name="conv2")(L.Dropout(0.5)(L.ReLU()(first))))
    model = keras.Model(inputs, second)
    model.get_layer("second").trainable = False
    samples = digits.calibration
    reestimate_batch_norm(model, samples, batch_size=len(samples))
    seen = model.get_layer("conv1")(samples.arrays()[0]).numpy()
    for norm, conv in (("first", "conv1"), ("second", "conv2")):
        if conv == "conv2":
            mean, variance = seen.mean((0, 1, 2)), seen.var((0, 1, 2))
            normalized = (seen - mean) / np.sqrt(variance + model.get_layer("first").epsilon)
            seen = model.get_layer("conv2")(np.maximum(normalized, 0)).numpy()
        np.testing.assert_allclose(model.get_layer(norm).moving_mean, seen.mean((0, 1, 2)), rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(model.get_layer(norm).moving_variance, seen.var((0, 1, 2)), rtol=1e-3)  # n - 1 for n
    assert not model.get_layer("second").trainable


def test_batches_count_alike(digits):
    model = keras.Sequential([keras.Input((8, 8, 1)), L.BatchNormalization()])
    reestimate_batch_norm(model, digits.calibration, batch_size=50)
    means = [inputs.numpy().mean() for inputs, _ in digits.calibration.dataset(50)]
    assert float(model.layers[0].moving_mean[0]) == pytest.approx(np.mean(means), rel=1e-5)


def test_model_without_statistics_is_left_alone(digits):
    model = keras.Sequential([keras.Input((8, 8, 1)), L.Flatten(), L.Dense(3)])
    before = model.get_weights()
    reestimate_batch_norm(model, digits.calibration, batch_size=50)
    assert all((one == two).all() for one, two in zip(before, model.get_weights(), strict=True))


def test_group_lasso_is_the_sum_of_norms_over_all_layers_of_a_group():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 2))
    x = L.Conv2D(4, 3, padding="same", name="one")(inputs)
    x = L.Add()([x, L.Conv2D(4, 1, name="two")(x)])
    model = keras.Model(inputs, L.Conv2D(3, 1, name="last")(x))
    group = channel_graph(model).groups[0]
    one, two = model.get_layer("one").kernel.numpy(), model.get_layer("two").kernel.numpy()
    norms = np.sqrt((one**2).sum((0, 1, 2)) + (two**2).sum((0, 1, 2)) + SMALLEST_SQUARE)
    assert float(group_lasso(model, [group])()) == pytest.approx(np.sqrt(18 + 4) * norms.sum(), rel=1e-5)


def test_penalty_on_scales_needs_scales(small_model):
    graph = channel_graph(small_model)
    groups = {group.name: group for group in graph.groups}
    expected = np.abs(small_model.get_layer("norm1").gamma).sum() + np.abs(small_model.get_layer("norm2").gamma).sum()
    assert float(batch_norm_l1(small_model, [groups["conv1"]])()) == pytest.approx(expected)
    with pytest.raises(ModelError, match="penalty batch_norm needs BatchNormalization"):
        batch_norm_l1(small_model, [groups["conv2"]])


@pytest.mark.parametrize("penalty", ["group_lasso", "batch_norm"])
def test_sparse_training_shrinks_channels_and_leaves_a_plain_model(penalty, small_model, make_context, tmp_path):
    graph = channel_graph(small_model)
    found = {}
    for strength in (1e-8, 1.0):
        folder = tmp_path / f"{strength}"
        folder.mkdir()
        sparse = SparseTraining(penalty=penalty, strength=strength, train=Train(epochs=1, learning_rate=0.05))
        model, rows = train_sparse(small_model, graph, ["conv1"], sparse, make_context(folder=folder), ())
        weight = model.get_layer("conv1").kernel if penalty == "group_lasso" else model.get_layer("norm1").gamma
        found[strength] = float(tf.reduce_sum(tf.abs(weight)))
        assert len(rows) == 1
        assert not model.losses
    assert found[1.0] < 0.7 * found[1e-8]


def test_the_whole_course_with_sparse_training(small_model, make_context):
    sparse = SparseTraining(strength=1e-3, train=Train(epochs=1))
    config = PruneChannels(macs=0.6, criterion="l2", round_to=4, sparse=sparse, train=Train(epochs=1))
    result = prune_channels.apply(small_model, config, make_context())
    assert [row["epoch"] for row in result.training] == [1, 2]
    assert not copy_model(result.model).losses
