"""Source `tfds`: without the library what to install; with it, data sets that the tests write in its own format."""

import importlib.util
import json
import sys

import numpy as np
import pytest

from edgecompress.data import load_data
from edgecompress.errors import DataError
from edgecompress.recipe.schema import Data, Task

AUTOENCODER = Task(loss="mean_squared_error", metrics=["mean_squared_error"], target="input")
HINT = "needs tensorflow-datasets: pip install 'edgecompress[tfds]'"


@pytest.fixture
def library():
    if importlib.util.find_spec("tensorflow_datasets") is None:
        pytest.skip(HINT)
    import tensorflow_datasets

    return tensorflow_datasets


@pytest.fixture
def write(library, tmp_path):
    """`write("shapes", {"train": 40, "test": 9})`: a prepared data set with so many samples, as the library stores it."""
    from edgecompress.backend import tf

    def store(name, sizes, supervised=None, others=(), shape=(4, 5, 1)):
        features = {
            "image": library.features.Tensor(shape=shape, dtype=np.uint8),
            "label": library.features.ClassLabel(names=["no", "yes"]),
        }
        features |= {key: library.features.Tensor(shape=(), dtype=np.int64) for key in others}
        arrays, datasets = {}, {}
        for split, number in sizes.items():
            arrays[split] = np.random.default_rng(number).integers(0, 256, (number, *shape), dtype=np.uint8), np.arange(number) % 2
            columns = {"image": arrays[split][0], "label": arrays[split][1]} | dict.fromkeys(others, np.arange(number))
            datasets[split] = tf.data.Dataset.from_tensor_slices(columns)
        library.dataset_builders.store_as_tfds_dataset(
            name=name, version="1.0.0", features=library.features.FeaturesDict(features), split_datasets=datasets,
            data_dir=str(tmp_path), disable_shuffling=True,
        )  # fmt: skip
        if supervised is not None:  # what a builder's own class says
            info = next(tmp_path.rglob("dataset_info.json"))
            keys = {"tuple": {"items": [{"featureKey": key} for key in supervised]}}
            info.write_text(json.dumps(json.loads(info.read_text()) | {"supervisedKeys": keys}))
        return arrays

    return store


def load(name, path=None, task=None):
    return load_data(Data(source="tfds", name=name, path=None if path is None else str(path)), task or Task(), seed=0)


def test_without_the_library_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(DataError, match=r"data\.source tfds: TensorFlow Datasets must be installed: pip install 'edgecompress\[tfds\]'"):
        load("mnist")


def test_a_name_that_does_not_exist_is_one_line(library, tmp_path):
    with pytest.raises(DataError, match=r"data\.name: must be a data set .*Received: 'cifar_10'\. Did you mean 'cifar10\w*'\?$") as caught:
        load("cifar_10", tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("supervised", "others"), [(None, ()), (("image", "label"), ("number",))])
def test_splits_names_and_samples_are_those_of_the_data_set(write, tmp_path, supervised, others):
    arrays = write("shapes", {"train": 40, "test": 9}, supervised, others)
    data = load("shapes", tmp_path)
    inputs, labels = data.test.arrays()
    assert np.array_equal(inputs, arrays["test"][0])
    assert np.array_equal(labels, arrays["test"][1])
    assert (data.class_names, len(data.train) + len(data.validation)) == (["no", "yes"], 40)
    assert load("shapes:1.0.0", tmp_path).fingerprint == data.fingerprint


def test_data_sets_that_do_not_fit_are_refused(write, tmp_path):
    write("several", {"train": 10}, others=("number",))
    with pytest.raises(DataError, match=r"several must have one feature beside 'label' for a classification task\. Received: .*number"):
        load("several", tmp_path)
    write("untrained", {"test": 10})
    with pytest.raises(DataError, match=r"untrained must have a split train\. Received: test\."):
        load("untrained", tmp_path)
    with pytest.raises(DataError, match=r"shapes:9\.9\.9|must be a data set"):
        load("several:9.9.9", tmp_path)


def test_an_autoencoder_takes_the_inputs_alone(write, tmp_path):
    write("shapes", {"train": 40})
    data = load("shapes", tmp_path, AUTOENCODER)
    assert data.num_outputs == 20
