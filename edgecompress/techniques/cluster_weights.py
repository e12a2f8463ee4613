"""`cluster_weights`: a few shared values per layer, with TF-MOT's clustering."""

from collections.abc import Sequence

import numpy as np

from edgecompress.backend import keras, model_optimization
from edgecompress.keeps import Keep, centroids_of, get_variable, mask_of, project
from edgecompress.models.copying import copy_model, with_layers_wrapped
from edgecompress.recipe.stages import ClusterWeights
from edgecompress.stage import Context, LayerRecord, StageResult
from edgecompress.techniques.kernels import Kernel, choose_kernels, clustering_supports
from edgecompress.training import fit


def apply(model: keras.Model, config: ClusterWeights, context: Context) -> StageResult:
    """Clusters a copy of `model`, while it trains when the recipe gives a `train` block.

    Zeros that an earlier stage promised get a centroid of their own, at zero.
    """
    enough, records = _choose(model, config)
    if not enough:
        return StageResult(copy_model(model), records, context.keeps)  # nothing to do: nor is it trained
    masks = {(keep.layer, keep.weight): keep for keep in context.keeps if keep.kind == "mask"}
    clustered_layers = {kernel.layer for kernel in enough}
    held = [keep for keep in context.keeps if keep.kind == "mask" or keep.layer not in clustered_layers]
    clustering = model_optimization().clustering.keras
    initialization = clustering.CentroidInitialization[config.initialization.upper().replace("DENSITY", "DENSITY_BASED")]

    def wrap(layer: keras.layers.Layer) -> keras.layers.Layer:
        if layer.name not in clustered_layers:
            return layer
        preserve = any(name == layer.name for name, _ in masks) and config.clusters > 2
        return _cluster_layer(layer, number_of_clusters=config.clusters, cluster_centroids_init=initialization, preserve_sparsity=preserve)

    wrapped = with_layers_wrapped(model, wrap)
    epochs = fit(wrapped, config.train, context, keeps=held) if config.train is not None else []
    clustered = copy_model(clustering.strip_clustering(wrapped))  # stripping reuses layers, which then stand in two graphs
    keeps = [keep for keep in context.keeps if keep.layer not in clustered_layers]
    for kernel in enough:
        kept, record = _settle(clustered, kernel, masks.get((kernel.layer, kernel.weight)))
        keeps += kept
        records.append(record)
    return StageResult(clustered, records, tuple(keeps), _released(clustered_layers, context.keeps), epochs)


def plan(model: keras.Model, config: ClusterWeights) -> tuple[keras.Model, list[LayerRecord]]:
    """The model as it is: clustering changes no shape; and which layers would be clustered."""
    kernels, records = _choose(model, config)
    words = f"at most {config.clusters} distinct values"
    return model, records + [LayerRecord(kernel.layer, kernel.type, "changed", words) for kernel in kernels]


def _choose(model: keras.Model, config: ClusterWeights) -> tuple[list[Kernel], list[LayerRecord]]:
    """The kernels with more weights than clusters, and a record for each layer that is left alone."""
    kernels, records = choose_kernels(model, config.layers, config.skip, clustering_supports)
    few = [kernel for kernel in kernels if kernel.values.size <= config.clusters]
    words = "{} weights are not more than {} clusters"
    records += [LayerRecord(kernel.layer, kernel.type, "skipped", words.format(kernel.values.size, config.clusters)) for kernel in few]
    return [kernel for kernel in kernels if kernel.values.size > config.clusters], records


def _released(clustered: set[str], keeps: Sequence[Keep]) -> tuple[str, ...]:
    """The shared values of an earlier clustering, in words: new ones take their place."""
    return tuple(
        f"{keep.layer}: {keep.describe()}, clustered anew" for keep in keeps if keep.layer in clustered and keep.kind == "centroids"
    )


def _cluster_layer(layer: keras.layers.Layer, **options: object) -> keras.layers.Layer:
    """TF-MOT's wrapper around one layer. Only its experimental entry takes `preserve_sparsity`."""
    from tensorflow_model_optimization.python.core.clustering.keras.experimental.cluster import cluster_weights

    return cluster_weights(layer, **options)


def _settle(model: keras.Model, kernel: Kernel, mask: Keep | None) -> tuple[list[Keep], LayerRecord]:
    """Puts promised zeros back to exactly zero, and measures what the layer has become.

    Weights whose centroid is zero join the mask: else training could move them apart from the zeros of their group.
    """
    variable = get_variable(model, kernel.layer, kernel.weight)
    values = variable.numpy()
    keeps = []
    if mask is not None:
        values = project(mask, values)
        variable.assign(values)
        keeps.append(mask_of(kernel.layer, kernel.weight, values))
    keeps.append(centroids_of(kernel.layer, kernel.weight, values, kernel.channel_axis))
    num_before, num_after = len(np.unique(kernel.values)), len(np.unique(values))
    before, after = {"distinct_values": num_before}, {"distinct_values": num_after}
    return keeps, LayerRecord(kernel.layer, kernel.type, "changed", f"{num_after} distinct values", before, after)
