"""What load_model refuses in files that are whole: code, subclasses, and data outside of the file."""

import json
import warnings
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from edgecompress.backend import keras, tf
from edgecompress.errors import ModelError
from edgecompress.models import load_model, save_model

LAYERS = keras.layers


def small_model() -> keras.Model:
    return keras.Sequential([keras.Input((4,)), LAYERS.Dense(3, activation="relu"), LAYERS.Dense(2)], name="small")


def saved(model: keras.Model, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(path)
    return path


@pytest.mark.parametrize("name", ["model.h5", "model.keras"])
def test_lambda_is_refused_by_name_before_anything_is_made(tmp_path, name, monkeypatch):
    model = keras.Sequential([keras.Input((4,)), LAYERS.Lambda(lambda x: x + 1, name="harmless")])
    path = saved(model, tmp_path / name)
    with monkeypatch.context() as patch:
        patch.setattr(keras.models, "load_model", lambda *_, **__: pytest.fail("the model was made"))
        with pytest.raises(
            ModelError, match=rf"{name}: model must hold layers that are known to run no code\. Received: Lambda\. .*--allow-code"
        ):
            load_model(path)
    inputs = np.ones((2, 4), np.float32)
    assert np.array_equal(load_model(path, allow_code=True)(inputs), model(inputs))


@pytest.mark.parametrize("name", ["model.h5", "model.keras"])
def test_function_that_reads_files_is_refused_by_name(tmp_path, name):
    inputs = keras.Input((4,))
    path = saved(keras.Model(inputs, tf.math.sqrt(inputs)), tmp_path / name)
    if name == "model.h5":
        with h5py.File(path, "r+") as file:
            file.attrs["model_config"] = file.attrs["model_config"].replace("math.sqrt", "io.read_file")
    else:
        with zipfile.ZipFile(path) as archive:
            members = {member: archive.read(member) for member in archive.namelist()}
        with zipfile.ZipFile(path, "w") as archive:
            for member, content in members.items():
                archive.writestr(member, content.replace(b"math.sqrt", b"io.read_file"))
    with pytest.raises(ModelError, match=r"Received: TFOpLambda of io\.read_file"):
        load_model(path)


@keras.saving.register_keras_serializable("tests")
class SubclassedNet(keras.Model):
    """Stands for a user's own class."""

    def __init__(self, **options):
        super().__init__(**options)
        self.dense = LAYERS.Dense(2)

    def call(self, inputs):
        return self.dense(inputs)


@pytest.mark.parametrize("allow_code", [False, True])
def test_subclassed_model_is_refused_by_name(tmp_path, allow_code):
    model = SubclassedNet()
    model(tf.ones((1, 4)))
    path = saved(model, tmp_path / "model.keras")
    with pytest.raises(ModelError, match=r"model must be Functional or Sequential\. Received: .*SubclassedNet"):
        load_model(path, allow_code=allow_code)


def test_sequential_without_input_shape_is_a_model_error(tmp_path):
    path = saved(keras.Sequential([LAYERS.Dense(2)]), tmp_path / "model.keras")
    with pytest.raises(ModelError, match="must have a known input shape"):
        load_model(path)


@pytest.mark.parametrize("member", ["../escape.txt", "/etc/escape.txt", "C:\\escape.txt", "assets/vocabulary.txt"])
def test_archive_with_anything_else_in_it_is_refused(tmp_path, member):
    path = saved(small_model(), tmp_path / "model.keras")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(member, "x")
    with pytest.raises(ModelError, match=r"model\.weights\.h5 only\. Received: also '.*(escape|vocabulary)"):
        load_model(path)


def test_archive_that_unpacks_to_too_much_is_refused(tmp_path):
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", bytes(20_000_000))
    with pytest.raises(ModelError, match=r"must unpack to at most \d+ bytes\. Received: 20\d{6} bytes"):
        load_model(path)


def test_archive_of_something_else_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        archive.writestr("config.json", json.dumps({}))
    with pytest.raises(ModelError, match=r"Received: an archive without model\.weights\.h5"):
        load_model(tmp_path / "model.keras")


def external_link(file: h5py.File) -> None:
    file["other"] = h5py.ExternalLink("secret.h5", "/weights")


def external_data(file: h5py.File) -> None:
    file.create_dataset("other", (4,), "f4", external=[("secret.bin", 0, 16)])


def virtual_data(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("secret.h5", "weights", (4,))
    file.create_virtual_dataset("other", layout)


@pytest.mark.parametrize("refer", [external_link, external_data, virtual_data])
@pytest.mark.parametrize("name", ["model.h5", "model.keras"])
def test_weights_in_other_files_are_refused(tmp_path, refer, name):
    path = saved(small_model(), tmp_path / name)
    weights = path
    if name == "model.keras":
        with zipfile.ZipFile(path) as archive:
            weights, config = Path(archive.extract("model.weights.h5", tmp_path)), archive.read("config.json")
    with h5py.File(weights, "r+") as file:
        refer(file)
    if name == "model.keras":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", config)
            archive.write(weights, "model.weights.h5")
    with pytest.raises(ModelError, match=rf"{name}: must not refer to other files\. Received: .*other"):
        load_model(path)


def test_soft_links_loops_and_huge_declared_weights_are_no_trap(tmp_path):
    path = tmp_path / "model.h5"
    save_model(small_model(), path)
    with h5py.File(path, "r+") as file:
        file["model_weights/loop"] = file["model_weights"]  # a hard link: harmless, if the walk notices
    assert load_model(path).count_params() == 23
    with h5py.File(path, "r+") as file:
        file.create_dataset("huge", (10**12,), "f4", chunks=(1024,))
    with pytest.raises(ModelError, match=r"must hold at most 4000000000 bytes of weights\. Received: 4\d{12} or more"):
        load_model(path)
    save_model(small_model(), path)
    with h5py.File(path, "r+") as file:
        file["soft"] = h5py.SoftLink("/model_weights")
    with pytest.raises(ModelError, match=r"must not hold soft links\. Received: 'soft'"):
        load_model(path)
