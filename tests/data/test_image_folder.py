import os
import re

import numpy as np
import pytest

from edgecompress.data import load_data
from edgecompress.errors import DataError
from edgecompress.recipe.schema import Data, Preprocess, Task


@pytest.fixture
def load(tmp_path):
    """`load(**fields of data)` on the images below `tmp_path`."""
    return lambda **fields: load_data(Data(source="image_folder", path=str(tmp_path), **fields), Task(), seed=0)


def names(number, suffix=".png"):
    return [f"{index:02d}{suffix}" for index in range(number)]


@pytest.fixture
def write_parts(write_images):
    """A folder with its own train and test: classes cat and dog, 6 and 3 images each."""

    def write(suffix=".png", **keywords):
        train = {name: write_images(f"train/{name}", *names(6, suffix), **keywords) for name in ("cat", "dog")}
        return train, {name: write_images(f"test/{name}", *names(3, suffix), **keywords) for name in ("cat", "dog")}

    return write


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".PNG"])
def test_images_come_in_sorted_order_with_their_exact_pixels(write_parts, load, suffix):
    _, test = write_parts(suffix.lower() if suffix != ".PNG" else suffix)
    data = load()
    inputs, labels = data.test.arrays()
    expected = [image for folder in ("cat", "dog") for _, image in sorted(test[folder].items())]
    assert np.array_equal(inputs, np.stack(expected).astype(np.float32))
    assert labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert (data.class_names, data.input_shape, data.num_outputs) == (["cat", "dog"], (6, 5, 3), 2)


def test_one_folder_per_class_is_split(write_images, load):
    write_images("b", *names(20))
    write_images("a", *names(10))
    data = load(validation=0.25)
    assert data.class_names == ["a", "b"]
    assert [np.bincount(split.labels).tolist() for split in (data.train, data.validation, data.test)] == [[6, 12], [2, 4], [2, 4]]
    assert len(data.calibration) == len(data.train)


def test_a_validation_folder_is_used(write_parts, write_images, load):
    write_parts()
    for name in ("cat", "dog"):
        write_images(f"validation/{name}", *names(2))
    data = load()
    assert (len(data.train), len(data.validation), len(data.test)) == (12, 4, 6)


def test_a_train_folder_alone_is_split(write_images, load):
    for name in ("cat", "dog"):
        write_images(f"train/{name}", *names(10))
    data = load()
    assert (len(data.train), len(data.validation), len(data.test)) == (14, 2, 4)


def test_a_class_may_be_named_train(write_images, load):
    for name in ("plane", "train"):
        write_images(name, *names(5))
    assert load().class_names == ["plane", "train"]


def test_hidden_and_foreign_files_are_passed_over(write_parts, load, tmp_path):
    write_parts()
    (tmp_path / "train/cat/.hidden.png").write_bytes(b"broken")
    (tmp_path / "train/cat/Thumbs.db").write_bytes(b"broken")
    (tmp_path / "train/.cache").mkdir()
    (tmp_path / ".git").mkdir()
    data = load()
    assert len(data.train) + len(data.validation) == 12


def test_images_that_are_passed_over_are_counted(write_parts, write_images, load, tmp_path):
    write_parts()
    assert load().warnings == ()
    for name in ("train/cat/a.webp", "train/dog/b.WEBP", "test/dog/c.gif", "test/cat/.d.gif", "train/cat/notes.txt"):
        (tmp_path / name).write_bytes(b"an image")
    write_images("train/cat/more", "00.png")
    write_images("test", "loose.png")
    assert load().warnings == (
        f"{tmp_path}: 1 .gif files were passed over: images must be .png, .jpg, .jpeg, .bmp.",
        f"{tmp_path}: 2 .webp files were passed over: images must be .png, .jpg, .jpeg, .bmp.",
        f"{tmp_path}: 1 folders inside of folders of images were passed over, such as {tmp_path / 'train/cat/more'}.",
        f"{tmp_path}: 1 images outside of the folders of classes were passed over, such as {tmp_path / 'test/loose.png'}.",
    )


