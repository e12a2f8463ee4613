import gzip
import re
import struct

import numpy as np
import pytest

from edgecompress.data import load_data
from edgecompress.data.idx import read_idx
from edgecompress.errors import DataError
from edgecompress.recipe.schema import Data, Task

TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.fixture
def load(tmp_path):
    return lambda **fields: load_data(Data(source="fashion_mnist", path=str(tmp_path), **fields), Task(), seed=0)


@pytest.mark.parametrize("compressed", [True, False])
def test_samples_and_labels_are_those_of_the_files(write_idx, load, compressed):
    arrays = write_idx(compressed=compressed)
    data = load()
    inputs, labels = data.test.arrays()
    assert data.input_shape == (4, 5, 1)
    assert np.array_equal(inputs[..., 0], arrays["t10k-images-idx3-ubyte"].astype(np.float32))
    assert np.array_equal(labels, arrays["t10k-labels-idx1-ubyte"])
    assert data.num_outputs == 10
    assert data.class_names[0] == "T-shirt/top"
    assert len(data.train) + len(data.validation) == 40


def test_each_missing_file_is_named_with_its_folder(tmp_path, load):
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(b"")
    expected = f"{re.escape(str(tmp_path))}: .*Missing: {TRAIN_IMAGES}.*, {TRAIN_LABELS}.*, t10k-images-idx3-ubyte\\[.gz\\]\\.$"
    with pytest.raises(DataError, match=expected):
        load()


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(DataError, match="nowhere: the folder must hold the official idx files of mnist"):
        load_data(Data(source="mnist", path=str(tmp_path / "nowhere")), Task(), seed=0)


def test_missing_files_come_from_the_downloader_of_keras_where_it_has_them(tmp_path, monkeypatch):
    from edgecompress.backend import keras
    from edgecompress.data import idx, keras_download

    images, labels = np.arange(20 * 16, dtype=np.uint8).reshape(20, 4, 4), np.arange(20, dtype=np.uint8) % 10
    monkeypatch.undo()  # the real `download`, with Keras' own function replaced
    monkeypatch.setattr(keras.datasets.mnist, "load_data", lambda: ((images, labels), (images, labels)))
    source = idx.read(tmp_path, "mnist")
    assert len(source.train.inputs) == 20
    assert source.class_names == [str(digit) for digit in range(10)]
    assert keras_download.download("kmnist", []) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content[:-1], "must hold 40 values, as its header says. Received: 39, the file is truncated"),
        (lambda content: content + b"\0", "must hold 40 values, as its header says. Received: more than that"),
        (lambda content: content[:6], "Received: a truncated header"),
        (lambda content: b"", "must start with the bytes 00 00 08 01. Received: nothing"),
        (lambda content: b"\0\0\x08\x03" + content[4:], "must start with the bytes 00 00 08 01. Received: 00 00 08 03"),
        (lambda content: b"\0\0\x0d\x01" + content[4:], "must start with the bytes 00 00 08 01. Received: 00 00 0d 01"),
        (lambda content: content[:4] + struct.pack(">I", 2**32 - 1) + content[8:], "must hold 4294967295 values.*truncated"),
        (lambda content: content[:4] + struct.pack(">I", 39) + content[8:-1], "must hold as many labels as .* images, 40. Received: 39"),
        (lambda content: content[:-1] + b"\x0a", "labels must be in 0..9, the 10 classes. Received: 10 at index 39"),
    ],
)
@pytest.mark.parametrize("compressed", [True, False])
def test_a_damaged_labels_file_is_refused_by_name(write_idx, load, idx_bytes, tmp_path, change, message, compressed):
    labels = write_idx(compressed=compressed)[TRAIN_LABELS]
    content = change(idx_bytes(labels))
    path = tmp_path / (TRAIN_LABELS + ".gz" * compressed)
    path.write_bytes(gzip.compress(content) if compressed else content)
    with pytest.raises(DataError, match=f"{TRAIN_LABELS}.*{message}"):
        load()


@pytest.mark.parametrize(
    "change", [lambda content: content[:-20], lambda content: content[:60], lambda content: content[:50] + bytes(40) + content[90:]]
)
def test_a_damaged_gzip_file_is_refused_by_name(write_idx, load, tmp_path, change):
    write_idx()
    path = tmp_path / f"{TRAIN_IMAGES}.gz"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError, match=f"{TRAIN_IMAGES}.gz: must be a whole gzip file"):
        load()


def test_a_gz_file_that_is_not_compressed_is_refused(write_idx, load, tmp_path):
    write_idx()
    (tmp_path / f"{TRAIN_IMAGES}.gz").write_bytes(b"not compressed")
    with pytest.raises(DataError, match=f"{TRAIN_IMAGES}.gz: must be a whole gzip file. Received: Not a gzipped file"):
        load()


def test_images_of_another_size_in_the_test_part_are_refused(write_idx, load, idx_bytes, tmp_path):
    write_idx(compressed=False)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx_bytes(np.zeros((20, 5, 5))))
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte: images must have the shape \[4, 5\].*Received: \[5, 5\]"):
        load()


def test_the_file_without_gz_is_preferred(write_idx, tmp_path, idx_bytes):
    write_idx(compressed=True)
    write_idx(compressed=False)
    (tmp_path / f"{TRAIN_IMAGES}.gz").write_bytes(b"ignored")
    assert load_data(Data(source="mnist", path=str(tmp_path)), Task(), seed=0).class_names == [str(digit) for digit in range(10)]


def test_real_test_images_are_read(data_folder):
    images = read_idx(data_folder / "mnist_t10k" / "t10k-images-idx3-ubyte.gz", num_dimensions=3)
    labels = read_idx(data_folder / "mnist_t10k" / "t10k-labels-idx1-ubyte.gz", num_dimensions=1)
    assert images.shape == (10000, 28, 28)
    # Published class counts of the MNIST test set.
    assert np.bincount(labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_a_family_without_its_training_part_is_refused(data_folder):
    with pytest.raises(DataError, match=r"mnist_t10k: .*Missing: train-images-idx3-ubyte\[.gz\], train-labels-idx1-ubyte\[.gz\]\.$"):
        load_data(Data(source="mnist", path=str(data_folder / "mnist_t10k")), Task(), seed=0)
