"""Each kind of task through the whole line: regression, multi-label, autoencoder, and exports other than int8."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

import edgecompress as ec
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
