"""Mel-frequency cepstral coefficients: from sound to the small image that keyword spotting looks at."""

from __future__ import annotations

from edgecompress.backend import tf
from edgecompress.errors import DataError
from edgecompress.recipe.schema import Mfcc

SMALLEST_BAND = 1e-6  # added to each band before its logarithm


def mfcc_batch(sound: tf.Tensor, settings: Mfcc) -> tf.Tensor:
    """Windows (Hann), magnitude spectrum, mel bands, logarithm, cosine transform, of which the first coefficients are kept.

    With the default settings, the int8 inputs of MLPerf Tiny's keyword spotting come out, to one step of their scale.

    Args:
        sound: [b, samples] or [b, samples, 1], any number type and range. `normalize: peak` divides each by its highest sample
            (not the largest magnitude), where that is positive: so the reference implementation has it.

    Returns: float32 [b, windows, coefficients, 1]; a window that would reach beyond the end is left out.

    Source: see `recipe.schema.Mfcc`; the cosine transform is the orthonormal one of tf.signal.mfccs_from_log_mel_spectrograms.
    """
    values = tf.cast(sound, tf.float32)
    if values.shape.rank == 3:
        values = values[..., 0]
    if settings.normalize == "peak":
        peaks = tf.reduce_max(values, axis=1, keepdims=True)
        values = values / tf.where(peaks > 0, peaks, 1.0)
    spectra = tf.abs(tf.signal.stft(values, settings.window_samples, settings.stride_samples))
    edges = settings.low_hertz, settings.high_hertz
    bands = tf.signal.linear_to_mel_weight_matrix(settings.num_bands, spectra.shape[-1], settings.sample_rate, *edges)
    logarithms = tf.math.log(tf.tensordot(spectra, bands, 1) + SMALLEST_BAND)
    coefficients = tf.signal.mfccs_from_log_mel_spectrograms(logarithms)
    return coefficients[..., : settings.num_coefficients, tf.newaxis]


def mfcc_shape(sample_shape: tuple[int | None, ...], settings: Mfcc) -> tuple[int, ...]:
    """Shape of one result.

    Args:
        sample_shape: of one sound.

    Raises:
        DataError: no sound, or one that is shorter than a window.
    """
    num_samples = sample_shape[0] if len(sample_shape) == 1 or sample_shape[1:] == (1,) else None
    if num_samples is None or num_samples < settings.window_samples:
        expected = f"needs sound [samples] of at least one window, {settings.window_samples} samples"
        raise DataError(f"data.preprocess.mfcc: {expected}. Received: samples of shape {list(sample_shape)}.")
    return 1 + (num_samples - settings.window_samples) // settings.stride_samples, settings.num_coefficients, 1
