"""Shared values: as few as asked for, and zeros that stay."""

import numpy as np
import pytest

from edgecompress.backend import keras
from edgecompress.errors import ModelError, RecipeError
from edgecompress.keeps import find_variable, mask_of
from edgecompress.recipe.stages import ClusterWeights, PruneWeights, Train, TrainStage
from edgecompress.techniques import cluster_weights, prune_weights, train
from edgecompress.techniques.kernels import choose_kernels, clustering_supports, pruning_supports


def distinct(model, layer):
    return len(np.unique(find_variable(model, layer, "kernel").numpy()))


@pytest.mark.parametrize("training", [None, Train(epochs=1)])
@pytest.mark.parametrize("initialization", ["linear", "kmeans_plus_plus"])
def test_each_layer_has_at_most_the_asked_values(small_model, make_context, training, initialization):
    config = ClusterWeights(clusters=8, initialization=initialization, train=training)
    result = cluster_weights.apply(small_model, config, make_context())
    assert all(distinct(result.model, layer) <= 8 for layer in ("conv1", "conv2", "logits"))
    assert all(type(layer).__name__ != "ClusterWeights" for layer in result.model.layers)


@pytest.mark.parametrize("initialization", ["density", "random"])
def test_every_initialization_is_known_to_tf_mot(small_model, make_context, initialization):
    result = cluster_weights.apply(small_model, ClusterWeights(clusters=6, initialization=initialization), make_context())
    assert distinct(result.model, "logits") <= 6


def test_kernel_with_fewer_weights_than_clusters_is_left_alone(small_model, make_context):
    result = cluster_weights.apply(small_model, ClusterWeights(clusters=200, layers=["conv1", "logits"]), make_context())
    record = next(record for record in result.layers if record.name == "conv1")
    assert (record.action, record.reason) == ("skipped", "144 weights are not more than 200 clusters")


def test_with_too_few_weights_everywhere_nothing_is_trained(small_model, make_context):
    mask = mask_of("conv1", "kernel", find_variable(small_model, "conv1", "kernel").numpy())
    config = ClusterWeights(clusters=200, layers=["conv1"], train=Train(epochs=1))
    result = cluster_weights.apply(small_model, config, make_context(keeps=[mask]))
    assert {record.action for record in result.layers} == {"skipped"}
    assert result.training == []
    assert result.keeps == (mask,)
    assert result.model is not small_model
    assert all((one == two).all() for one, two in zip(result.model.get_weights(), small_model.get_weights(), strict=True))


def test_clustering_again_releases_the_first_shared_values_and_says_so(small_model, make_context):
    first = cluster_weights.apply(small_model, ClusterWeights(clusters=16), make_context())
    second = cluster_weights.apply(first.model, ClusterWeights(clusters=4, layers=["conv2"]), make_context(keeps=first.keeps))
    assert second.released == ("conv2: 16 distinct values, clustered anew",)
    assert {keep.layer: keep.describe() for keep in second.keeps} == {
        "conv1": "16 distinct values", "conv2": "4 distinct values", "logits": "16 distinct values",
    }  # fmt: skip


def test_keeps_of_transposed_convolutions_know_their_channels(make_context):
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Conv2DTranspose(4, 3, name="up")(keras.layers.Conv2D(3, 3, name="conv")(inputs))
    result = cluster_weights.apply(keras.Model(inputs, x), ClusterWeights(clusters=4), make_context())
    assert {keep.layer: keep.channel_axis for keep in result.keeps} == {"conv": -1, "up": -2}


@pytest.fixture(scope="module")
def one_dimensional_model():
    """Layers that TF-MOT's two registries do not take alike, and one that is frozen."""
    inputs = keras.Input((8,))
    x = keras.layers.Embedding(20, 4, name="words")(inputs)
    x = keras.layers.Conv1DTranspose(4, 3, name="up")(x)
    x = keras.layers.Conv1D(4, 3, name="frozen", trainable=False)(x)
    return keras.Model(inputs, keras.layers.Dense(3, name="logits")(keras.layers.Flatten(name="flatten")(x)))


def test_layers_that_tf_mot_cannot_cluster_are_left_alone_with_the_reason(one_dimensional_model, make_context):
    result = cluster_weights.apply(one_dimensional_model, ClusterWeights(clusters=4), make_context())
    skipped = {record.name: record.reason for record in result.layers if record.action == "skipped"}
    assert skipped == {"frozen": "TF-MOT does not work on Conv1D that is frozen"}
    assert {keep.layer for keep in result.keeps} == {"words", "up", "logits"}


def test_layers_that_tf_mot_cannot_prune_are_left_alone_with_the_reason(one_dimensional_model):
    kernels, records = choose_kernels(one_dimensional_model, [], [], pruning_supports)
    assert [kernel.layer for kernel in kernels] == ["words", "frozen", "logits"]
    assert [(record.name, record.reason) for record in records] == [("up", "TF-MOT does not work on Conv1DTranspose")]


def test_no_layer_to_cluster_is_an_error_with_the_reasons(one_dimensional_model):
    message = r"layers must match a layer that .*Dense, .*Received: 'frozen' \(frozen: TF-MOT does not work on Conv1D that is frozen\)\.$"
    with pytest.raises(RecipeError, match=message):
        choose_kernels(one_dimensional_model, ["frozen"], [], clustering_supports)
    message = r"a layer must be left to work on: .*Dense, .*Received: TF-MOT does not work on Conv1D that is frozen; named in `skip`\.$"
    with pytest.raises(ModelError, match=message):
        choose_kernels(one_dimensional_model, [], ["words", "up", "logits"], clustering_supports)


def test_zeros_of_a_pruning_survive_clustering_and_a_training_after_it(small_model, make_context):
    pruned = prune_weights.apply(small_model, PruneWeights(sparsity=0.6), make_context())
    clustered = cluster_weights.apply(pruned.model, ClusterWeights(clusters=8, train=Train(epochs=1)), make_context(keeps=pruned.keeps))
    trained = train.apply(clustered.model, TrainStage(epochs=1), make_context(keeps=clustered.keeps))
    for keep in (*pruned.keeps, *clustered.keeps):
        assert keep.held(find_variable(trained.model, keep.layer, keep.weight).numpy()), keep.describe()
    assert distinct(trained.model, "logits") <= 8


def test_pruning_after_clustering_releases_the_shared_values_and_says_so(small_model, make_context):
    clustered = cluster_weights.apply(small_model, ClusterWeights(clusters=8), make_context())
    pruned = prune_weights.apply(clustered.model, PruneWeights(sparsity=0.5, layers=["logits"]), make_context(keeps=clustered.keeps))
    assert pruned.released == ("logits: 8 distinct values, zeros were added",)
    assert {(keep.kind, keep.layer) for keep in pruned.keeps} == {("centroids", "conv1"), ("centroids", "conv2"), ("mask", "logits")}


def test_batch_normalization_learns_its_statistics_while_clustering(small_model, make_context):
    result = cluster_weights.apply(small_model, ClusterWeights(clusters=8, train=Train(epochs=1)), make_context())
    before, after = (model.get_layer("norm1").moving_mean.numpy() for model in (small_model, result.model))
    assert np.abs(after - before).max() > 0.01
