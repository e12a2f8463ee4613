"""A user's own loss and metrics: they do what built-in ones do, need leave, are tried before any training, and are in the stage's key."""

import pytest

import edgecompress as ec
from edgecompress.errors import RecipeError
from edgecompress.recipe import make_recipe
from edgecompress.runs import run_recipe

CODE = """
import numpy as np
import tensorflow as tf
from scales import SCALE

def crossentropy(labels, outputs):
    return SCALE * tf.nn.sparse_softmax_cross_entropy_with_logits(labels, outputs)

def squares(targets, outputs):
    return tf.reduce_mean(tf.square(targets - outputs), axis=tuple(range(1, outputs.shape.rank)))

def right(labels, outputs):
    return outputs.argmax(axis=1) == labels

def error(targets, outputs):
    return np.square(targets - outputs).mean(axis=1)

def one_number(targets, outputs):
    return 0.5

def scalar(targets, outputs):
    return tf.reduce_mean(outputs)

def raises(targets, outputs):
    raise KeyError("colour")

def constant(targets, outputs):
    return tf.ones(tf.shape(outputs)[0])

def no_number(targets, outputs):
    return np.full(len(outputs), np.nan)
"""


@pytest.fixture
def code(tmp_path):
    """A file of functions, and one beside it that it imports."""
    (tmp_path / "mine.py").write_text(CODE)
    (tmp_path / "scales.py").write_text("SCALE = 1.0\n")
    return tmp_path / "mine.py"


def digits_recipe(task, **model):
    return make_recipe({
        "name": "own", "data": {"source": "digits", "preprocess": {"scale": 1 / 16}}, "task": task, "export": {"format": "int8"},
        "model": {"source": "builder", "name": "mlp", "width": 16, "train": {"epochs": 3, "learning_rate": 3e-3}} | model,
        "stages": [ec.PruneNeurons(parameters=0.7, criterion="taylor", train=ec.Train(epochs=1))], "benchmark": None,
    })  # fmt: skip


def own_metric(code, function, *, rises=True):
    return {"function": f"{code}:{function}", "rises": rises}


def test_own_functions_do_what_the_built_in_ones_do(code, tmp_path):
    known = run_recipe(digits_recipe({"metrics": ["accuracy"]}), out=tmp_path / "known").report
    task = {"own_loss": f"{code}:crossentropy", "metrics": ["right", "accuracy"], "own_metrics": {"right": own_metric(code, "right")}}
    own = run_recipe(digits_recipe(task), out=tmp_path / "own", allow_code=True).report
    for name in ("baseline", "plain", "final"):
        found = own.metrics[name]["tflite"]
        assert found["right"] == found["accuracy"] == known.metrics[name]["tflite"]["accuracy"]
    assert own.artifact.bytes == known.artifact.bytes
    assert (own.verdict.metric, own.verdict.direction) == ("right", "rises")
    assert (
        own.verdict.test.model_dump() == known.verdict.test.model_dump()
    )  # values of 0 and 1 go through McNemar's test, whoever gives them
    epochs = [stage.training for stage in (own.stages[0], known.stages[0])]
    assert [epoch["validation_right"] for epoch in epochs[0]] == pytest.approx([epoch["validation_accuracy"] for epoch in epochs[1]])


def test_an_autoencoder_has_own_functions_too(code, tmp_path):
    task = {
        "loss": "mean_squared_error", "target": "input", "own_loss": f"{code}:squares", "metrics": ["error", "mean_squared_error"],
        "own_metrics": {"error": own_metric(code, "error", rises=False)},
    }  # fmt: skip
    recipe = digits_recipe(task, name="autoencoder").model_copy(update={"stages": []})
    report = run_recipe(recipe, out=tmp_path / "run", allow_code=True).report
    found = report.metrics["final"]["tflite"]
    assert found["error"] == pytest.approx(found["mean_squared_error"])
    assert report.verdict.direction == "falls"


def test_without_leave_nothing_runs(code, tmp_path):
    code.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n{CODE}")
    with pytest.raises(RecipeError, match=r"task\.own_loss: .*mine\.py:squares is code that would run here\..* --allow-code"):
        run_recipe(digits_recipe({"own_loss": f"{code}:squares"}), out=tmp_path / "run")
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "run").exists()


METRICS = [
    ("one_number", r"must give one number per sample, an array of shape \[8\]\. Received: \[\]"),
    ("raises", r"must run without an error\. Received: KeyError: 'colour'"),
    ("absent", r"must have a function 'absent'\. Received: .*right"),
]
LOSSES = [
    ("scalar", r"must give one number per sample, a tensor of shape \[b\]\. Received: \[\]"),
    ("raises", r"must run without an error\. Received: KeyError: 'colour'"),
    ("constant", r"must be differentiable by its outputs\. Received: no gradient"),
]


@pytest.mark.parametrize(
    ("fields", "words"),
    [({"metrics": ["mine"], "own_metrics": {"mine": name}}, words) for name, words in METRICS]
    + [({"own_loss": name}, words) for name, words in LOSSES],
)
def test_a_mistake_is_found_before_any_training(code, tmp_path, fields, words):
    if "own_loss" in fields:
        task = {"own_loss": f"{code}:{fields['own_loss']}"}
    else:
        task = fields | {"own_metrics": {"mine": own_metric(code, fields["own_metrics"]["mine"])}}
    with pytest.raises(RecipeError, match=words):
        run_recipe(digits_recipe(task), out=tmp_path / "run", allow_code=True)
    assert not (tmp_path / "run").exists()


def test_changed_code_is_another_training_even_beside_the_file(code, tmp_path):
    recipe = digits_recipe({"own_loss": f"{code}:crossentropy"}).model_copy(update={"stages": []})

    def cached():
        return run_recipe(recipe, out=tmp_path / "run", allow_code=True).report.stages[0].cached

    assert [cached(), cached()] == [False, True]
    (code.parent / "scales.py").write_text("SCALE = 2.25\n")
    assert [cached(), cached()] == [False, True]


def test_compress_takes_the_caller_s_functions(code):
    from edgecompress.data import load_data
    from edgecompress.models.builders import build_model
    from edgecompress.recipe.schema import BuilderModel, Data, Preprocess, Task

    data = load_data(Data(source="digits", preprocess=Preprocess(scale=1 / 16)), Task(), seed=0)
    model = build_model(BuilderModel(source="builder", name="mlp", width=8), (8, 8, 1), 10, seed=0)
    task = {"own_loss": f"{code}:crossentropy", "metrics": ["right"], "own_metrics": {"right": own_metric(code, "right")}}
    run = ec.compress(model, data.test.arrays(), task=task, benchmark=None, quiet=True)
    assert 0 <= run.report.metrics["final"]["tflite"]["right"] <= 1
