"""Trainings that several devices share: the course of one device, for any size of the last batch, with keeps and resume.

TensorFlow makes devices of the processor once per process, so a program of its own does the trainings; it prints what the tests look at.
"""

import json
import os
import subprocess
import sys

import pytest

EXACT = 1e-6  # floats are added in another order
NOISE = 0.05  # of an accuracy on 144 samples, whose standard error is 0.02 here
LIMIT_S = 400

PROGRAM = """
import dataclasses, json, pathlib, sys, tempfile
from edgecompress.backend import keras, tf
import numpy as np

processor = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 3)

from edgecompress.data import load_data
from edgecompress.keeps import mask_of
from edgecompress.progress import Progress
from edgecompress.recipe.schema import Augment, Data, Preprocess, Task
from edgecompress.recipe.stages import Train
from edgecompress.stage import Context
from edgecompress.training import fit

folder = pathlib.Path(sys.argv[1])
layers = keras.layers


def data(batch_size, **settings):
    return load_data(Data(source="digits", preprocess=Preprocess(scale=1 / 16), batch_size=batch_size, **settings), Task(), seed=0)


def network(noisy):
    keras.utils.set_random_seed(3)
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(8, 3, activation="relu", name="conv", kernel_regularizer="l2", kernel_constraint="non_neg")(inputs)
    if noisy:
        x = layers.Dropout(0.2)(layers.BatchNormalization()(x))
    model = keras.Model(inputs, layers.Dense(10, name="logits")(layers.Flatten()(x)))
    kernel = model.get_layer("logits").kernel
    kernel.assign(np.where(np.abs(kernel.numpy()) < 0.05, 0, kernel.numpy()))
    return model


class Killed(Exception):
    pass


class Dying(Progress):
    def __init__(self, last):
        self.left = last

    def task(self, name, total=None):
        outer = self

        class Bar:
            def __enter__(self): return self
            def __exit__(self, *_): return False
            def advance(self, amount=1): pass
            def describe(self, words):
                outer.left -= 1
                if outer.left == 0:
                    raise Killed
        return Bar()


def trained(name, samples, noisy, progress=None, **train):
    model, place = network(noisy), folder / name
    place.mkdir(exist_ok=True)
    keep = mask_of("logits", "kernel", model.get_layer("logits").kernel.numpy())
    context = Context("01 test", samples, Task(), 1, None, (), place, progress or Progress(), lambda model: {})
    rows = fit(model, Train(**train), context, keeps=[keep])
    return {"rows": rows, "held": keep.held(model.get_layer("logits").kernel.numpy()),
            "constraint": bool((model.get_layer("conv").kernel.numpy() >= 0).all()),
            "weights": [weight.astype(float).ravel().tolist() for weight in model.get_weights()]}


found = {"num_train": len(data(100).train)}
for name, size in (("even", 100), ("one", 431)):
    samples = data(size, augment=Augment(shift=0.1)) if name == "one" else data(size)
    for strategy in (None, "mirrored"):
        found[f"{name} {strategy}"] = trained(
            f"{name}{strategy}", samples, False, epochs=3, schedule="cosine", class_weights="balanced", strategy=strategy
        )
train = {"epochs": 6, "learning_rate": 5e-3, "early_stop": 6}
for strategy in (None, "mirrored"):
    found[f"noisy {strategy}"] = trained(f"noisy{strategy}", data(50), True, strategy=strategy, **train)
try:
    trained("resumed", data(50), True, Dying(3), strategy="mirrored", **train)
    found["killed"] = False
except Killed:
    found["killed"] = True
found["resumed mirrored"] = trained("resumed", data(50), True, strategy="mirrored", **train)
found["frozen mirrored"] = trained("frozen", data(100), False, epochs=1, strategy="mirrored", freeze=["logits"])
found["start"] = [weight.astype(float).ravel().tolist() for weight in network(False).get_weights()]
(folder / "found.json").write_text(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What the program found on three devices that are one processor."""
    folder = tmp_path_factory.mktemp("replicas")
    subprocess.run([sys.executable, "-c", PROGRAM, str(folder)], check=True, timeout=LIMIT_S, env=os.environ.copy())
    return json.loads((folder / "found.json").read_text())


@pytest.mark.parametrize("case", ["even", "one"])  # one: the last of the batches holds one sample, so two devices have none
def test_three_devices_follow_the_course_of_one(found, case):
    one, three = found[f"{case} None"], found[f"{case} mirrored"]
    assert found["num_train"] % 431 == 1
    assert found["num_train"] % 100 % 3 != 0
    for row, other in zip(one["rows"], three["rows"], strict=True):
        assert row == pytest.approx(other, abs=EXACT)
    for weights, others in zip(one["weights"], three["weights"], strict=True):
        assert weights == pytest.approx(others, abs=EXACT)


def test_batch_normalization_and_dropout_stay_within_noise(found):
    one, three = (found[f"noisy {strategy}"]["rows"] for strategy in (None, "mirrored"))
    assert one[-1]["validation_accuracy"] > 0.85
    best = [max(row["validation_accuracy"] for row in rows) for rows in (one, three)]
    assert best[0] == pytest.approx(best[1], abs=NOISE)


@pytest.mark.parametrize("case", ["even", "noisy", "resumed"])
def test_keeps_and_constraints_of_the_model_hold_on_all_devices(found, case):
    assert found[f"{case} mirrored"]["held"]
    assert found[f"{case} mirrored"]["constraint"]


def test_shared_training_that_was_killed_goes_on_to_the_same_bits(found):
    assert found["killed"]
    assert found["resumed mirrored"] == found["noisy mirrored"]


def test_frozen_layers_stay_on_all_devices(found):
    moved = [before != after for before, after in zip(found["start"], found["frozen mirrored"]["weights"], strict=True)]
    assert moved == [True, True, False, False]
