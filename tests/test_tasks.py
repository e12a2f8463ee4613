"""Each kind of task through the whole line: regression, multi-label, autoencoder, detection, several inputs, other exports than int8."""

import json

import numpy as np
import pytest
from sklearn.datasets import load_digits

import edgecompress as ec
from edgecompress.errors import DataError, ModelError
from edgecompress.one_model import evaluate
from edgecompress.recipe import make_recipe
from edgecompress.runs import run_recipe


@pytest.fixture(scope="module")
def arrays(tmp_path_factory):
    """The digits with labels that are values: the ink of an image, and whether it is even and above four."""
    digits = load_digits()
    folder = tmp_path_factory.mktemp("arrays")
    x = digits.images.astype(np.float32)[..., None] / 16
    np.savez(folder / "regression.npz", x=x, y=x.sum(axis=(1, 2)) / 8)
    np.savez(folder / "multi_label.npz", x=x, y=np.stack([digits.target % 2 == 0, digits.target > 4], axis=1).astype(np.float32))
    return folder


def run(tmp_path, data, builder, task, export, stages=()):
    recipe = make_recipe({
        "name": "task", "data": data, "task": task, "stages": list(stages), "export": {"format": export}, "benchmark": None,
        "model": {"source": "builder", "name": builder, "width": 32, "train": {"epochs": 8, "learning_rate": 3e-3}},
    })  # fmt: skip
    return run_recipe(recipe, out=tmp_path / "run").report


def test_regression(tmp_path, arrays):
    task = {"loss": "mean_squared_error", "metrics": ["mean_squared_error", "mean_absolute_error"]}
    report = run(tmp_path, {"source": "npz", "path": str(arrays / "regression.npz")}, "mlp", task, "float16")
    spread = float(np.var(np.load(arrays / "regression.npz")["y"]))
    assert report.metrics["final"]["tflite"]["mean_squared_error"] < 0.5 * spread
    assert report.verdict.direction == "falls"
    assert report.verdict.test.p_value_of == "sign-flip"


def test_multi_label(tmp_path, arrays):
    task = {"loss": "binary_crossentropy", "metrics": ["auc", "accuracy"]}
    data = {"source": "npz", "path": str(arrays / "multi_label.npz")}
    stages = [ec.PruneWeights(sparsity=0.5, train=ec.Train(epochs=2))]
    report = run(tmp_path, data, "mlp", task, "dynamic", stages)
    assert report.metrics["final"]["tflite"]["auc"] > 0.9
    assert report.verdict.metric == "auc"


def test_autoencoder(tmp_path):
    task = {"loss": "mean_squared_error", "metrics": ["mean_squared_error"], "target": "input"}
    data = {"source": "digits", "preprocess": {"scale": 1 / 16}}
    report = run(tmp_path, data, "autoencoder", task, "int8")
    final, baseline = (report.metrics[name]["tflite"]["mean_squared_error"] for name in ("final", "baseline"))
    assert final < 0.14  # the variance of a digit's pixels, what a constant output would give
    assert final < 1.1 * baseline


def test_int16_activations(tmp_path):
    report = run(tmp_path, {"source": "digits", "preprocess": {"scale": 1 / 16}}, "mlp", {}, "int16x8")
    assert report.metrics["final"]["tflite"]["accuracy"] > 0.8
    assert report.verdict.test.agreement > 0.99


def test_anomalies_are_told_by_the_reconstruction_error(tmp_path):
    task = {"loss": "mean_squared_error", "metrics": ["auc", "mean_squared_error"], "target": "input"}
    data = {"source": "digits", "preprocess": {"scale": 1 / 16}, "normal": ["0"], "batch_size": 16}
    report = run(tmp_path, data, "autoencoder", task, "int8", [ec.TrainStage(epochs=8, learning_rate=3e-3, early_stop=5)])
    assert report.metrics["final"]["tflite"]["auc"] > 0.95
    assert report.verdict.metric == "auc"
    # Errors are those of the normal samples: far below the variance of all digits' pixels.
    assert report.metrics["final"]["tflite"]["mean_squared_error"] < 0.06
    assert set(report.stages[-1].training[0]) == {
        "epoch", "loss", "mean_squared_error", "validation_loss", "validation_mean_squared_error", "learning_rate",
    }  # fmt: skip


