"""Random changes to training images, decided by a seed alone."""

from __future__ import annotations

from collections.abc import Mapping

from edgecompress.backend import tf
from edgecompress.errors import DataError
from edgecompress.recipe.schema import Augment
from edgecompress.samples import Shapes


def augment_batch(images: tf.Tensor, settings: Augment, seed: tf.Tensor) -> tf.Tensor:
    """Shifts and mirrors each image by its own chance; the same seed gives the same changes.

    Args:
        images: float32 [b, height, width, channels].
        settings: `shift`: whole pixels up to these fractions of height and width, both ways, each amount equally likely;
            what is uncovered repeats the edge. `flip`: mirrors left and right with probability 0.5.
        seed: int64 [2].

    Returns: float32, shape of `images`.
    """
    num_images = tf.shape(images)[0]
    vertical_seed, horizontal_seed, flip_seed = tf.unstack(tf.random.split(seed, 3))
    for axis, fraction, axis_seed in zip((1, 2), settings.shift, (vertical_seed, horizontal_seed), strict=True):
        if fraction > 0:
            largest = largest_shift(int(images.shape[axis]), fraction)
            offsets = tf.random.stateless_uniform([num_images], axis_seed, minval=-largest, maxval=largest + 1, dtype=tf.int32)
            images = _shifted(images, offsets, axis)
    if settings.flip == "horizontal":
        mirrored = tf.random.stateless_uniform([num_images, 1, 1, 1], flip_seed) < 0.5
        images = tf.where(mirrored, tf.reverse(images, [2]), images)
    return images


def largest_shift(size: int, fraction: float) -> int:
    """Whole pixels that are nearest to `fraction` of `size`."""
    return round(size * fraction)


def _shifted(images: tf.Tensor, offsets: tf.Tensor, axis: int) -> tf.Tensor:
    """Moves image i by `offsets[i]` pixels along `axis` (1 or 2), towards higher indices."""
    size = int(images.shape[axis])
    positions = tf.clip_by_value(tf.range(size) - offsets[:, tf.newaxis], 0, size - 1)  # [b, size]
    return tf.gather(images, positions, axis=axis, batch_dims=1)


def is_active(settings: Augment) -> bool:
    """Whether the settings change anything."""
    return any(settings.shift) or settings.flip != "none"


def check_augment(settings: Augment, input_shape: Shapes) -> None:
    """Refuses settings that cannot work on samples of this shape.

    Raises:
        DataError: no images, or a shift of less than half a pixel.
    """
    if not is_active(settings):
        return
    if isinstance(input_shape, Mapping) or len(input_shape) != 3:
        raise DataError(f"data.augment: needs images [height, width, channels]. Received: samples of shape {list(input_shape)}.")
    if any(settings.shift) and not any(largest_shift(size, part) for size, part in zip(input_shape, settings.shift, strict=False)):
        size = " x ".join(str(pixels) for pixels in input_shape[:2])
        raise DataError(f"data.augment.shift: must be at least half a pixel of images of {size}. Received: {settings.shift}.")
