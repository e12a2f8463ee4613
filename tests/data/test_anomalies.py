"""Samples without labels, and detection of anomalies: some classes are normal, training sees nothing else."""

import numpy as np
import pytest

from edgecompress.data import load_data
from edgecompress.errors import DataError
from edgecompress.recipe.schema import Data, Preprocess, Task

AUTOENCODER = Task(loss="mean_squared_error", metrics=["mean_squared_error"], target="input")
DETECTION = Task(loss="mean_squared_error", metrics=["auc", "mean_squared_error"], target="input")


def digits(**fields):
    return load_data(Data(source="digits", preprocess=Preprocess(scale=1 / 16), **fields), DETECTION, seed=0)


def test_training_and_calibration_see_normal_samples_alone():
    data = digits(normal=["3", "8"])
    assert set(data.train.labels) == set(data.calibration.labels) == {3, 8}
    assert not data.train.anomalies.any()
    for split in (data.validation, data.test):
        assert set(split.labels) == set(range(10))
        assert np.array_equal(split.anomalies, ~np.isin(split.labels, [3, 8]))
    assert len(data.test) == len(digits(normal=["0"]).test)


def test_without_normal_there_are_no_anomalies():
    assert digits().test.anomalies is None


def test_limit_and_fingerprint_follow_normal():
    assert len(digits(normal=["3"], limit=20).train) == 20
    assert len({digits(normal=normal).fingerprint for normal in (["3"], ["4"], ["3", "4"])}) == 3


def test_names_that_no_class_has_are_refused(write_idx, tmp_path):
    write_idx()
    config = Data(source="fashion_mnist", path=str(tmp_path), normal=["Sandals"])
    with pytest.raises(
        DataError, match=r"data\.normal: must be names of classes, of T-shirt/top, .*Received: 'Sandals'\. Did you mean 'Sandal'\?"
    ):
        load_data(config, DETECTION, seed=0)
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).normal(size=(30, 4)))
    with pytest.raises(DataError, match=r"data\.normal: must be names of classes, of no classes\. Received: '3'\."):
        load_data(Data(source="npz", path=str(tmp_path / "x.npz"), normal=["3"]), DETECTION, seed=0)


def test_arrays_without_labels_are_split_for_an_autoencoder(tmp_path):
    x = np.arange(240, dtype=np.float32).reshape(60, 4)
    np.savez(tmp_path / "data.npz", x=x)
    data = load_data(Data(source="npz", path=str(tmp_path / "data.npz"), calibration=7), AUTOENCODER, seed=0)
    assert [len(split) for split in (data.train, data.validation, data.test, data.calibration)] == [43, 5, 12, 7]
    found = np.concatenate([split.arrays()[0] for split in (data.train, data.validation, data.test)])
    assert np.array_equal(found[np.argsort(found[:, 0])], x)
    assert (data.num_outputs, data.class_names) == (4, [])
    np.savez(tmp_path / "parts.npz", x_train=x, x_test=x[:9])
    assert len(load_data(Data(source="npz", path=str(tmp_path / "parts.npz")), AUTOENCODER, seed=0).test) == 9
    with pytest.raises(DataError, match=r"must hold the array 'y'\. Received: x\.$"):
        load_data(Data(source="npz", path=str(tmp_path / "data.npz")), Task(), seed=0)


@pytest.mark.parametrize("folders", [("",), ("train", "test")])
def test_images_without_classes_are_samples_for_an_autoencoder(write_images, tmp_path, folders):
    for folder in folders:
        write_images(folder, *(f"{number:02d}.png" for number in range(20)))
    config = Data(source="image_folder", path=str(tmp_path))
    data = load_data(config, AUTOENCODER, seed=0)
    assert data.input_shape == (6, 5, 3)
    assert len(data.train) + len(data.validation) + len(data.test) == 20 * len(folders)
    inputs, targets = data.test.arrays()
    assert np.array_equal(inputs, targets)


def test_images_without_classes_cannot_be_classified(write_images, tmp_path):
    write_images("", "one.png", "two.png")
    with pytest.raises(DataError, match=r"must hold one folder of images per class\. Received: no folders"):
        load_data(Data(source="image_folder", path=str(tmp_path)), Task(), seed=0)
