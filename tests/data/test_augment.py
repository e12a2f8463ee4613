import numpy as np
import pytest

from edgecompress.backend import tf
from edgecompress.data.augment import augment_batch, check_augment, largest_shift
from edgecompress.errors import DataError
from edgecompress.recipe.schema import Augment

IMAGES = np.random.default_rng(0).normal(size=(64, 10, 20, 2)).astype(np.float32)


def augmented(settings, seed=0, images=IMAGES):
    return augment_batch(tf.constant(images), settings, tf.constant([seed, 5], tf.int64)).numpy()


def shifted(image, down, right):
    """Whole-pixel shift with repeated edges: the oracle."""
    rows = np.clip(np.arange(image.shape[0]) - down, 0, image.shape[0] - 1)
    columns = np.clip(np.arange(image.shape[1]) - right, 0, image.shape[1] - 1)
    return image[rows][:, columns]


def test_each_image_is_shifted_by_whole_pixels_within_the_limit():
    found = set()
    for before, after in zip(IMAGES, augmented(Augment(shift=0.1)), strict=True):
        matches = [(y, x) for y in (-1, 0, 1) for x in (-2, -1, 0, 1, 2) if np.array_equal(shifted(before, y, x), after)]
        assert len(matches) == 1
        found.add(matches[0])
    assert {y for y, _ in found} == {-1, 0, 1}
    assert {x for _, x in found} == {-2, -1, 0, 1, 2}


def test_about_half_of_the_images_are_mirrored_left_to_right():
    after = augmented(Augment(flip="horizontal"))
    mirrored = [np.array_equal(image, before[:, ::-1]) for before, image in zip(IMAGES, after, strict=True)]
    assert all(flag or np.array_equal(image, before) for flag, before, image in zip(mirrored, IMAGES, after, strict=True))
    assert 16 < sum(mirrored) < 48  # of 64 with probability 1/2: 4 standard deviations


def test_the_seed_alone_decides():
    settings = Augment(shift=0.2, flip="horizontal")
    assert np.array_equal(augmented(settings, seed=3), augmented(settings, seed=3))
    assert not np.array_equal(augmented(settings, seed=3), augmented(settings, seed=4))


def test_neutral_settings_change_nothing():
    assert np.array_equal(augmented(Augment()), IMAGES)


def test_values_are_only_moved():
    image = np.arange(200, dtype=np.float32).reshape(1, 10, 20, 1)
    assert set(augmented(Augment(shift=0.3, flip="horizontal"), images=image).ravel()) <= set(image.ravel())


def test_largest_shift_is_the_nearest_whole_pixel():
    assert [largest_shift(size, 0.1) for size in (4, 8, 28)] == [0, 1, 3]


def test_settings_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match=r"data\.augment: needs images.*Received: samples of shape \[5\]"):
        check_augment(Augment(flip="horizontal"), (5,))
    with pytest.raises(DataError, match=r"data\.augment\.shift: must be at least half a pixel of images of 8 x 8.*: \[0\.01, 0\.01\]"):
        check_augment(Augment(shift=0.01), (8, 8, 1))
    check_augment(Augment(shift=0.05), (49, 1, 1))
    check_augment(Augment(), (5,))
