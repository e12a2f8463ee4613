"""`convert` and `evaluate` on small models, the real converter included."""

import errno
from contextlib import contextmanager

import numpy as np
import pytest

from edgecompress.backend import keras, model_optimization
from edgecompress.device.runtime import TfliteModel
from edgecompress.errors import ConversionError, DataError, ModelError, RecipeError, StorageError
from edgecompress.models import save_model
from edgecompress.one_model import convert, evaluate, evaluation_table
from edgecompress.progress import Progress
from edgecompress.recipe import make_recipe


@pytest.fixture(autouse=True)
def probe_in_this_process(monkeypatch):
    """Runs a converted file once without a child process, which would take most of the tests' time."""

    def run_here(job, *, timeout_s):
        model = TfliteModel(job["model"])
        model.invoke([np.zeros(spec.shape, spec.dtype) for spec in model.inputs])

    monkeypatch.setattr("edgecompress.export.verify.run_job", run_here)


@pytest.fixture(scope="module")
def model_path(tmp_path_factory):
    """A Dense network of 4 inputs."""
    keras.utils.set_random_seed(0)
    path = tmp_path_factory.mktemp("models") / "dense.h5"
    save_model(keras.Sequential([keras.layers.Dense(3, activation="relu", input_shape=(4,)), keras.layers.Dense(2)]), path)
    return path


@pytest.fixture
def samples(tmp_path):
    """An .npz file with `x` alone."""
    np.savez(tmp_path / "calib.npz", x=np.random.default_rng(0).random((30, 4)))
    return tmp_path / "calib.npz"


class OneBar(Progress):
    """Counts bars, and refuses one inside another."""

    def __init__(self):
        self.names, self.depth = [], 0

    @contextmanager
    def task(self, name, total=None):
        self.depth += 1
        assert self.depth == 1, f"{name} is drawn over another bar"
        self.names.append(name)
        with super().task(name, total) as bar:
            yield bar
        self.depth -= 1


def test_int8_is_calibrated_on_inputs_alone(model_path, samples, tmp_path):
    progress = OneBar()
    found = convert(model_path, data=samples, out=tmp_path / "m.tflite", progress=progress)
    assert progress.names == ["converting to int8", "shrinking"]
    assert found["calibration"] == f"30 samples of {samples}, taken as they are"
    assert (found["path"], found["format"]) == (str(tmp_path / "m.tflite"), "int8")
    assert found["warnings"] == ["calibration has 30 samples; ranges want 100 or more"]
    model = TfliteModel(tmp_path / "m.tflite")
    assert found["bytes"] == (tmp_path / "m.tflite").stat().st_size
    assert model.inputs[0].dtype == "int8"
    assert model.inputs[0].scale == pytest.approx(1 / 255, rel=0.05)  # the samples are numbers from 0 to 1


def test_float32_does_not_look_at_data_and_lies_beside_the_model(model_path, samples):
    found = convert(model_path, format="float32", data=samples, preprocess={"scale": "nonsense"})
    assert found["path"] == str(model_path.with_suffix(".tflite"))
    assert found["calibration"] is None


def test_quantize_aware_model_needs_no_data(model_path, tmp_path):
    model = keras.models.load_model(model_path, compile=False)
    aware = model_optimization().quantization.keras.quantize_model(model)
    inputs = np.random.default_rng(0).random((64, 4)).astype(np.float32)
    aware.compile("sgd", "mse")
    aware.fit(inputs, np.zeros((64, 2)), verbose=0)
    save_model(aware, tmp_path / "aware.h5")
    found = convert(tmp_path / "aware.h5", format="int8")
    assert found["calibration"] is None
    assert TfliteModel(found["path"]).inputs[0].dtype == "int8"


@pytest.mark.parametrize("format", ["int8", "int16x8"])
def test_calibrated_formats_ask_for_data(model_path, format):
    with pytest.raises(DataError, match=f"format {format} needs real samples for calibration: name them with --data"):
        convert(model_path, format=format)


def test_missing_data_are_told_before_the_model_is_loaded(tmp_path):
    with pytest.raises(DataError, match=r"nothing\.npz: data must be an \.npz file or a folder of images\. Received: nothing is there"):
        convert(tmp_path / "no_model.h5", data=tmp_path / "nothing.npz")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"format": "float32", "io": "int8"}, r"export: io must be float32 for format float32; other types need int8\. Received: 'int8'"),
        (
            {"format": "float32", "runtime": "tflite-runtime"},
            r"target\.runtime: runtime must be ai-edge-litert, .* Received: 'tflite-runtime'\.",
        ),
        ({"format": "int5"}, r"export\.format: format must be one of .*Received: 'int5'\."),
    ],
)
def test_wrong_formats_are_the_user_s_fault(model_path, fields, words):
    with pytest.raises(RecipeError, match=words):
        convert(model_path, **fields)


