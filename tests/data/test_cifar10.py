import os
import pickle
import re
import struct

import numpy as np
import pytest

from edgecompress.data import cifar10, keras_download, load_data
from edgecompress.errors import DataError
from edgecompress.recipe.schema import Data, Preprocess, Task

NAMES = [*cifar10.TRAIN, cifar10.TEST]


def text(content):
    """A `str` of Python 2, which official files hold."""
    return b"U" + bytes([len(content)]) + content if len(content) < 256 else b"T" + struct.pack("<I", len(content)) + content


def official_batch(images, labels, kind=b"u1", rows=None):
    """The bytes that Python 2's cPickle wrote: protocol 2, NumPy's old module names, `str` where Python 3 has bytes."""
    rows = len(images) if rows is None else rows
    planes = np.ascontiguousarray(images.transpose(0, 3, 1, 2)).tobytes()
    dtype = b"cnumpy\ndtype\n" + text(kind) + b"K\x00K\x01\x87R(K\x03" + text(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b") + b"\x87R"
        + b"(K\x01" + b"J" + struct.pack("<i", rows) + b"M\x00\x0c\x86" + dtype + b"\x89" + text(planes) + b"tb"
    )  # fmt: skip
    numbers = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    names = b"](" + b"".join(text(b"image_%d.png" % index) for index in range(len(images))) + b"e"
    items = text(b"batch_label") + text(b"training batch 1 of 5") + text(b"labels") + numbers + text(b"data") + array
    return b"\x80\x02}(" + items + text(b"filenames") + names + b"u."


def samples(seed, number=20):
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (number, 32, 32, 3), dtype=np.uint8), np.arange(number) % 10


@pytest.fixture
def folder(tmp_path):
    for seed, name in enumerate(NAMES):
        (tmp_path / name).write_bytes(official_batch(*samples(seed)))
    return tmp_path


def load(path, **fields):
    return load_data(Data(source="cifar10", path=str(path), **fields), Task(), seed=0)


def test_official_batches_give_their_pixels_and_labels(folder):
    data = load(folder, preprocess=Preprocess(scale=1 / 255))
    assert (len(data.train) + len(data.validation), len(data.test), data.input_shape) == (100, 20, (32, 32, 3))
    inputs, labels = data.test.arrays()
    images, expected = samples(NAMES.index("test_batch"))
    np.testing.assert_allclose(inputs, images / 255, rtol=2e-7)  # one rounding of the factor, one of the product
    assert np.array_equal(labels, expected)
    assert data.class_names[3] == "cat"


def test_the_folder_of_the_archive_is_found_inside(folder, tmp_path):
    inner = tmp_path / "somewhere" / "cifar-10-batches-py"
    inner.mkdir(parents=True)
    for name in NAMES:
        (folder / name).rename(inner / name)
    assert len(load(inner.parent).test) == 20


def test_other_keys_or_an_array_of_today_s_numpy_are_refused(folder):
    images, labels = samples(3)
    rows = images.reshape(len(images), -1)
    for content, reason in (
        ({"data": b"", "labels": labels.tolist()}, "must hold data, bytes"),
        ({b"data": rows, b"labels": labels.tolist()}, r"a pickle that asks for numpy\._core\."),
    ):
        (folder / "test_batch").write_bytes(pickle.dumps(content, protocol=4))
        with pytest.raises(DataError, match=rf"test_batch: .*{reason}"):
            load(folder)


class Harmful:
    def __init__(self, call):
        self.call = call

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("call", [(os.system, ("touch {}",)), (eval, ("open('{}', 'w')",)), (np.load, ("{}",)), (print, ())])
def test_a_pickle_that_calls_anything_is_refused_and_nothing_runs(folder, tmp_path, call):
    mark = tmp_path / "ran"
    function, arguments = call
    arguments = tuple(part.format(mark) if isinstance(part, str) else part for part in arguments)
    (folder / "data_batch_2").write_bytes(pickle.dumps({b"data": Harmful((function, arguments)), b"labels": []}, protocol=2))
    with pytest.raises(
        DataError, match=r"data_batch_2: must be a whole Python batch of CIFAR-10\. Received: a pickle that asks for \S+, which"
    ):
        load(folder)
    assert not mark.exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: content[:40],
        lambda content: b"not a pickle at all",
        lambda content: b"\x80\x02}(U\x04dataU\x01xU\x06labels]u.",
        lambda content: b"\x80\x02cnumpy\nndarray\n.",
        lambda content: b"\x80\x02cnumpy\nndarray\n}(U\x01aU\x01bu.",
        lambda content: official_batch(*samples(0), kind=b"f4"),
        lambda content: official_batch(*samples(0), rows=19),
        lambda content: official_batch(samples(0)[0], samples(0)[1][:-1]),
        lambda content: official_batch(samples(0)[0], samples(0)[1] + 5),
    ],
)
def test_damaged_batches_are_refused_by_name(folder, change):
    path = folder / "data_batch_4"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError) as caught:
        load(folder)
    assert re.search(r"data_batch_4: must|labels must be in 0\.\.9, the 10 classes", str(caught.value))
    assert "\n" not in str(caught.value)


def test_missing_batches_are_named(folder):
    (folder / "data_batch_3").unlink()
    (folder / "test_batch").unlink()
    with pytest.raises(DataError, match=r"the folder must hold the official Python batches.* Missing: data_batch_3, test_batch\.$"):
        load(folder)


def test_an_empty_folder_is_downloaded_where_there_is_a_network(tmp_path, monkeypatch):
    from edgecompress.backend import keras

    images, labels = samples(0)
    monkeypatch.undo()  # the real `download`, with Keras' own function replaced
    monkeypatch.setattr(keras.datasets.cifar10, "load_data", lambda: ((images, labels[:, None]), (images, labels[:, None])))
    assert keras_download.download("cifar10", cifar10.CLASS_NAMES).train.labels.shape == (20,)
    assert len(load(tmp_path).test) == 20
