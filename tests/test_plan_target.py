"""A target runtime that is too old for the file is told before anything is trained."""

import pytest

import edgecompress as ec
from edgecompress.backend import keras
from edgecompress.errors import ConversionError
from edgecompress.models import save_model
from edgecompress.plan import plan
from edgecompress.recipe import make_recipe

OLD = "tflite-runtime==2.14.0"


@pytest.fixture(scope="module")
def softplus(tmp_path_factory):
    """A classifier of the digits with a softplus, whose LOG needs version 2 in integers, and version 1 in float."""
    path = tmp_path_factory.mktemp("models") / "softplus.h5"
    layers = keras.layers
    save_model(
        keras.Sequential([layers.Flatten(input_shape=(8, 8, 1)), layers.Dense(8), layers.Activation("softplus"), layers.Dense(10)]), path
    )
    return str(path)


def recipe(path, **changes):
    values = {"name": "r", "data": {"source": "digits"}, "model": {"source": "file", "path": path}, "target": {"runtime": OLD}}
    return make_recipe(values | changes)


def test_an_operator_that_is_too_new_stops_the_run_before_the_first_training(softplus, tmp_path, monkeypatch):
    monkeypatch.setattr("edgecompress.pipeline.run_baseline", lambda *_: pytest.fail("the baseline was made"))
    (tmp_path / "r.yaml").write_text(
        f"name: r\ndata: {{source: digits}}\nmodel: {{source: file, path: {softplus}, train: {{epochs: 1}}}}\ntarget: {{runtime: {OLD}}}\n"
    )
    with pytest.raises(ConversionError, match=r"target\.runtime .* Received: tflite-runtime==2\.14\.0, too old for LOG version 2"):
        ec.run(tmp_path / "r.yaml", out=tmp_path / "run", quiet=True)


@pytest.mark.parametrize(
    "changes",
    [
        {"target": {"runtime": "ai-edge-litert==2.3.0"}},
        {"target": {}},
        {"export": {"format": "float32"}},
        {"export": {"format": "dynamic"}},
        {"stages": [ec.QuantizeAware(skip=["type:Activation"], train=ec.Train(epochs=1))]},  # only its float operators are known before
    ],
)
def test_a_plan_that_fits_is_made(softplus, changes):
    assert plan(recipe(softplus, **changes)).name == "r"
