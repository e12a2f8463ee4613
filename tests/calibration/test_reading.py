"""Samples for `convert --data`: which are taken, what is done to them, what is refused."""

import numpy as np
import pytest

from edgecompress.backend import tf
from edgecompress.calibration.reading import read_calibration
from edgecompress.errors import DataError, RecipeError


@pytest.fixture
def npz(tmp_path):
    """`npz(x=array, ...)`: the path of a file with these arrays."""

    def write(**arrays):
        np.savez(tmp_path / "calib.npz", **arrays)
        return tmp_path / "calib.npz"

    return write


@pytest.fixture
def photos(tmp_path):
    """`photos({"cat/a.png": array, ...})`: a folder of PNG files."""

    def write(images):
        for name, image in images.items():
            path = tmp_path / "photos" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(tf.io.encode_png(image).numpy())
        return tmp_path / "photos"

    return write


def flat(value, channels=1, height=4, width=5):
    """A PNG's pixels, all the same."""
    return np.full((height, width, channels), value, np.uint8)


@pytest.mark.parametrize("name", ["x", "x_train"])
def test_inputs_alone_do_and_are_taken_as_they_are(npz, name):
    values = np.arange(12, dtype=np.int16).reshape(4, 3)
    found = read_calibration(npz(**{name: values}), (3,), {})
    assert found.samples.dtype == np.float32
    assert np.array_equal(found.samples, values)
    assert found.words.endswith("calib.npz, taken as they are")
    assert found.words.startswith("4 samples of ")


@pytest.mark.parametrize("labels", [np.zeros((4, 2), np.float32), np.array(["a", "b", "c", "d"])])
def test_labels_of_any_kind_are_not_looked_at(npz, labels):
    assert len(read_calibration(npz(x=np.eye(4), y=labels), (4,), {}).samples) == 4


def test_training_samples_win(npz):
    found = read_calibration(npz(x_train=np.full((2, 3), 5.0), x_test=np.zeros((2, 3)), x=np.zeros((2, 3))), (3,), {})
    assert (found.samples == 5).all()


def test_at_most_200_samples_spread_over_the_array(npz):
    rows = read_calibration(npz(x=np.arange(5000.0).reshape(1000, 5)), (5,), {}).samples[:, 0] / 5
    assert np.array_equal(rows, np.arange(0, 1000, 5))
    assert len(read_calibration(npz(x=np.arange(1005.0).reshape(201, 5)), (5,), {}).samples) == 200


@pytest.mark.parametrize(("shape", "input_shape"), [((6, 8, 8), (8, 8, 1)), ((6, 8, 8), (8, 8)), ((6, 8, 8, 1), (8, 8, 1))])
def test_a_channel_axis_is_added_only_where_the_model_has_one(npz, shape, input_shape):
    values = np.random.default_rng(0).random(shape)
    samples = read_calibration(npz(x=values), input_shape, {}).samples
    assert samples.shape == (6, *input_shape)
    assert np.array_equal(samples.ravel(), values.astype(np.float32).ravel())


