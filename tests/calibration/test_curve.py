"""How many calibration samples are enough."""

import json

import numpy as np
import pytest

import edgecompress as ec
from edgecompress.backend import keras
from edgecompress.calibration.curve import calibration_curve, enough
from edgecompress.cli import main
from edgecompress.progress import Progress
from edgecompress.recipe.schema import Export


@pytest.mark.parametrize(
    ("ratios", "expected"),
    [
        ([10, 20, 30, 30.2], 5),  # from 5 on within half a decibel of the last
        ([30, 20, 30, 30], 5),  # 1 was luck: 2 is not enough
        ([10, 20, 25, 30], 10),
        ([31, 32, 31, 30], 1),
    ],
)
def test_enough_is_where_the_curve_stays(ratios, expected):
    assert enough([1, 2, 5, 10], ratios) == expected


def test_numbers_whose_samples_are_all_alike_are_left_out(digits):
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])
    samples = digits.calibration.arrays()[0][:12].copy()
    order = np.random.default_rng(3).permutation(12)
    samples[order[:2]] = 0.0  # the two that come first
    curve = calibration_curve(
        model, Export(format="int8"), samples, digits.validation, seed=3, batch_size=64, progress=Progress()
    )  # fmt: skip
    assert curve.numbers == (5, 10, 12)


def test_layers_that_a_stage_makes_may_have_another_type(tmp_path):
    text = """\
name: made
data: {source: digits, calibration: 4, preprocess: {scale: 1/16}}
model: {source: builder, name: mlp, train: {epochs: 1}}
stages: [{factorize: {rank: 8, layers: [dense2]}}]
export: {format: int8, layers: {dense2_in: int4}}
"""
    (tmp_path / "recipe.yaml").write_text(text)
    assert ec.check_calibration(tmp_path / "recipe.yaml", out=tmp_path / "run").curve.numbers == (1, 2, 4)


def test_command_tries_numbers_of_samples(tmp_path, capsys):
    command = ["calibration", "builtin:quickstart.yaml", "--set", "model.train.epochs=2", "--set", "model.name=mlp"]
    command += ["--set", "data.calibration=20", "--out", str(tmp_path), "--quiet"]
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["numbers"] == [1, 2, 5, 10, 20]
    assert found["snr_db"][0] < found["snr_db"][-1]  # one sample shows a fraction of each range
    assert found["findings"] == ["calibration has 20 samples; ranges want 100 or more"]
    assert "<svg" in (tmp_path / "calibration.html").read_text()
    assert main(command) == 0
    assert "samples" in capsys.readouterr().out