@pytest.fixture(scope="module")
def two_inputs(tmp_path_factory):
    """A model and data of two inputs of one shape, far apart in size: the upper and the lower half of a digit."""
    from edgecompress.backend import keras
    from edgecompress.models import save_model

    keras.utils.set_random_seed(0)
    folder, digits = tmp_path_factory.mktemp("two"), load_digits()
    halves = digits.images[:, :4].astype(np.float32), 100 * digits.images[:, 4:].astype(np.float32)
    np.savez(folder / "data.npz", upper=halves[0], lower=halves[1], y=digits.target)
    inputs = [keras.Input((4, 8, 1), name="upper"), keras.Input((4, 8, 1), name="lower")]
    parts = [keras.layers.Conv2D(8, 3, activation="relu", name=f"conv_{x.name}")(x) for x in inputs]
    features = keras.layers.Dense(32, activation="relu", name="hidden")(keras.layers.Flatten()(keras.layers.Concatenate()(parts)))
    save_model(keras.Model(inputs, keras.layers.Dense(10, name="logits")(features)), folder / "model.h5")
    return folder


def test_several_inputs_go_through_the_whole_line(two_inputs, tmp_path):
    recipe = make_recipe({
        "name": "two", "export": {"format": "int8"}, "benchmark": {"runs": 50},
        "data": {
            "source": "npz", "path": str(two_inputs / "data.npz"), "batch_size": 32,
            "inputs": {"upper": {"scale": 1 / 16}, "lower": {"scale": 1 / 16}},
        },
        "model": {"source": "file", "path": str(two_inputs / "model.h5"), "train": {"epochs": 8}},
        "stages": [ec.PruneWeights(sparsity=0.4, train=ec.Train(epochs=2)), ec.QuantizeAware(train=ec.Train(epochs=1))],
    })  # fmt: skip
    report = run_recipe(recipe, out=tmp_path / "run").report
    final, plain = (report.metrics[name]["tflite"]["accuracy"] for name in ("final", "plain"))
    assert min(final, plain) > 0.9
    assert [entry.error for entry in report.benchmark] == [None] * 3  # golden outputs were compared
    assert report.warnings == []
    manifest = json.loads((tmp_path / "run/manifest.json").read_text())
    assert manifest["preprocess"]["lower"]["scale"] == 1 / 16
    names = manifest["input_names"]
    scales = dict(zip(names, (tensor["scale"] for tensor in manifest["inputs"]), strict=True))
    assert scales["lower"] > 50 * scales["upper"]  # each was calibrated on its own samples
    with np.load(tmp_path / "run/golden.npz") as golden:
        largest = {name: np.abs(golden[f"input_{names.index(name)}"].astype(float)).max() for name in names}
    assert set(largest) == {"upper", "lower"}
    again = evaluate(tmp_path / "run/model.tflite", recipe)
    assert again["metrics"]["accuracy"] == final


def test_a_model_of_several_inputs_needs_them_all(two_inputs, tmp_path):
    for inputs, message in ((["upper"], r"data\.inputs must have the names .*upper, lower\. Received: upper"), (None, "must hold x_train")):
        data = {"source": "npz", "path": str(two_inputs / "data.npz"), "inputs": inputs}
        recipe = make_recipe({"name": "one", "data": data, "model": {"source": "file", "path": str(two_inputs / "model.h5")}})
        with pytest.raises((DataError, ModelError), match=message):
            run_recipe(recipe, out=tmp_path / "run")


def test_compress_takes_arrays_of_several_inputs_and_sequences(two_inputs):
    from edgecompress.backend import keras
    from edgecompress.models import load_model

    with np.load(two_inputs / "data.npz") as file:
        samples = {"upper": file["upper"][..., None], "lower": file["lower"]}, file["y"]  # one with its channel axis, one without
        sequences = file["upper"] / 16, file["y"]
    settings = {"export": "float32", "benchmark": {"runs": 50}, "quiet": True}
    both = ec.compress(load_model(two_inputs / "model.h5"), samples, **settings)
    assert list(both.report.recipe["data"]["inputs"]) == ["upper", "lower"]
    layers = [keras.Input((4, 8)), keras.layers.Conv1D(4, 3, activation="relu"), keras.layers.Flatten(), keras.layers.Dense(10)]
    one = ec.compress(keras.Sequential(layers), sequences, **settings)
    assert one.report.artifact.inputs[0].shape == [1, 4, 8]
