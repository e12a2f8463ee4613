"""Training with a penalty on whole channels, before they are cut."""

from collections.abc import Callable, Collection, Iterable, Sequence
from math import prod

from edgecompress.backend import keras, tf
from edgecompress.errors import ModelError
from edgecompress.graph.channels import ChannelGraph, ChannelGroup, ChannelSlice
from edgecompress.graph.channels.surgery import layer_at
from edgecompress.keeps import Keep
from edgecompress.models.copying import copy_model
from edgecompress.recipe.stages.prune_channels import SparseTraining
from edgecompress.stage import Context
from edgecompress.training import fit

SMALLEST_SQUARE = 1e-12  # under the root, whose slope at zero would be infinite


def train_sparse(
    model: keras.Model, graph: ChannelGraph, names: Collection[str], sparse: SparseTraining, context: Context, keeps: Sequence[Keep]
) -> tuple[keras.Model, list[dict[str, float]]]:
    """Trains a copy of `model` with the penalty on the groups of these names.

    Returns:
        The trained model without any trace of the penalty, and one dictionary per epoch; its loss includes the penalty.

    Raises:
        ModelError: the penalty batch_norm on groups without BatchNormalization.
    """
    trained = copy_model(model)
    groups = [group for group in graph.groups if group.name in names]
    penalty = (group_lasso if sparse.penalty == "group_lasso" else batch_norm_l1)(trained, groups)
    trained.add_loss(lambda: sparse.strength * penalty())
    rows = fit(trained, sparse.train, context, keeps=keeps)
    clean = copy_model(model)
    clean.set_weights(trained.get_weights())
    return clean, rows


def group_lasso(model: keras.Model, groups: Sequence[ChannelGroup]) -> Callable[[], tf.Tensor]:
    """Sum over channels of the norm of all weights that make them, times the root of their number."""

    def penalty() -> tf.Tensor:
        total = tf.zeros([])
        for group in groups:
            squares, num_weights = tf.zeros(group.size), 0
            for part in (part for part in group.slices if part.role == "makes"):
                kernel = getattr(layer_at(model, part.layer), part.weight)
                rows = tf.gather(tf.reduce_sum(tf.square(kernel), _others(kernel, part.axis)), part.positions)
                squares += tf.math.unsorted_segment_sum(rows, part.channels, group.size)
                num_weights += prod(kernel.shape) // group.size
            total += num_weights**0.5 * tf.reduce_sum(tf.sqrt(squares + SMALLEST_SQUARE))
        return total

    return penalty


def batch_norm_l1(model: keras.Model, groups: Sequence[ChannelGroup]) -> Callable[[], tf.Tensor]:
    """Sum of the magnitudes of the scales that the channels pass.

    Raises:
        ModelError: there are none.
    """
    scales = [(getattr(layer_at(model, part.layer), part.weight), part.positions) for part in batch_norm_scales(groups)]
    return lambda: tf.add_n([tf.reduce_sum(tf.abs(tf.gather(scale, positions))) for scale, positions in scales])


def batch_norm_scales(groups: Iterable[ChannelGroup]) -> list[ChannelSlice]:
    """Where channels pass a scale of BatchNormalization.

    Raises:
        ModelError: nowhere, so that the penalty batch_norm would do nothing.
    """
    parts = [part for group in groups for part in group.slices if part.weight == "gamma"]
    if not parts:
        raise ModelError("penalty batch_norm needs BatchNormalization with a scale behind a layer that is cut. Received: none.")
    return parts


def _others(kernel: tf.Variable, axis: int) -> list[int]:
    return [position for position in range(kernel.shape.rank) if position != axis]
