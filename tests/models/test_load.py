"""Loading: real files, both formats, and files that are missing, damaged or of another kind."""

import warnings
from pathlib import Path

import numpy as np
import pytest

from edgecompress.backend import keras, tf
from edgecompress.errors import ModelError
from edgecompress.graph.layers import describe_layers, total
from edgecompress.models import load_model

LAYERS = keras.layers


def small_model() -> keras.Model:
    return keras.Sequential([keras.Input((4,)), LAYERS.Dense(3, activation="relu"), LAYERS.Dense(2)], name="small")


def saved(model: keras.Model, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(path)
    return path


def outputs_of(model: keras.Model) -> np.ndarray:
    inputs = np.random.default_rng(0).random((3, *(size or 1 for size in model.input_shape[1:])), np.float32)
    return model(inputs).numpy()


@pytest.mark.parametrize("name", ["model.h5", "model.hdf5", "model.keras"])
def test_formats_come_back_with_the_same_bits(tmp_path, name):
    model = small_model()
    model.compile("adam", "mse")  # its optimizer and loss are not loaded
    loaded = load_model(saved(model, tmp_path / name))
    assert np.array_equal(outputs_of(model), outputs_of(loaded))
    assert loaded.optimizer is None


def test_content_decides_not_the_name(tmp_path):
    path = saved(small_model(), tmp_path / "model.h5").rename(tmp_path / "model.txt")
    assert load_model(path).count_params() == 23


def test_read_only_archive_in_a_read_only_folder_loads(tmp_path):
    path = saved(small_model(), tmp_path / "model.keras")
    path.chmod(0o444)
    tmp_path.chmod(0o555)
    assert load_model(str(path)).count_params() == 23
    assert [file.name for file in tmp_path.iterdir()] == ["model.keras"]


@pytest.mark.parametrize("name", ["model.h5", "model.keras"])
def test_nested_compiled_models_and_shared_layers_load(tmp_path, name):
    inner = keras.Sequential([keras.Input((4,)), LAYERS.Dense(4)], name="inner")
    inner.compile("adam", "mse")
    inputs = keras.Input((4,))
    model = keras.Model(inputs, LAYERS.Add()([inner(inputs), inner(inner(inputs))]))
    loaded = load_model(saved(model, tmp_path / name))
    assert np.array_equal(outputs_of(model), outputs_of(loaded))


@pytest.mark.parametrize("name", ["model.h5", "model.keras"])
def test_allowed_functions_load(tmp_path, name):
    inputs = keras.Input((4,))
    model = keras.Model(inputs, tf.nn.relu(inputs * 2.0 + 1.0)[:, 1:])
    loaded = load_model(saved(model, tmp_path / name))
    assert np.array_equal(outputs_of(model), outputs_of(loaded))


@pytest.mark.parametrize(
    "path",
    [
        "mlperf_tiny/ad/ad01.h5",
        "mlperf_tiny/ic/pretrainedResnet.h5",
        "mlperf_tiny/sww/str_ww_ref_model.h5",
        "mlperf_tiny/vww/vww_96.h5",
        "keras_models/fer2013_mini_XCEPTION.102-0.66.hdf5",
    ],
)
def test_real_files_load_as_keras_itself_loads_them(data_folder, path):
    loaded = load_model(data_folder / path)
    assert np.array_equal(outputs_of(loaded), outputs_of(keras.models.load_model(data_folder / path, compile=False)))
    assert total(describe_layers(loaded)).parameters == loaded.count_params()


def test_saved_model_needs_permission_and_loads_with_it(data_folder):
    folder = data_folder / "mlperf_tiny/kws/kws_ref_model"
    with pytest.raises(ModelError, match=r"kws_ref_model: a SavedModel holds code .* --allow-code"):
        load_model(folder)
    totals = total(describe_layers(load_model(folder, allow_code=True)))
    assert (totals.parameters, totals.macs) == (24_908, 2_656_768)


def test_missing_file_is_a_model_error(tmp_path):
    with pytest.raises(ModelError, match=r"nothing\.h5: must be a Keras model \(\.h5, \.keras\)\. Received: nothing is there\."):
        load_model(tmp_path / "nothing.h5")


def test_path_through_a_file_and_overlong_names_are_model_errors(tmp_path):
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file" / "model.h5", tmp_path / ("x" * 300)):
        with pytest.raises(ModelError, match="model file cannot be read"):
            load_model(path)


def test_folder_without_a_model_is_a_model_error(tmp_path):
    with pytest.raises(ModelError, match=r"Received: a folder without saved_model\.pb"):
        load_model(tmp_path, allow_code=True)


def test_device_is_a_model_error():
    with pytest.raises(ModelError, match="/dev/zero: must be a file"):
        load_model("/dev/zero")


@pytest.mark.parametrize("name", ["model.h5", "model.hdf5", "model.keras"])
@pytest.mark.parametrize(
    ("content", "received"),
    [
        (b"", "an empty file"),
        (bytes(range(256)) * 40, "a file of another or damaged format"),
        (b"print('hello')\n", "a file of another or damaged format"),
        (b"\x1c\x00\x00\x00TFL3" + bytes(100), "a TensorFlow Lite file"),
    ],
)
def test_other_content_under_a_models_name_is_a_model_error(tmp_path, name, content, received):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=rf"{name}: must be a Keras model \(\.h5, \.keras\)\. Received: {received}"):
        load_model(tmp_path / name)


@pytest.mark.parametrize("name", ["model.h5", "model.keras"])
@pytest.mark.parametrize("kept", [0.02, 0.3, 0.6, 0.9, 0.99])
def test_truncated_file_is_a_model_error_of_one_line(tmp_path, name, kept):
    path = saved(small_model(), tmp_path / name)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(ModelError, match=rf"{name}: cannot be loaded as a Keras model: \S") as caught:
        load_model(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["model.h5", "model.keras"])
def test_damaged_bytes_load_or_give_a_model_error(tmp_path, name):
    path = saved(small_model(), tmp_path / name)
    content, random = path.read_bytes(), np.random.default_rng(0)
    num_refused = 0
    for _ in range(60):
        damaged = np.frombuffer(content, np.uint8).copy()
        start = random.integers(len(content))
        damaged[start : start + 8] = random.integers(0, 256, damaged[start : start + 8].shape)
        path.write_bytes(damaged.tobytes())
        try:
            load_model(path)
        except ModelError:
            num_refused += 1
    assert num_refused > 0


def test_weights_without_architecture_are_a_model_error(tmp_path):
    small_model().save_weights(tmp_path / "model.h5")
    with pytest.raises(ModelError, match=r"model\.h5: must hold a whole model\. Received: weights without the architecture"):
        load_model(tmp_path / "model.h5")