def test_images_of_16_bits_are_counted(write_parts, load, tmp_path):
    from edgecompress.backend import tf

    write_parts()
    deep = np.random.default_rng(0).integers(0, 65536, (6, 5, 3)).astype(np.uint16)
    (tmp_path / "test/cat/01.png").write_bytes(tf.io.encode_png(deep).numpy())
    data = load()
    assert data.warnings == (
        f"{tmp_path}: 1 images have 16 bits per channel, of which the upper 8 are read, such as {tmp_path}/test/cat/01.png.",
    )
    assert np.array_equal(data.test.arrays()[0][1], deep >> 8)


def test_names_of_parts_may_be_in_capitals(write_images, load, tmp_path):
    for part in ("Train", "TEST"):
        for name in ("cat", "dog"):
            write_images(f"{part}/{name}", *names(6))
    data = load()
    assert (data.class_names, len(data.test)) == (["cat", "dog"], 12)
    write_images("train/cat", "00.png")
    with pytest.raises(DataError, match=r"Train: beside train, folders must be named validation or test\. Received: 'Train'\."):
        load()


def test_jpeg_pixels_are_those_that_pillow_gives(write_images, load, tmp_path):
    from PIL import Image

    for name in ("cat", "dog"):
        write_images(f"train/{name}", *names(3, ".jpg"), shape=(33, 47, 3))
        write_images(f"test/{name}", *names(1, ".jpeg"), shape=(33, 47, 3))
    inputs, _ = load().test.arrays()
    assert np.array_equal(inputs[0], np.asarray(Image.open(tmp_path / "test/cat/00.jpeg")))


def test_images_are_read_when_they_are_drawn(write_parts, load, tmp_path):
    _, test = write_parts()
    data = load()
    (tmp_path / "test/cat/00.png").write_bytes((tmp_path / "test/dog/00.png").read_bytes())
    inputs, _ = data.test.arrays()
    assert np.array_equal(inputs[0], test["dog"]["00.png"])


def test_images_of_two_sizes_are_refused_with_both_names_and_sizes(write_parts, write_images, load, tmp_path):
    write_parts()
    write_images("test/dog", "01.png", shape=(6, 7, 3))
    first, second = (re.escape(str(tmp_path / name)) for name in ("train/cat/00.png", "test/dog/01.png"))
    with pytest.raises(DataError, match=rf"resize: must be given where images differ.*{first} is 6 x 5 x 3, {second} is 6 x 7 x 3"):
        load()
    assert load(preprocess=Preprocess(resize=[4, 4])).input_shape == (4, 4, 3)


def test_grey_and_colour_images_together_need_channels(write_parts, write_images, load):
    write_parts()
    grey = write_images("test/dog", "01.png", shape=(6, 5, 1))["01.png"]
    with pytest.raises(DataError, match=r"channels: must be given where images differ.*6 x 5 x 3, .*dog/01.png is 6 x 5 x 1"):
        load()
    colour = load(preprocess=Preprocess(channels="rgb")).test.arrays()[0]
    assert np.array_equal(colour[4], np.repeat(grey, 3, axis=-1))
    assert np.array_equal(load(preprocess=Preprocess(channels="grayscale")).test.arrays()[0][4], grey)


