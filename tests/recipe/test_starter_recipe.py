"""`edgecompress init` writes a recipe that passes the check."""

import re

import pytest

from edgecompress.errors import DataError, ModelError, StorageError
from edgecompress.recipe import check_recipe, load_recipe
from edgecompress.recipe.starter import starter_recipe, write_starter_recipe

HDF5 = b"\x89HDF\r\n\x1a\n"  # how a .h5 file begins
NAMES = ["model.keras", "my model (1).h5", "ünï.hdf5", "${x}.h5", "a: b #c.h5", "'quoted\".h5", "-.h5", "1e3.h5"]


@pytest.mark.parametrize("name", NAMES)
def test_the_starter_of_any_file_name_passes_the_check(tmp_path, name):
    model = tmp_path / name
    model.write_bytes(HDF5)
    recipe = load_recipe("recipe.yaml", text=starter_recipe(model, None, tmp_path / "recipe.yaml"))
    assert recipe.model.path == str(model)
    assert check_recipe(recipe) == []


def test_data_is_recognised_by_its_kind(tmp_path):
    model, arrays, folder = tmp_path / "m.h5", tmp_path / "d.npz", tmp_path / "photos"
    model.write_bytes(HDF5)
    arrays.touch()
    (folder / "cats").mkdir(parents=True)
    for name in ("cifar/data_batch_1", "words/yes/a.wav", "tables/train.csv", "table.csv", "it's mine.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for data, source in (
        (arrays, "npz"), (folder, "image_folder"), (tmp_path / "cifar", "cifar10"), (tmp_path / "words", "speech_commands"),
        (tmp_path / "tables", "csv"), (tmp_path / "table.csv", "csv"),
    ):  # fmt: skip
        recipe = load_recipe("r", text=starter_recipe(model, data, tmp_path / "r.yaml"))
        assert (recipe.data.source, recipe.data.path) == (source, str(data))
        assert (recipe.data.preprocess.mfcc is not None) == (source == "speech_commands")
        assert check_recipe(recipe) == []
    recipe = load_recipe("r", text=starter_recipe(model, tmp_path / "it's mine.py", tmp_path / "r.yaml"))
    assert (recipe.data.source, recipe.data.path) == ("python", f"{tmp_path}/it's mine.py:samples")


def test_a_folder_without_classes_is_no_data(tmp_path):
    (tmp_path / "m.h5").write_bytes(HDF5)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: a folder of data must hold one folder per class\. Received: a folder without any\."):
        starter_recipe(tmp_path / "m.h5", tmp_path / "empty", tmp_path / "r.yaml")


def test_a_saved_model_folder_is_a_model(tmp_path):
    (tmp_path / "saved").mkdir()
    with pytest.raises(ModelError, match=r"saved: must be a Keras model .* Received: a folder without saved_model\.pb\.$"):
        starter_recipe(tmp_path / "saved", None, tmp_path / "r.yaml")
    (tmp_path / "saved" / "saved_model.pb").touch()
    text = starter_recipe(tmp_path / "saved", None, tmp_path / "r.yaml")
    assert load_recipe("r", text=text).name == "saved_int8"
    assert "edgecompress run r.yaml --allow-code\n" in text  # it runs code


def test_an_existing_recipe_is_not_replaced_without_force(tmp_path):
    model, file = tmp_path / "m.h5", tmp_path / "recipe.yaml"
    model.write_bytes(HDF5)
    file.write_text("mine")
    with pytest.raises(StorageError, match=r"recipe\.yaml: file must not exist yet; --force replaces it"):
        write_starter_recipe(model, None, file, force=False)
    assert file.read_text() == "mine"
    write_starter_recipe(model, None, file, force=True)
    assert load_recipe(file).model.path == str(model)


@pytest.mark.parametrize(
    ("model", "data", "kind", "pattern"),
    [
        ("mdoel.h5", None, ModelError, r"mdoel\.h5: must be a Keras model .* Received: nothing is there\. Did you mean 'model\.h5'\?$"),
        (
            "notes.txt",
            None,
            ModelError,
            r"notes\.txt: must be a Keras model \(\.keras, \.h5\) or a SavedModel folder\. Received: an empty file\.$",
        ),
        (
            "net.h5",
            None,
            ModelError,
            r"net\.h5: must be a Keras model .* Received: a TensorFlow Lite file, which cannot be trained; .*benchmark",
        ),
        ("net.onnx", None, ModelError, r"net\.onnx: must be a Keras model .* Received: an ONNX model\.$"),
        ("model.h5", "nothing", DataError, r"nothing: data must exist\."),
        (
            "model.h5",
            "notes.txt",
            DataError,
            r"notes\.txt: data must be a \.npz, \.csv or \.py file, or a folder with one folder per class\. Received: '\.txt'\.$",
        ),
    ],
)
def test_what_is_missing_or_of_another_kind_is_refused(tmp_path, model, data, kind, pattern):
    contents = {"model.h5": HDF5, "notes.txt": b"", "net.h5": b"\x1c\0\0\0TFL3", "net.onnx": b"\x08\x07"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(kind) as caught:
        write_starter_recipe(tmp_path / model, data and tmp_path / data, tmp_path / "r.yaml", force=False)
    assert re.search(pattern, str(caught.value))
    assert not (tmp_path / "r.yaml").exists()