def test_model_of_two_inputs_is_calibrated_on_arrays_of_their_names(tmp_path, samples):
    small, large = keras.Input((4,), name="small"), keras.Input((4,), name="large")
    save_model(keras.Model([small, large], keras.layers.Dense(1)(keras.layers.add([small, large]))), tmp_path / "two.h5")
    values = np.random.default_rng(0).choice([-1.0, -0.5, 0.5, 1.0], (30, 4))
    np.savez(tmp_path / "both.npz", small_train=values, large_train=100 * values)
    scales = {tensor["name"]: tensor["scale"] for tensor in convert(tmp_path / "two.h5", data=tmp_path / "both.npz")["inputs"]}
    # 255 steps over the range of each: an order of the file's own must not mix them up.
    assert [round(255 * scales[f"serving_default_{name}:0"]) for name in ("small", "large")] == [2, 200]
    with pytest.raises(DataError, match=r"must hold the array small or small_train\. Received: "):
        convert(tmp_path / "two.h5", data=samples)
    with pytest.raises(DataError, match=r"samples of several inputs must be arrays of an \.npz.* Received: scale, mean or std"):
        convert(tmp_path / "two.h5", data=tmp_path / "both.npz", preprocess={"scale": 2.0})


def test_runtime_that_is_too_old_is_told(model_path, tmp_path):
    with pytest.raises(
        ConversionError, match=r"Received: tflite-runtime==1\.1\.0, too old for FULLY_CONNECTED version 1 \(since 1\.5\.0\)"
    ):
        convert(model_path, format="float32", runtime="tflite-runtime==1.1.0", out=tmp_path / "m.tflite")
    assert not (tmp_path / "m.tflite").exists()


def test_open_input_shape_is_told_before_the_data_are_read(tmp_path):
    save_model(keras.Sequential([keras.layers.Conv2D(2, 3, input_shape=(None, None, 3))]), tmp_path / "open.h5")
    (tmp_path / "photos").mkdir()
    with pytest.raises(ConversionError, match="input shape must be fixed"):
        convert(tmp_path / "open.h5", data=tmp_path / "photos")


def test_model_is_never_overwritten_by_its_result(model_path):
    before = model_path.read_bytes()
    with pytest.raises(StorageError, match="must not be the model itself"):
        convert(model_path, format="float32", out=model_path)
    assert model_path.read_bytes() == before


def test_the_data_are_not_replaced_by_their_file(model_path, samples):
    before = samples.read_bytes()
    with pytest.raises(StorageError, match="must not be the model itself, nor its data"):
        convert(model_path, data=samples, out=samples)
    assert samples.read_bytes() == before


@pytest.mark.parametrize(("number", "words"), [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "the file system is read-only")])
def test_full_temporary_folder_is_no_fault_of_the_model(model_path, tmp_path, monkeypatch, number, words):
    def fail(*_, **__):
        raise OSError(number, "whatever the system says")

    monkeypatch.setattr("edgecompress.export.verify.tempfile.TemporaryDirectory", fail)
    with pytest.raises(StorageError, match=rf"^/.*: cannot be written: {words}"):
        convert(model_path, format="float32", out=tmp_path / "m.tflite")
    assert not (tmp_path / "m.tflite").exists()


def test_other_system_errors_are_a_refusal_of_the_converter(model_path, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr("edgecompress.export.verify.tempfile.TemporaryDirectory", fail)
    with pytest.raises(ConversionError, match="cannot be converted to float32"):
        convert(model_path, format="float32", out=tmp_path / "m.tflite")


RECIPE = {"name": "r", "data": {"source": "digits"}, "model": {"source": "builder", "name": "mlp"}}


def test_evaluate_wants_a_model_that_exists_before_it_reads_data(tmp_path, monkeypatch):
    monkeypatch.setattr("edgecompress.one_model.load_data", lambda *_, **__: pytest.fail("data were read"))
    with pytest.raises(ModelError, match=r"no\.tflite: must be a model: .* Received: nothing is there\."):
        evaluate(tmp_path / "no.tflite", make_recipe(RECIPE))


def test_evaluate_tells_of_a_file_that_cannot_run(tmp_path):
    (tmp_path / "m.tflite").write_bytes(b"\x1c\0\0\0TFL3" + bytes(100))
    with pytest.raises(ModelError, match=r"m\.tflite: cannot be run: "):
        evaluate(tmp_path / "m.tflite", make_recipe(RECIPE))


def test_evaluation_table_shows_single_numbers_and_the_name_as_it_is():
    from rich.console import Console

    console = Console(width=80)
    found = {"model": "runs/[a]/m.tflite", "num_test": 1000, "metrics": {"accuracy": 0.98765, "per_class": {"recall": [1.0]}}}
    with console.capture() as capture:
        console.print(evaluation_table(found))
    output = capture.get()
    assert "runs/[a]/m.tflite on 1,000 test samples" in output
    assert "0.9877" in output
    assert "per_class" not in output


def test_evaluation_table_does_not_round_small_errors_to_nothing():
    from rich.console import Console

    console = Console(width=80)
    with console.capture() as capture:
        console.print(evaluation_table({"model": "m.tflite", "num_test": 10, "metrics": {"mean_squared_error": 3.14159e-5}}))
    assert "3.142e-05" in capture.get()
