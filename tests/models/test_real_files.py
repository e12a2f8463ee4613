"""Every Keras file of the real data loads, flat, with the weights that are in it."""

import io
import os
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from edgecompress.device.runtime import TfliteModel
from edgecompress.models import read_model
from edgecompress.models.flatten import nested_models

KERAS_FILES = ("*.h5", "*.hdf5", "*.keras", "saved_model.pb")


def keras_files() -> list[Path]:
    """Relative to the folder of real data; none where it is absent."""
    folder = os.environ.get("EDGECOMPRESS_DATA")
    found = [path for pattern in KERAS_FILES for path in sorted(Path(folder).rglob(pattern))] if folder else []
    return [(path.parent if path.name == "saved_model.pb" else path).relative_to(folder) for path in found]


def test_there_are_files_of_every_format(data_folder):
    assert {path.suffix for path in keras_files()} == {".h5", ".hdf5", ".keras", ""}
    assert len(keras_files()) >= 7


@pytest.mark.parametrize("path", keras_files(), ids=str)
def test_file_loads_flat_and_whole(data_folder, path):
    loaded = read_model(data_folder / path, allow_code=(data_folder / path).is_dir())
    assert loaded.changes == []
    assert nested_models(loaded.model) == []
    inputs = np.random.default_rng(0).random((2, *loaded.model.input_shape[1:]), np.float32)
    assert np.isfinite(loaded.model(inputs)).all()


def test_archive_that_was_written_on_windows_has_its_weights(data_folder):
    """Its groups are called `_layer_checkpoint_dependencies\\conv2d`, where tf_keras looks for `layers/conv2d`."""
    path = data_folder / "keras_models/carpentries_cifar10_intro.keras"
    model = read_model(path).model
    with zipfile.ZipFile(path) as archive, h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
        for layer, group in (("conv2d_2", "conv2d"), ("conv2d_3", "conv2d_1"), ("dense_2", "dense"), ("dense_3", "dense_1")):
            stored = file[f"_layer_checkpoint_dependencies\\{group}/vars"]
            for weight, name in zip(model.get_layer(layer).get_weights(), ("0", "1"), strict=True):
                assert np.array_equal(weight, stored[name])


def test_saved_model_recognizes_the_words_that_it_is_known_to_recognize(data_folder):
    """MLPerf Tiny's 1,000 official samples, 91.3 % of which the float model has right."""
    folder = data_folder / "mlperf_tiny/kws"
    model = read_model(folder / "kws_ref_model", allow_code=True).model
    features = TfliteModel(folder / "kws_ref_model.tflite").inputs[0]  # the samples are on its int8 grid
    with np.load(folder / "kws01_int8_features.npz") as file:
        samples, words = file["x"].reshape(-1, 49, 10, 1), file["y"]
    inputs = (samples.astype(np.float32) - features.zero_point) * features.scale
    assert (np.asarray(model(inputs)).argmax(1) == words).mean() == pytest.approx(0.913)
