"""Shared values: as few as asked for, and zeros that stay."""

import numpy as np
import pytest

from edgecompress.keeps import find_variable
from edgecompress.recipe.stages import ClusterWeights, PruneWeights, Train, TrainStage
from edgecompress.techniques import cluster_weights, prune_weights, train


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
