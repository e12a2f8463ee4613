"""What makes features of two models comparable: maps of one size, and a layer from the student's channels to the teacher's."""

from collections.abc import Sequence

from edgecompress.backend import keras, tf
from edgecompress.errors import ModelError
from edgecompress.models.blocks import layer_seed


def make_adaptor(name: str, student: Sequence[int | None], teacher: Sequence[int | None], seed: int) -> keras.layers.Layer | None:
    """A linear layer on the channels: for maps a 1x1 convolution, for vectors a Dense; None where the channels agree.

    Args:
        name: of the layer; with `seed` it decides the initial weights.
        student, teacher: shapes [batch, positions..., channels] of the two features.
        seed: of the training.
    """
    if student[-1] == teacher[-1]:
        return None
    adaptor = keras.layers.Dense(teacher[-1], kernel_initializer=keras.initializers.GlorotUniform(seed=layer_seed(seed, name)), name=name)
    adaptor.build(student)
    return adaptor


def check_comparable(name: str, student: Sequence[int | None], teacher: Sequence[int | None]) -> None:
    """Refuses features that are not both maps, both sequences or both vectors.

    Raises:
        ModelError: with both shapes.
    """
    if len(student) != len(teacher) or None in (*student[1:], *teacher[1:]):
        shapes = f"{list(teacher[1:])} of the teacher and {list(student[1:])} of the student"
        raise ModelError(f"{name}: paired layers must both give maps, both sequences or both vectors, of known size. Received: {shapes}.")


def same_positions(first: tf.Tensor, second: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Both features at the size of the smaller along each axis of positions; bilinear, averaging where it shrinks.

    Args:
        first, second: [b, positions..., channels] with 0, 1 or 2 axes of positions.
    """
    size = [min(one, other) for one, other in zip(first.shape[1:-1], second.shape[1:-1], strict=True)]
    return _resized(first, size), _resized(second, size)


def _resized(features: tf.Tensor, size: list[int]) -> tf.Tensor:
    if list(features.shape[1:-1]) == size:
        return features
    if len(size) == 1:
        return tf.squeeze(tf.image.resize(features[:, :, tf.newaxis], [*size, 1], antialias=True), axis=2)
    return tf.image.resize(features, size, antialias=True)
