import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from edgecompress.data.preprocess import output_shape, preprocess_batch
from edgecompress.errors import DataError
from edgecompress.recipe.schema import Preprocess


def resized_axis(values, size, axis):
    """Bilinear between pixel centres along one axis, in float64: the oracle."""
    old = values.shape[axis]
    positions = (np.arange(size) + 0.5) * old / size - 0.5
    low = np.floor(positions).astype(int)
    weight = (positions - low).reshape([-1 if index == axis else 1 for index in range(values.ndim)])
    lower, upper = (np.take(values, np.clip(index, 0, old - 1), axis) for index in (low, low + 1))
    return lower * (1 - weight) + upper * weight


def oracle(inputs, settings):
    values = inputs.astype(np.float64)
    if settings.channels != "keep":
        values = values[..., :3] if values.shape[-1] >= 3 else np.repeat(values[..., :1], 3, axis=-1)
    if settings.channels == "grayscale":
        values = values @ np.array([[0.299], [0.587], [0.114]])
    if settings.resize is not None:
        values = resized_axis(resized_axis(values, settings.resize[0], 1), settings.resize[1], 2)
    return (values * settings.scale - np.asarray(settings.mean)) / np.asarray(settings.std)


@given(
    st_numpy.arrays(np.uint8, st.tuples(st.just(2), st.integers(1, 7), st.integers(1, 7), st.integers(1, 4))),
    st.none() | st.lists(st.integers(1, 9), min_size=2, max_size=2),
    st.sampled_from(["keep", "rgb", "grayscale"]),
    st.sampled_from([1.0, 1 / 255, -2.0]),
    st.sampled_from([0.0, 0.485, -3.0]),
    st.sampled_from([1.0, 0.229]),
)
@settings(max_examples=80, deadline=None)
def test_images_follow_the_formula(images, resize, channels, scale, mean, std):
    preprocess = Preprocess(resize=resize, channels=channels, scale=scale, mean=[mean], std=[std])
    outputs = preprocess_batch(images, preprocess)
    expected = oracle(images, preprocess)
    assert outputs.dtype == np.float32
    assert tuple(outputs.shape[1:]) == output_shape(images.shape[1:], preprocess) == expected.shape[1:]
    # float32 rounds each of about ten operations on values up to 255 * |scale| / std to 6e-8 of them; the resize kernel takes
    # its weights from float32 positions, whose error grows with the pixel index, here below 10.
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=2e-6 * 255 * abs(scale) / std + 1e-6 * abs(mean) / std)


def test_one_value_per_channel():
    images = np.arange(24, dtype=np.uint8).reshape(1, 4, 2, 3)
    preprocess = Preprocess(scale=1 / 255, mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
    # Two roundings of float32 on values of at most 2.2.
    np.testing.assert_allclose(preprocess_batch(images, preprocess), oracle(images, preprocess), atol=1e-6)


@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.uint64, np.float16, np.float64, np.bool_])
def test_every_type_becomes_float32_and_neutral_settings_change_nothing(dtype):
    features = np.array([[0, 1, 100]]).astype(dtype)
    outputs = preprocess_batch(features, Preprocess())
    assert outputs.dtype == np.float32
    assert np.array_equal(outputs, features.astype(np.float32))


def test_whole_pixels_are_kept_by_a_resize_to_the_same_size():
    images = np.random.default_rng(0).integers(0, 256, (2, 5, 6, 3), dtype=np.uint8)
    assert np.array_equal(preprocess_batch(images, Preprocess(resize=[5, 6])), images)


def test_alpha_is_dropped_and_grey_stays_exact():
    grey = np.random.default_rng(0).integers(0, 256, (2, 5, 6, 2), dtype=np.uint8)
    assert np.array_equal(preprocess_batch(grey, Preprocess(channels="grayscale")), grey[..., :1])
    colour = np.random.default_rng(0).integers(0, 256, (2, 5, 6, 4), dtype=np.uint8)
    assert np.array_equal(preprocess_batch(colour, Preprocess(channels="rgb")), colour[..., :3])


@pytest.mark.parametrize(
    ("shape", "fields", "message"),
    [
        ((5,), {"resize": [2, 2]}, r"resize and channels need images.*Received: samples of shape \[5\]"),
        ((5,), {"channels": "rgb"}, "resize and channels need images"),
        ((4, 4, 3), {"mean": [1.0, 2.0]}, "data.preprocess.mean: must have 1 value, or 3: one per channel. Received: 2 values"),
        ((4, 4, 3), {"channels": "grayscale", "std": [1.0, 2.0, 3.0]}, "data.preprocess.std: must have 1 value, or 1.*Received: 3 values"),
        ((None, 4, 3), {}, r"must make all samples equal in shape. Received: samples of shape \[None, 4, 3\]"),
    ],
)
def test_settings_that_do_not_fit_the_samples_are_refused(shape, fields, message):
    with pytest.raises(DataError, match=message):
        output_shape(shape, Preprocess(**fields))
