"""Sensitivity: measured once, kept through a kill, and never a curve that rises."""

import json
from pathlib import Path

import numpy as np
import pytest

import edgecompress as ec
from edgecompress.backend import keras
from edgecompress.cli import main
from edgecompress.errors import RecipeError
from edgecompress.progress import Progress
from edgecompress.sensitivity import Curve, Sensitivity, Unit, measure

RECIPE = Path(__file__).parent / "small_recipe.yaml"


class Killed(Exception):
    pass


@pytest.fixture
def model():
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])


def run(model, file, calls, stop_after=None, depends_on=(), shared=None):
    """Two units whose change is a number: its level, and ten times that."""

    def evaluate(changed):
        if stop_after is not None and len(calls) == stop_after:
            raise Killed
        calls.append(changed)
        return 1.0 if changed is model else 1.0 - changed

    units = [Unit("a", (0.25, 0.5), lambda level: level), Unit("b", (0.5,), lambda level: 10 * level)]
    return measure(
        units, model, evaluate, metric="accuracy", rises=True, file=file, shared=shared, depends_on=list(depends_on),
        progress=Progress(),
    )  # fmt: skip


def test_each_level_is_measured_alone(model, tmp_path):
    calls = []
    found = run(model, tmp_path / "s.json", calls)
    assert found == Sensitivity("accuracy", True, 1.0, (Curve("a", (0.25, 0.5), (0.75, 0.5)), Curve("b", (0.5,), (-4.0,))))
    assert calls == [model, 0.25, 0.5, 5.0]


@pytest.mark.parametrize("of", [None, "bits"])
def test_what_was_taken_away_is_carried(model, tmp_path, of):
    unit = Unit("a", (0.75,), lambda level: level)
    found = measure(
        [unit], model, lambda _: 1.0, metric="accuracy", rises=True, file=tmp_path / "s.json", depends_on=[], progress=Progress(), of=of
    )
    assert found.to_dict()["of"] == of


def test_a_killed_measurement_goes_on_and_a_finished_one_is_not_repeated(model, tmp_path):
    with pytest.raises(Killed):
        run(model, tmp_path / "s.json", [], stop_after=2)
    calls = []
    found = run(model, tmp_path / "s.json", calls)
    assert calls == [0.5, 5.0]
    assert run(model, tmp_path / "s.json", calls) == found
    assert len(calls) == 2


def test_lines_that_share_a_folder_measure_once_and_each_model_keeps_its_own(model, tmp_path):
    calls = []
    first = run(model, tmp_path / "one.json", calls, shared=tmp_path / "curves")
    assert run(model, tmp_path / "two.json", calls, shared=tmp_path / "curves") == first
    assert len(calls) == 4
    model.set_weights([weight + 1 for weight in model.get_weights()])
    run(model, tmp_path / "one.json", calls, shared=tmp_path / "curves")
    assert len(calls) == 8
    assert len(list((tmp_path / "curves").glob("*.json"))) == 2
    assert not (tmp_path / "one.json").exists()


@pytest.mark.parametrize("damage", ["weights", "data", "file"])
def test_what_belongs_to_another_model_or_data_is_measured_anew(model, tmp_path, damage):
    file, calls = tmp_path / "s.json", []
    run(model, file, [])
    if damage == "weights":
        model.set_weights([weight + 1 for weight in model.get_weights()])
    if damage == "file":
        file.write_text(file.read_text()[:40])
    run(model, file, calls, depends_on=["other"] if damage == "data" else [])
    assert len(calls) == 4


@pytest.mark.parametrize(
    ("rises", "metrics", "losses"), [(True, (0.8, 0.95, 0.5), [0.1, 0.1, 0.4]), (False, (0.8, 1.0, 0.85), [0, 0.1, 0.1])]
)
def test_losses_are_never_negative_and_never_fall(rises, metrics, losses):
    curve = Curve("a", (0.25, 0.5, 0.75), metrics)
    assert Sensitivity("m", rises, 0.9, (curve,)).losses(curve) == pytest.approx(np.array(losses))


def test_the_command_measures_every_group_and_draws_it(tmp_path, capsys):
    command = ["sensitivity", str(RECIPE), "--set", "model.train.epochs=1", "--out", str(tmp_path), "--quiet"]
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["metric"], found["of"]) == ("accuracy", "channels")
    assert {curve["name"] for curve in found["curves"]} == {"conv1", "conv2", "conv3", "conv4", "dense1"}
    assert all(0 <= value <= 1 for curve in found["curves"] for value in curve["metrics"])
    page = (tmp_path / "sensitivity.html").read_text()
    assert "<svg" in page
    assert all(curve["name"] in page for curve in found["curves"])


def test_bits_of_each_layer_are_measured(tmp_path, capsys):
    command = ["sensitivity", str(RECIPE), "--of", "bits", "--set", "model.train.epochs=1", "--out", str(tmp_path), "--quiet"]
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {curve["name"] for curve in found["curves"]} == {"conv1", "conv2", "conv3", "conv4", "dense1", "logits"}
    assert all(curve["levels"] == [0.75, 0.8125, 0.875, 0.90625, 0.9375] for curve in found["curves"])
    assert all(abs(curve["metrics"][0] - found["whole"]) < 0.03 for curve in found["curves"])  # 8 bits of one layer: a few samples at most
    assert found["of"] == "bits"
    assert "bits of their weights" in (tmp_path / "sensitivity_bits.html").read_text()


def test_folders_may_be_text_and_what_is_taken_away_is_checked_first(tmp_path, monkeypatch):
    def stop(recipe, store, *_, **__):
        raise Killed(str(store.path))

    monkeypatch.setattr("edgecompress.pipeline.prepare", stop)
    for door in (ec.measure_sensitivity, ec.check_calibration):
        with pytest.raises(Killed, match="run"):
            door(RECIPE, out=str(tmp_path / "run"))
    with pytest.raises(RecipeError, match=r"of must be one of channels, bits\. Received: 'bit'\. Did you mean 'bits'\?"):
        ec.measure_sensitivity(RECIPE, of="bit", out=tmp_path / "none")
    assert not (tmp_path / "none").exists()
