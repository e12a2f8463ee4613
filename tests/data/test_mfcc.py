"""Cepstral coefficients against the formula in NumPy, and against the official inputs of MLPerf Tiny."""

import io
import wave
import zipfile

import numpy as np
import pytest

from edgecompress.data.mfcc import mfcc_batch, mfcc_shape
from edgecompress.errors import DataError
from edgecompress.recipe.schema import Mfcc


def hertz_to_mel(hertz):
    return 1127.0 * np.log(1.0 + np.asarray(hertz) / 700.0)  # HTK's formula, as tf.signal has it


def oracle(sound, settings):
    """[windows, coefficients] of one sound, written out from the definitions."""
    if settings.normalize == "peak":
        sound = sound / sound.max()
    size, step = round(settings.sample_rate * settings.window_ms / 1000), round(settings.sample_rate * settings.stride_ms / 1000)
    fft_size = 2 ** int(np.ceil(np.log2(size)))
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    windows = np.stack([sound[start : start + size] * hann for start in range(0, len(sound) - size + 1, step)])
    spectra = np.abs(np.fft.rfft(windows, fft_size))
    mels = hertz_to_mel(np.linspace(0, settings.sample_rate / 2, fft_size // 2 + 1))
    edges = np.linspace(hertz_to_mel(settings.low_hertz), hertz_to_mel(settings.high_hertz), settings.num_bands + 2)
    bands = np.zeros((len(mels), settings.num_bands))
    for band in range(settings.num_bands):
        low, centre, high = edges[band : band + 3]
        rising, falling = (mels - low) / (centre - low), (high - mels) / (high - centre)
        bands[:, band] = np.maximum(0, np.minimum(rising, falling))
    bands[0] = 0  # the constant part says nothing
    logarithms = np.log(spectra @ bands + 1e-6)
    numbers, positions = np.arange(settings.num_coefficients), np.arange(settings.num_bands)
    cosines = np.cos(np.pi * numbers[:, None] * (2 * positions + 1) / (2 * settings.num_bands))
    return (logarithms @ cosines.T) * 2 / np.sqrt(2 * settings.num_bands)  # tf.signal's scale, the same for all coefficients


@pytest.mark.parametrize(
    "settings",
    [
        Mfcc(),
        Mfcc(normalize="none", num_coefficients=13),
        Mfcc(sample_rate=8000, window_ms=25, stride_ms=10, num_bands=20, low_hertz=50, high_hertz=3500),
    ],
)
def test_coefficients_are_those_of_the_definition(settings):
    generator = np.random.default_rng(0)
    seconds = np.arange(settings.sample_rate) / settings.sample_rate
    sounds = np.stack([np.sin(2 * np.pi * 440 * seconds) + 0.1 * generator.normal(size=seconds.size), generator.normal(size=seconds.size)])
    found = mfcc_batch(sounds.astype(np.float32)[..., None], settings).numpy()
    assert found.shape[1:] == mfcc_shape((settings.sample_rate,), settings)
    expected = np.stack([oracle(sound.astype(np.float32).astype(np.float64), settings) for sound in sounds])
    # float32 of TensorFlow against float64: logarithms of small bands magnify the rounding of the transform.
    np.testing.assert_allclose(found[..., 0], expected, atol=5e-3)


def test_mlperf_tiny_looks_at_49_windows_of_10_coefficients():
    assert mfcc_shape((16_000,), Mfcc()) == mfcc_shape((16_000, 1), Mfcc()) == (49, 10, 1)


@pytest.mark.parametrize("factor", [1e-3, 40.0])
def test_loudness_does_not_matter_with_peak(factor):
    sound = np.random.default_rng(1).normal(size=(1, 4000)).astype(np.float32)
    loud, plain = (mfcc_batch(values, Mfcc(sample_rate=8000)).numpy() for values in (sound * np.float32(factor), sound))
    np.testing.assert_allclose(loud, plain, atol=1e-3)  # the rounding of one product, through a logarithm


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_silence_has_finite_coefficients(value):
    assert np.isfinite(mfcc_batch(np.full((1, 16_000), value, np.float32), Mfcc()).numpy()).all()


@pytest.mark.parametrize("shape", [(479,), (16_000, 2), (10, 10, 1), (None,)])
def test_what_is_no_sound_or_too_short_is_refused(shape):
    with pytest.raises(
        DataError, match=r"data\.preprocess\.mfcc: needs sound \[samples\] of at least one window, 480 samples\. Received: "
    ):
        mfcc_shape(shape, Mfcc())


def test_official_recordings_give_the_official_inputs_of_mlperf_tiny(data_folder):
    with np.load(data_folder / "mlperf_tiny/kws/kws01_int8_features.npz") as official:
        scale, zero_point = float(official["scale"]), int(official["zero_point"])
        wanted = (official["x"][..., 0].astype(np.float32) - zero_point) * scale
    with np.load(data_folder / "speech_commands/sc_v2_test_mfcc49x10_f16.npz") as features:
        stored = dict(zip(features["files"], features["x"].astype(np.float32), strict=True))
        overlapping = set(features["files"][features["in_kws01"]])
    with zipfile.ZipFile(data_folder / "speech_commands/sc_v2_test_wav_360.zip") as archive:
        names = sorted(archive.namelist())
        sounds = []
        for name in names:
            with wave.open(io.BytesIO(archive.read(name))) as file:
                sounds.append(np.frombuffer(file.readframes(file.getnframes()), np.int16))
    found = mfcc_batch(np.stack(sounds).astype(np.float32), Mfcc()).numpy()[..., 0]
    # Half the step of float16 at the largest coefficient, 124, is 0.031.
    np.testing.assert_allclose(found, np.stack([stored[name] for name in names]), atol=0.032)
    shared = [row for row, name in enumerate(names) if name in overlapping]
    assert len(shared) > 50
    for row in shared:
        nearest = np.abs(wanted - found[row]).max(axis=(1, 2)).min()
        assert nearest <= 1.001 * scale  # the official inputs are rounded down to whole steps