def test_scale_mean_and_std_are_those_of_a_recipe(npz):
    found = read_calibration(npz(x=np.array([[0.0, 255.0]])), (2,), {"scale": "1/255", "mean": [0.5], "std": [0.5, "1/4"]})
    assert found.samples.tolist() == [[-1.0, 2.0]]
    assert found.words.endswith("calib.npz, scaled by 1/255, minus 0.5, divided by 0.5 1/4")
    assert found.words.startswith("1 sample of ")


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"data": np.zeros((2, 3))}, r"calib\.npz: must hold the array x or x_train\. Received: data\.$"),
        ({}, r"Received: no arrays\.$"),
        ({"x": np.zeros((2, 4))}, r"^x in .*calib\.npz: samples must have the model's input shape \[3\]\. Received: \[4\]\.$"),
        ({"x": np.zeros((0, 3))}, r"must be an array \[samples, \.\.\.\] that is not empty\. Received: shape \[0, 3\]\.$"),
        ({"x": np.zeros(3)}, r"Received: shape \[3\]\.$"),
        (
            {"x_train": np.array([[1, np.nan, 3]])},
            r"^x_train in .*: values must be finite .* Received: 1 .* the first at index \[0, 1\]\.$",
        ),
        ({"x": np.array([["a", "b", "c"]])}, r"samples must be numbers"),
        ({"x": np.array([[{}, 1, 2]])}, r"^x in .*: must be a whole array without pickled objects"),
    ],
)
def test_unfit_arrays_are_refused(npz, arrays, words):
    with pytest.raises(DataError, match=words):
        read_calibration(npz(**arrays), (3,), {})


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and then nothing", b"x,y\n1,2\n"])
def test_other_and_damaged_files_are_refused(tmp_path, content):
    (tmp_path / "calib.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"calib\.npz: must be a whole \.npz file"):
        read_calibration(tmp_path / "calib.npz", (3,), {})


def test_a_single_array_is_no_npz(tmp_path):
    np.save(tmp_path / "calib.npy", np.zeros((2, 3)))
    with pytest.raises(DataError, match=r"must be an \.npz file\. Received: a single array"):
        read_calibration(tmp_path / "calib.npy", (3,), {})


def test_images_get_size_and_channels_of_the_model(photos):
    folder = photos({"cat/a.png": flat(51, channels=3), "dog/b.png": flat(255, channels=1, height=9)})
    found = read_calibration(folder, (4, 6, 1), {})
    assert found.samples.shape == (2, 4, 6, 1)
    assert np.allclose(found.samples[0], 0.2, atol=1e-6)  # float32
    assert np.allclose(found.samples[1], 1.0, atol=1e-6)
    assert found.words == f"2 samples of {folder}, scaled by 1/255"
    assert read_calibration(folder, (4, 6, 3), {}).samples.shape == (2, 4, 6, 3)


def test_images_are_those_of_a_recipe(photos):
    from edgecompress.data import load_data
    from edgecompress.recipe.schema import Data, Preprocess, Task

    generator = np.random.default_rng(0)
    folder = photos({f"{kind}/{number:02d}.png": generator.integers(0, 256, (7, 6, 3), np.uint8) for kind in "ab" for number in range(9)})
    found = read_calibration(folder, (5, 4, 1), {"mean": [0.5], "std": [0.25]})
    preprocess = Preprocess(resize=[5, 4], channels="grayscale", scale=1 / 255, mean=[0.5], std=[0.25])
    data = load_data(Data(source="image_folder", path=str(folder), preprocess=preprocess), Task(), seed=0)
    theirs = np.concatenate([split.arrays()[0] for split in (data.train, data.validation, data.test)])
    assert sorted(found.samples.sum(axis=(1, 2, 3)).tolist()) == sorted(theirs.sum(axis=(1, 2, 3)).tolist())


def test_scale_of_images_can_be_set(photos):
    found = read_calibration(photos({"a.png": flat(51)}), (4, 5, 1), {"scale": 1.0, "mean": [50.0]})
    assert (found.samples == 1).all()
    assert found.words.endswith("photos, scaled by 1.0, minus 50.0")


def test_images_of_other_parts_and_hidden_files_are_passed_over(photos):
    folder = photos({"train/cat/a.png": flat(0), "train/cat/.b.png": flat(9), "test/cat/c.png": flat(9), "train/.trash/d.png": flat(9)})
    (folder / "train" / "notes.txt").write_text("no image")
    assert not read_calibration(folder, (4, 5, 1), {}).samples.any()


@pytest.mark.parametrize("input_shape", [(20,), (4, 5), (4, 5, 2), (1, 4, 5, 3)])
def test_a_folder_needs_a_model_of_images(photos, input_shape):
    with pytest.raises(
        DataError, match=r"photos: a folder must be for a model whose input is an image .* Received: a model with the input"
    ):
        read_calibration(photos({"a.png": flat(0)}), input_shape, {})


def test_a_folder_without_images_is_refused(photos):
    folder = photos({"a/b/c/deep.png": flat(0)})
    with pytest.raises(DataError, match=r"photos: must hold images \(\.png.* or folders of images\. Received: none"):
        read_calibration(folder, (4, 5, 1), {})


def test_a_broken_image_is_named(photos):
    folder = photos({"a.png": flat(0)})
    (folder / "b.png").write_bytes((folder / "a.png").read_bytes()[:-20])
    with pytest.raises(DataError, match=r"b\.png: must be a whole image\. Received: [^{}]*\.$"):
        read_calibration(folder, (4, 5, 1), {})


@pytest.mark.parametrize(
    ("preprocess", "error", "words"),
    [
        ({"scale": "1/x"}, RecipeError, r"data\.preprocess\.scale: scale must be a number, or a fraction.* Received: '1/x'"),
        ({"std": [0.0]}, RecipeError, r"data\.preprocess\.std\.0: item must be a number greater than 0"),
        ({"mean": [0.1, 0.2]}, DataError, r"data\.preprocess\.mean: must have 1 value, or 3: one per channel\. Received: 2"),
    ],
)
def test_bad_settings_are_named(photos, npz, preprocess, error, words):
    for path, input_shape in [(photos({"a.png": flat(0)}), (4, 5, 3)), (npz(x=np.eye(3)), (3,))]:
        with pytest.raises(error, match=words):
            read_calibration(path, input_shape, preprocess)


def test_real_photos_of_different_sizes(data_folder):
    samples = read_calibration(data_folder / "images", (24, 32, 3), {}).samples
    assert samples.shape[1:] == (24, 32, 3)
    assert len(samples) > 5
    assert samples.min() >= 0
    assert samples.max() <= 1
