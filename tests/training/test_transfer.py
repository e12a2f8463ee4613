"""Transfer learning with two stages: the head alone, then all."""

import numpy as np
import pytest

import edgecompress as ec
from edgecompress.backend import keras
from edgecompress.models import save_model
from edgecompress.recipe import make_recipe
from edgecompress.record import load_model
from edgecompress.runs import run_recipe


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The run of a recipe on a model that was made elsewhere: stage 01 trains its head, stage 02 all of it."""
    folder = tmp_path_factory.mktemp("transfer")
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(8, 3, use_bias=False, name="body_conv")(inputs)
    x = keras.layers.ReLU(name="body_relu")(keras.layers.BatchNormalization(name="body_norm")(x))
    outputs = keras.layers.Dense(10, name="head")(keras.layers.Flatten(name="flatten")(x))
    save_model(keras.Model(inputs, outputs), folder / "model.h5")
    run_recipe(
        make_recipe({
            "name": "transfer", "benchmark": None, "data": {"source": "digits", "preprocess": {"scale": 1 / 16}, "limit": 400},
            "model": {"source": "file", "path": str(folder / "model.h5")},
            "stages": [ec.TrainStage(id="head", epochs=3, freeze=["body_*"]), ec.TrainStage(id="all", epochs=3, learning_rate=3e-4)],
        }),
        out=folder / "run",
    )  # fmt: skip
    return folder


def weights(folder, stage):
    model = load_model(folder / f"run/stages/{stage}/model.h5")
    return {variable.name: variable.numpy() for variable in model.weights}


def test_the_first_stage_trains_the_head_alone_and_the_second_all(folder):
    start, head, whole = (weights(folder, stage) for stage in ("00-baseline", "01-train", "02-train"))
    body = [name for name in start if name.startswith("body")]
    assert len(body) == 5  # the statistics of BatchNormalization too
    for name in start:
        assert np.array_equal(start[name], head[name]) == (name in body)
        assert not np.array_equal(head[name], whole[name])