def test_resizing_is_that_of_single_images(write_parts, write_images, load):
    from edgecompress.backend import tf

    write_parts()
    large = write_images("test/dog", "01.png", shape=(9, 12, 3))["01.png"]
    data = load(preprocess=Preprocess(resize=[4, 7], scale=1 / 255))
    expected = tf.image.resize(large, [4, 7]) * np.float32(1 / 255)
    # The product is the same one, but may be fused with the subtraction of the mean.
    np.testing.assert_allclose(data.test.arrays()[0][4], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("suffix", "damage"),
    [
        (".png", lambda content: b""),
        (".png", lambda content: b"text, not an image"),
        (".png", lambda content: content[: len(content) // 2]),
        (".png", lambda content: content[:60] + bytes([content[60] ^ 255]) + content[61:]),
        (".jpg", lambda content: content[: len(content) // 2]),
        (".jpg", lambda content: content[:-2]),
        (".bmp", lambda content: content[: len(content) // 2]),
        (".bmp", lambda content: content[:10]),
    ],
)
def test_a_broken_image_is_named_before_training(write_parts, load, tmp_path, suffix, damage):
    write_parts(suffix)
    path = tmp_path / f"train/dog/03{suffix}"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=rf"{re.escape(str(path))}: must be a whole image\. Received: [^{{]+\.$"):
        load()


def test_folders_that_do_not_fit_are_refused(write_parts, write_images, load, tmp_path):
    with pytest.raises(DataError, match=r"must hold one folder of images per class. Received: no folders"):
        load()
    with pytest.raises(DataError, match=r"nowhere: data\.path must be a folder of images"):
        load_data(Data(source="image_folder", path=str(tmp_path / "nowhere")), Task(), seed=0)
    write_parts()
    write_images("test/cats", "00.png")
    with pytest.raises(
        DataError, match=r"test/cats: must be one of the classes of train: cat, dog. Received: 'cats'. Did you mean 'cat'\?"
    ):
        load()
    (tmp_path / "test/cats/00.png").unlink()
    (tmp_path / "test/cats").rmdir()
    write_images("val/cat", "00.png")
    with pytest.raises(DataError, match=r"folders must be named validation or test. Received: 'val'. Did you mean 'validation'\?"):
        load()


def test_a_class_without_images_is_named(write_parts, load, tmp_path):
    write_parts()
    (tmp_path / "train/empty").mkdir()
    with pytest.raises(DataError, match=r"train/empty: must hold images of its class"):
        load()


def test_a_labels_file_renames_the_folders(write_parts, load, tmp_path):
    write_parts()
    (tmp_path / "names.txt").write_text("Katze\nHund\n")
    assert load(labels=str(tmp_path / "names.txt")).class_names == ["Katze", "Hund"]


@pytest.mark.parametrize("text", ["dog\ncat\n", "Dog\nCat"])
def test_a_labels_file_with_the_folders_in_another_order_is_refused(write_parts, load, tmp_path, text):
    write_parts()
    (tmp_path / "names.txt").write_text(text)
    with pytest.raises(
        DataError, match=r"(?i)names\.txt: data\.labels must be in the order of the classes of .*train, cat, dog\. Received: dog, cat\.$"
    ):
        load(labels=str(tmp_path / "names.txt"))


def test_a_folder_of_one_class_is_refused(write_images, load):
    write_images("train/cat", *names(6))
    with pytest.raises(DataError, match=r"train: labels of a classification task must be of at least 2 classes\. Received: cat alone\.$"):
        load()


def test_fingerprint_follows_names_sizes_and_times_of_files(write_parts, load, tmp_path):
    write_parts()
    before = load().fingerprint
    assert load().fingerprint == before
    path = tmp_path / "train/cat/00.png"
    facts = path.stat()
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns + 1))
    touched = load().fingerprint
    path.rename(path.with_name("000.png"))
    assert len({before, touched, load().fingerprint}) == 3


def test_copies_of_an_image_are_calibrated_on_once(write_parts, load, tmp_path):
    write_parts()
    for name in names(6):
        (tmp_path / "train/cat" / name).write_bytes((tmp_path / "train/cat/00.png").read_bytes())
    data = load()
    assert np.bincount(data.calibration.labels).tolist() == [1, int((data.train.labels == 1).sum())]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:60]), "must be a whole image"),
        (lambda path: path.unlink(), "must be a whole image"),
        (lambda path: path.write_bytes((path.parent / "larger.png").read_bytes()), r"must have the shape \[6, 5, 3\] that it had"),
    ],
)
def test_an_image_that_breaks_after_the_check_is_named(write_parts, write_images, load, tmp_path, damage, reason):
    write_parts()
    data = load()
    write_images("train/dog", "larger.png", shape=(9, 9, 3))
    for number in range(6):
        damage(tmp_path / f"train/dog/{number:02d}.png")
    with pytest.raises(DataError, match=rf"train/dog/0\d\.png: {reason}"):
        data.train.arrays()


def test_an_image_that_breaks_while_training_is_named(write_parts, load, tmp_path, make_context):
    from edgecompress.backend import keras
    from edgecompress.recipe.stages import Train
    from edgecompress.training import fit

    write_parts()
    data = load(batch_size=4)
    model = keras.Sequential([keras.Input((6, 5, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
    fit(model, Train(epochs=1), make_context(data=data))
    for path in (tmp_path / "train/cat").iterdir():
        path.write_bytes(b"cut")
    with pytest.raises(DataError, match=r"train/cat/0\d\.png: must be a whole image\. Received: "):
        fit(model, Train(epochs=1), make_context(data=data))
