"""The way of a user with a model of their own, command by command: init, check, plan, convert, evaluate, run, compare, benchmark."""

import json

import numpy as np
import pytest

from edgecompress.backend import keras
from edgecompress.cli import main
from edgecompress.models import save_model

QUICK = ["--set", "stages=[]", "--set", "benchmark.runs=50", "--set", "goal={}", "--quiet"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a trained model of the digits, its samples, and the recipe that `init` writes for them."""
    from sklearn.datasets import load_digits

    folder = tmp_path_factory.mktemp("mine")
    digits = load_digits()
    x, y = (digits.images[..., None] / 16).astype(np.float32), digits.target
    np.savez(folder / "digits.npz", x=x, y=y)
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential([layers.Flatten(input_shape=(8, 8, 1)), layers.Dense(32, "relu"), layers.Dense(10, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x, y, epochs=5, verbose=0)
    save_model(model, folder / "model.h5")
    return folder


@pytest.fixture(scope="module")
def recipe(place):
    path = place / "recipe.yaml"
    assert main(["init", str(place / "model.h5"), "--data", str(place / "digits.npz"), "-o", str(path)]) == 0
    path.write_text(path.read_text().replace("scale: 1/255", "scale: 1"))  # the samples are scaled already
    return str(path)


@pytest.fixture(scope="module")
def runs(place, recipe):
    """Two finished runs: int8 and float32."""
    for name in ("int8", "float32"):
        arguments = ["run", recipe, *QUICK, "--set", f"export={{format: {name}}}", "--out", str(place / name)]
        assert main(arguments) == 0
    return [str(place / "int8"), str(place / "float32")]


def answer(capsys, *arguments, codes=(0,)):
    """The JSON object of a command that ends with one of the codes."""
    capsys.readouterr()
    assert main([*arguments]) in codes
    return json.loads(capsys.readouterr().out)


def test_starter_recipe_is_checked_and_planned(recipe, capsys):
    assert answer(capsys, "check", recipe, "--json")["recipes"][0]["recipe"]["model"]["path"].endswith("model.h5")
    planned = answer(capsys, "plan", recipe, "--json")
    assert [stage["technique"] for stage in planned["stages"]] == ["baseline", "prune_weights", "quantize_aware"]


def test_converted_file_is_as_good_as_its_model(place, recipe, capsys):
    file = str(place / "converted.tflite")
    made = answer(capsys, "convert", str(place / "model.h5"), "--data", str(place / "digits.npz"), "-o", file, "--json")
    assert (made["path"], made["format"], made["calibration"] is not None) == (file, "int8", True)
    accuracy = {path: answer(capsys, "evaluate", path, recipe, "--json")["metrics"]["accuracy"] for path in (file, str(place / "model.h5"))}
    assert min(accuracy.values()) > 0.8
    assert abs(accuracy[file] - accuracy[str(place / "model.h5")]) < 0.02  # 359 samples: 8 bits may flip a few


def test_model_file_is_opened_once_in_a_run(recipe, tmp_path, monkeypatch):
    from edgecompress.techniques import baseline

    opened, read = [], baseline.read_model
    monkeypatch.setattr(baseline, "read_model", lambda path, **options: (opened.append(path), read(path, **options))[1])
    assert main(["run", recipe, *QUICK, "--set", "export={format: float32}", "--out", str(tmp_path / "run")]) == 0
    assert len(opened) == 1


def test_runs_are_compared_and_exit_code_six_says_what_is_not_ranked(runs, capsys):
    found = answer(capsys, "compare", *runs, "--json", codes=(0, 6))  # a busy machine is a reason not to rank latencies
    int8, float32 = found["runs"]
    assert int8["bytes"] < float32["bytes"]
    assert {"accuracy"} <= set(int8["metrics"])
    assert main(["compare", *runs]) == (6 if found["not_ranked"] else 0)
    output = capsys.readouterr()
    assert output.err.splitlines() == found["not_ranked"]
    assert not any("Metrics" in reason for reason in found["not_ranked"])


def test_run_folder_is_measured_and_reported_again(runs, capsys):
    entries = answer(capsys, "benchmark", runs[0], "--runs", "50", "--json", "-")["benchmark"]
    assert {entry["model"] for entry in entries} == {"final", "plain", "baseline"}
    assert all(entry["p50_ms"] > 0 for entry in entries)
    assert main(["report", runs[0]]) == 0


OWN_MODEL = """
from width import WIDTH
from edgecompress.backend import keras

def make():
    layers = keras.layers
    return keras.Sequential([layers.Flatten(input_shape=(8, 8, 1)), layers.Dense(WIDTH, "relu"), layers.Dense(10, "softmax")])
"""


@pytest.fixture
def own_model(tmp_path):
    """Options that put a function of the user's own in the place of the model; its file imports another beside it."""
    (tmp_path / "network.py").write_text(OWN_MODEL)
    (tmp_path / "width.py").write_text("WIDTH = 16\n")
    return ["--set", f"model={{source: python, path: '{tmp_path / 'network.py'}:make', train: {{epochs: 5, learning_rate: 0.01}}}}"]


def test_model_of_a_function_is_trained_and_delivered(recipe, own_model, tmp_path, capsys):
    arguments = ["run", recipe, *own_model, *QUICK, "--out", str(tmp_path / "run"), "--allow-code"]
    report = answer(capsys, *arguments, "--json")
    assert report["stages"][0]["parameters"] == (64 + 1) * 16 + (16 + 1) * 10
    assert report["metrics"]["final"]["tflite"]["accuracy"] > 0.5  # chance is 0.1
    assert report["artifact"]["format"] == "int8"
    assert answer(capsys, *arguments, "--json")["stages"][0]["cached"]
    (tmp_path / "network.py").write_text(OWN_MODEL + "# changed\n")
    assert not answer(capsys, *arguments, "--json")["stages"][0]["cached"]


@pytest.mark.parametrize("command", ["run", "plan", "sensitivity"])
def test_model_of_a_function_runs_only_with_leave(recipe, own_model, command, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "network.py").write_text("open('ran', 'w').close()\n" + OWN_MODEL)
    assert main([command, recipe, *own_model]) == 2
    error = capsys.readouterr().err
    assert "network.py:make is code that would run here. If you trust it, allow it with --allow-code." in error
    assert "Traceback" not in error
    assert not (tmp_path / "ran").exists()


BAD = {
    "missing model": (["inspect", "modle.h5"], "Did you mean 'model.h5'?"),
    "missing model to convert": (["convert", "modle.h5"], "Did you mean 'model.h5'?"),
    "missing samples": (["convert", "model.h5", "--data", "digit.npz"], "Did you mean 'digits.npz'?"),
    "samples of another shape": (["convert", "model.h5", "--data", "wide.npz"], "must have the model's input shape"),
    "wrong runtime": (["convert", "model.h5", "--format", "float32", "--runtime", "tflite==2"], "target.runtime: runtime must be"),
    "a file of text": (["evaluate", "notes.txt", "recipe.yaml"], "Received: a file of another or damaged format."),
    "missing recipe": (["evaluate", "model.h5", "recepi.yaml"], "Did you mean 'recipe.yaml'?"),
    "a .tflite to start from": (["init", "small.tflite", "-o", "other.yaml"], "a TensorFlow Lite file, which cannot be trained"),
    "missing run": (["compare", "int8", "flaot32"], "Did you mean 'float32'?"),
    "a folder that is no run": (["benchmark", "."], "a run folder must hold model.tflite"),
    "one run": (["compare", "int8"], "compare needs two runs or more"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_exit_code_two_and_one_line(place, recipe, runs, case, capsys, monkeypatch):
    monkeypatch.chdir(place)
    (place / "notes.txt").write_text("no model\n")
    (place / "small.tflite").write_bytes(b"\x1c\0\0\0TFL3")
    np.savez(place / "wide.npz", x=np.random.default_rng(0).random((9, 9, 9, 1)))
    before = sorted(path.name for path in place.iterdir())
    arguments, words = BAD[case]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error
    assert case == "one run" or error.count("\n") == 1  # that one is Typer's own, with the usage above it
    assert sorted(path.name for path in place.iterdir()) == before
