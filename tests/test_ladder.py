"""`export: {format: auto}`: the cheapest rung that loses little enough; each ends as a recipe that does the same."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import yaml

import edgecompress as ec
from edgecompress.backend import keras
from edgecompress.cli import main
from edgecompress.errors import ConversionError, ModelError
from edgecompress.evaluation.layer_harm import LayerHarm
from edgecompress.evaluation.parity import LayerParity
from edgecompress.ladder import RUNGS, Means, _worst, climb, rungs_for
from edgecompress.recipe.schema import Export

RECIPE = """\
name: auto
data: {source: digits, preprocess: {scale: 1/16}}
model: {source: builder, name: cnn, width: 4, train: {epochs: 3}}
export: {format: auto, metric_drop: %s}
benchmark: null
"""


def harm(name, share):
    return LayerHarm(LayerParity((name,), name, 20.0, 1.0, 0.1, 1.0, 20.0), share, 20.0, 0.0, 0.0, 0.9)


@pytest.fixture
def climbing(small_model):
    """climbing(drops, limit, failing=...): a climb whose rung number n loses drops[n]; and what was done on the way."""

    def do(drops, limit, failing=(), **export):
        done, losses = [], iter(drops)

        def run(index, config, state):
            done.append((index, config.technique))
            if config.technique in failing:
                raise ModelError("no pair of layers to equalize")
            return SimpleNamespace(model=small_model), None

        def convert(state, export):
            done.append((export.ranges, dict(export.layers)) if export.format == "int8" else export.format)
            return None, b"file"

        def judge(content):
            drop = next(losses)
            return 0.9 - drop, drop

        def worst(state, conversion):
            return [harm("conv2", 0.3), harm("logits", 0.3), harm("conv1", 0.2)]

        means = Means(run, convert, judge, worst, lambda files: dict.fromkeys(files, 1.5), lambda line: None)
        return climb(Export(**export), limit, SimpleNamespace(model=small_model), 1, means), done

    return do


def test_worst_layers_are_those_with_a_kernel_whatever_else_makes_noise(small_model):
    harms = [replace(harm("", 0.55), parity=None), harm("add", 0.2), harm("conv2", 0.1), harm("logits", 0.08), harm("conv1", 0.07)]
    means = SimpleNamespace(worst=lambda state, conversion: harms)
    step = SimpleNamespace(state=SimpleNamespace(model=small_model), conversion=None)
    assert _worst(step, means) == ["conv2", "logits"]


def test_worst_layers_are_four_at_most_though_some_share_a_tensor():
    model = keras.Sequential([keras.Input((3,)), *(keras.layers.Dense(3, name=f"dense{number}") for number in range(7))])
    together = replace(harm("", 0.1), parity=replace(harm("", 0.1).parity, layers=("dense3", "dense4", "dense5")))
    means = SimpleNamespace(worst=lambda state, conversion: [
        harm("dense0", 0.1), harm("dense1", 0.1), together, harm("dense2", 0.1), harm("dense6", 0.1),
    ])  # fmt: skip
    assert _worst(SimpleNamespace(state=SimpleNamespace(model=model), conversion=None), means) == ["dense0", "dense1", "dense3", "dense4"]


def test_layers_whose_kernel_the_file_does_not_keep_apart_are_not_left_in_float():
    model = keras.Sequential([keras.Input((5,)), keras.layers.Embedding(9, 4, name="words"), keras.layers.Dense(2, name="last")])
    means = SimpleNamespace(worst=lambda state, conversion: [harm("words", 0.8), harm("last", 0.2)])
    assert _worst(SimpleNamespace(state=SimpleNamespace(model=model), conversion=None), means) == ["last"]


def test_first_rung_that_loses_little_enough_is_taken(climbing):
    climbed, done = climbing([0.03, 0.02, 0.004, 0.0], 0.005)
    assert [rung.name for rung in climbed.tried] == [rung.name for rung in RUNGS[:3]]
    assert [(rung.met, rung.chosen, rung.p50_ms) for rung in climbed.tried] == [(False, False, 1.5)] * 2 + [(True, True, 1.5)]
    assert climbed.met
    assert done == [("min_max", {}), ("mse", {}), (1, "equalize"), (2, "correct_bias"), ("mse", {})]


def test_layers_that_make_half_of_the_noise_stay_in_float_on_the_best_rung(climbing):
    climbed, done = climbing([0.02, 0.03, 0.04, 0.05, 0.001], 0.005)
    assert done[-1] == ("min_max", {"conv2": "float32", "logits": "float32"})
    assert done[-2] == ("mse", {})  # the first rung was the best one: no stage runs before it
    assert climbed.step.export.layers == {"conv2": "float32", "logits": "float32"}


def test_float_activations_come_right_before_the_training_where_the_recipe_takes_them(climbing):
    climbed, done = climbing([0.02, 0.03, 0.04, 0.05, 0.03, 0.001], 0.005, io="float32", ranges="mse")
    assert done[-1] == "dynamic"
    assert climbed.step.export.format == "dynamic"
    assert climbed.tried[-1].export == {"format": "dynamic", "ranges": "min_max"}
    assert climbed.step.configs == ()


@pytest.mark.parametrize(
    ("export", "taken"),
    [
        ({"io": "float32"}, True), ({"io": "float32", "kernels": "per_tensor"}, False), ({"io": "float32", "also": "c_array"}, False),
        ({"io": "uint8"}, False), ({}, False),
    ],
)  # fmt: skip
def test_float_activations_are_left_out_where_they_do_not_fit(export, taken):
    left_out = [rung for rung in RUNGS if rung not in rungs_for(Export(**export))]
    assert [rung for rung in left_out if rung.float_ends] == [rung for rung in RUNGS if rung.float_ends and not taken]


@pytest.mark.parametrize("export", [{}, {"also": "c_array"}, {"edgetpu": True}, {"kernels": "per_tensor"}, {"io": "float32"}])
def test_every_rung_is_an_export_that_the_recipe_may_have(export):
    start = Export(format="auto", **export).start
    rungs = rungs_for(start)
    for rung in rungs:
        layers = {"layers": {"conv": "float32"}} if rung.worst_in_float else {}
        Export.model_validate(start.model_dump() | dict(rung.export) | layers)
    assert any(rung.worst_in_float for rung in rungs) == (not {"also", "edgetpu"} & export.keys())


def test_without_a_rung_that_is_good_enough_the_least_loss_is_taken(climbing):
    climbed, _ = climbing([0.05, 0.02, 0.03, 0.04, 0.05, 0.06], 0.005)
    assert not climbed.met
    assert [rung.chosen for rung in climbed.tried] == [False, True, False, False, False, False]


def test_rung_that_fails_is_left_out_with_the_reason(climbing):
    climbed, _ = climbing([0.05, 0.03, 0.001], 0.005, failing=("equalize",))
    assert [rung.error for rung in climbed.tried] == ["", "", *["no pair of layers to equalize"] * 2, ""]
    assert climbed.tried[-1].chosen


def test_first_rung_that_fails_is_an_error(small_model):
    def convert(state, export):
        raise ConversionError("no")

    means = Means(None, convert, None, None, None, lambda line: None)
    with pytest.raises(ConversionError):
        climb(Export(), 0.005, SimpleNamespace(model=small_model), 1, means)


@pytest.mark.parametrize("io", ["int8", "float32"])
def test_run_ends_with_a_recipe_that_gives_the_same_file(tmp_path, io):
    """No loss is small enough, unless a rung loses none."""
    (tmp_path / "auto.yaml").write_text((RECIPE % "0").replace("format: auto", f"format: auto, io: {io}"))
    run = ec.run(tmp_path / "auto.yaml", out=tmp_path / "auto", quiet=True)
    ladder = run.report.ladder
    assert [rung.name for rung in ladder] == [rung.name for rung in rungs_for(Export(io=io))][: len(ladder)]
    (chosen,) = (rung for rung in ladder if rung.chosen)
    assert chosen.drop == min(rung.drop for rung in ladder if rung.drop is not None) or chosen.met
    assert [stage.technique for stage in run.report.stages[1:]] == chosen.stages
    lock = yaml.safe_load((tmp_path / "auto" / "recipe.lock.yaml").read_text())
    assert lock["export"]["format"] == chosen.export.get("format", "int8")
    again = ec.run(tmp_path / "auto" / "recipe.lock.yaml", out=tmp_path / "again", quiet=True)
    assert again.tflite_path.read_bytes() == run.tflite_path.read_bytes()
    assert "Ways to 8 bits" in (tmp_path / "auto" / "report.html").read_text()


@pytest.mark.parametrize(
    ("export", "words"),
    [
        ("{format: int8, metric_drop: 0.01}", "metric_drop must be absent for format int8"),
        ("{format: auto, layers: {conv1: int4}}", "layers must be absent for format auto"),
    ],
)
def test_fields_that_do_not_fit_are_refused(tmp_path, capsys, export, words):
    (tmp_path / "bad.yaml").write_text(RECIPE.replace("{format: auto, metric_drop: %s}", export))
    assert main(["check", str(tmp_path / "bad.yaml")]) == 2
    assert words in capsys.readouterr().err


def test_quantize_aware_training_is_a_rung_of_its_own(tmp_path, capsys):
    (tmp_path / "bad.yaml").write_text(RECIPE % "0.01" + "stages: [{quantize_aware: {train: {epochs: 1}}}]\n")
    assert main(["check", str(tmp_path / "bad.yaml")]) == 2
    assert "format must be int8 after quantize_aware" in capsys.readouterr().err
