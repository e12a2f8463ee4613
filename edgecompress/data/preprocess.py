"""Preprocessing: from raw samples to what the model expects. The one implementation, used for every split."""

from __future__ import annotations

import numpy as np

from edgecompress.backend import tf
from edgecompress.data.mfcc import mfcc_batch, mfcc_shape
from edgecompress.errors import DataError
from edgecompress.recipe.schema import Preprocess

# Luminance of red, green and blue. Source: ITU-R BT.601-7, section 2.5.1.
LUMINANCE = (0.299, 0.587, 0.114)


def preprocess_batch(inputs: tf.Tensor, settings: Preprocess) -> tf.Tensor:
    """Cepstrum of sound, then colour channels, then size, then `(resized * scale - mean) / std`.

    Args:
        inputs: [b, ...] of any number type; images are [b, height, width, channels].
        settings: `channel_axis`: add makes [b, m, n, 1] of [b, m, n]. `channels`: rgb repeats a grey channel and drops an alpha
            channel; grayscale is the luminance of ITU-R BT.601. `resize`: bilinear between pixel centres, without antialiasing,
            as `tf.image.resize` does it.

    Returns: float32 [b, ...] of the shape that `output_shape` says.
    """
    if settings.mfcc is not None:
        inputs = mfcc_batch(inputs, settings.mfcc)
    elif len(inputs.shape) == 3 and settings.channel_axis == "add":
        inputs = inputs[..., tf.newaxis]
    if inputs.dtype != tf.uint8:  # `tf.image.resize` takes bytes as they are, and a photo as float32 is four times as large
        inputs = tf.cast(inputs, tf.float32)
    if settings.channels != "keep":
        inputs = _convert_channels(inputs, settings.channels)
    if settings.resize is not None:
        inputs = tf.image.resize(inputs, settings.resize, method="bilinear")
    inputs = tf.cast(inputs, tf.float32)
    if _keeps_values(settings):
        return inputs
    factor, offset = _factor_and_offset(settings)
    return inputs * factor - offset


def changes_nothing(settings: Preprocess, sample_shape: tuple[int | None, ...]) -> bool:
    """Whether preprocessing gives float32 samples of this shape as they are."""
    is_plain = settings.mfcc is None and settings.resize is None and settings.channels == "keep"
    return is_plain and _keeps_values(settings) and output_shape(sample_shape, settings) == sample_shape


def _keeps_values(settings: Preprocess) -> bool:
    """Whether `scale`, `mean` and `std` leave every value as it is."""
    factor, offset = _factor_and_offset(settings)
    return bool(np.all(factor == 1) and np.all(offset == 0))


def _factor_and_offset(settings: Preprocess) -> tuple[np.ndarray, np.ndarray]:
    """`(value * scale - mean) / std` as `value * factor - offset`: float32, one per channel or one for all."""
    std = np.asarray(settings.std)
    return np.asarray(settings.scale / std, np.float32), np.asarray(np.asarray(settings.mean) / std, np.float32)


def _convert_channels(images: tf.Tensor, channels: str) -> tf.Tensor:
    """[b, h, w, c] to 3 colour channels or to one of luminance; c may be known only when it runs."""
    has_colour = tf.shape(images)[-1] >= 3
    colours = tf.gather(images, tf.where(has_colour, [0, 1, 2], [0, 0, 0]), axis=-1)
    if channels == "rgb":
        return colours
    luminance = tf.reduce_sum(tf.cast(colours, tf.float32) * LUMINANCE, axis=-1, keepdims=True)
    return tf.where(has_colour, luminance, tf.cast(images[..., :1], tf.float32))


def output_shape(sample_shape: tuple[int | None, ...], settings: Preprocess) -> tuple[int, ...]:
    """Shape of one sample after preprocessing.

    Args:
        sample_shape: before; None where samples differ in size or channels.

    Raises:
        DataError: `settings` does not fit such samples.
    """
    if settings.mfcc is not None:
        sample_shape = mfcc_shape(sample_shape, settings.mfcc)
    elif len(sample_shape) == 2 and settings.channel_axis == "add":
        sample_shape = (*sample_shape, 1)
    if len(sample_shape) != 3 and (settings.resize is not None or settings.channels != "keep"):
        raise DataError(
            f"data.preprocess: resize and channels need images [height, width, channels]. Received: samples of shape {list(sample_shape)}."
        )
    shape = list(sample_shape)
    if settings.resize is not None:
        shape[:2] = settings.resize
    if settings.channels != "keep":
        shape[2] = 3 if settings.channels == "rgb" else 1
    known = tuple(size for size in shape if size is not None)
    if len(known) < len(shape):
        raise DataError(f"data.preprocess: resize and channels must make all samples equal in shape. Received: samples of shape {shape}.")
    for field in ("mean", "std"):
        num_values = len(getattr(settings, field))
        if num_values not in (1, known[-1]):
            raise DataError(f"data.preprocess.{field}: must have 1 value, or {known[-1]}: one per channel. Received: {num_values} values.")
    return known
