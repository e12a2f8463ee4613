"""Statistics of BatchNormalization, taken anew: after a cut, what a normalization sees is no longer what it learned."""

from edgecompress.backend import keras
from edgecompress.data import Split
from edgecompress.models.copying import copy_model

RANDOM_LAYERS = (
    "Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "AlphaDropout", "GaussianDropout", "GaussianNoise",
)  # fmt: skip


def reestimate_batch_norm(model: keras.Model, samples: Split, *, batch_size: int) -> None:
    """Sets moving mean and variance of every BatchNormalization to their averages over the batches of `samples`, in place.

    Each normalization works with the statistics of its batch meanwhile, as in a training, so what later ones see is normalized;
    dropout and noise are left out.

    Args:
        model: changed.
        samples: a few hundred; their targets are not needed.
        batch_size: samples per batch.

    Source: Li et al., EagleEye: Fast Sub-net Evaluation (2020), section 3.3.
    """
    if not any(isinstance(layer, keras.layers.BatchNormalization) for layer in model._flatten_layers()):
        return
    trained = copy_model(model)
    if any(type(layer).__name__ in RANDOM_LAYERS for layer in trained._flatten_layers()):
        trained = keras.models.clone_model(trained, clone_function=_without_randomness)
    norms = [layer for layer in trained._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    with samples.readable():
        for number, (inputs, _) in enumerate(samples.dataset(batch_size)):
            for norm in norms:
                norm.trainable, norm.momentum = True, number / (number + 1)  # the mean over all batches so far
            trained(inputs, training=True)
    ours = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    for norm, source in zip(ours, norms, strict=True):
        norm.moving_mean.assign(source.moving_mean)
        norm.moving_variance.assign(source.moving_variance)


def _without_randomness(layer: keras.layers.Layer) -> keras.layers.Layer:
    """The layer itself, or one that passes on what it is given."""
    if type(layer).__name__ in RANDOM_LAYERS:
        return keras.layers.Activation("linear", name=layer.name)
    return layer
