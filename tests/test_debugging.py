"""`debug` on real runs: the harmful layer first, what kind of error it makes, what to change."""

import json
import shutil

import pytest

from edgecompress.cli import main
from edgecompress.debugging import advise, debug_run
from edgecompress.evaluation.layer_harm import LayerHarm
from edgecompress.evaluation.parity import LayerParity
from edgecompress.recipe import load_recipe
from edgecompress.report.debug import debug_block


@pytest.fixture
def run(finished_run, tmp_path):
    shutil.copytree(finished_run, tmp_path / "run")
    return tmp_path / "run"


def harm(**changes):
    parity = LayerParity(("conv", "relu"), "t", 20.0, 0.99, 1.0, 3.0, 18.0)
    return LayerHarm(**{"parity": parity, "share": 0.5, "output_snr_db": 20.0, "shift": 0.0, "clipped": 0.0, "range_used": 0.9, **changes})


QUANTIZE_AWARE = "[{quantize_aware: {train: {epochs: 1}}}]"


def recipe(stages="[]", export="{format: int8}"):
    text = (
        "name: x\ndata: {source: digits}\nmodel: {source: builder, name: mlp, train: {epochs: 1}}\n"
        f"stages: {stages}\nexport: {export}\n"
    )
    return load_recipe("x.yaml", text=text)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"shift": 0.6}, "- correct_bias: conv + relu makes 50%"),
        ({"clipped": 0.02}, "data.calibration"),
        ({"range_used": 0.2}, "export.ranges"),
    ],
)
def test_each_kind_of_error_has_its_cure(changes, words):
    advice = advise([harm(**changes), harm(share=0.01)], 20.0, recipe(), {"conv"})
    assert advice[0].startswith(words)
    assert "quantize_aware" in advice[-1]


def test_what_the_recipe_has_is_not_advised_again():
    stages = "[{correct_bias: {}}, {quantize_aware: {train: {epochs: 1}}}]"
    assert "correct_bias" not in " ".join(advise([harm(shift=0.6)], 20.0, recipe(stages), {"conv"}))
    assert advise([harm(shift=0.6)], 45.0, recipe(), {"conv"}) == ("nothing: the output has 45.0 dB, which 8 bits seldom pass",)


def test_layer_without_a_cure_is_named_and_layers_that_round_alike_are_not():
    one, samples, _ = advise([harm(share=0.6), harm(share=0.3, parity=None), harm(share=0.05)], 20.0, recipe(), {"conv"})
    assert one == "export.layers: conv + relu makes 60% of the output's noise by its rounding: leave conv in float32"
    assert samples.startswith("the rounding of the samples themselves makes 30%")
    assert advise([harm(share=0.05)] * 20, 20.0, recipe(), {"conv"})[0] == "no layer stands out: all of them round alike"


@pytest.mark.parametrize(
    ("changes", "stages", "export", "choosable", "words"),
    [
        ({}, "[]", "{format: int8}", set(), "by its rounding: int16x8 rounds it less"),
        ({}, QUANTIZE_AWARE, "{format: int8}", {"conv"}, "by its rounding"),
        ({"range_used": 0.2}, QUANTIZE_AWARE, "{format: int8}", {"conv"}, "by its rounding"),
        ({}, "[]", "{format: int16x8}", {"conv"}, "by its rounding"),
        ({"range_used": 0.2}, "[]", "{format: int16x8}", {"conv"}, "by its rounding"),
        ({}, "[]", "{format: int8, edgetpu: true}", {"conv"}, "by its rounding"),
        ({}, "[]", "{format: int8, layers: {conv: float32}}", {"conv"}, "by its rounding"),
        ({"range_used": 0.2}, "[]", "{format: int8, ranges: mse}", set(), "by its rounding"),
    ],
)
def test_only_what_the_recipe_may_have_and_has_not_is_advised(changes, stages, export, choosable, words):
    advice = advise([harm(share=0.9, **changes)], 20.0, recipe(stages, export), choosable)
    assert advice[0] == f"conv + relu makes 90% of the output's noise {words}"


def test_run_is_compared_layer_by_layer(run, capsys):
    assert main(["debug", str(run), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["format"], found["num_samples"]) == ("int8", 32)
    assert found["trained"] == found["from_float"] == {}  # no quantize-aware training
    assert {"dense1", "logits"} <= {name for layer in found["layers"] for name in layer["name"].split(" + ")}
    assert [layer["share"] for layer in found["layers"]] == sorted((layer["share"] for layer in found["layers"]), reverse=True)
    assert "<svg" in (run / "debug.html").read_text()
    assert main(["debug", str(run)]) == 0
    assert "What to change in the recipe" in capsys.readouterr().out


def test_other_data_than_the_run_had_are_refused(run, capsys):
    lock = run / "recipe.lock.yaml"
    lock.write_text(lock.read_text().replace("seed: 0", "seed: 1"))
    assert main(["debug", str(run)]) == 2
    assert "the data must be those of the run" in capsys.readouterr().err


def test_folder_without_a_run_is_refused(tmp_path, capsys):
    assert main(["debug", str(tmp_path / "nothing")]) == 2
    assert "report.json" in capsys.readouterr().err
    assert not (tmp_path / "nothing").exists()


def test_quantize_aware_layers_are_compared_with_the_float_ones(tmp_path):
    import edgecompress as ec

    settings = {
        "model.name": "mlp",
        "model.train.epochs": 2,
        "benchmark": None,
        "goal": {},
        "stages": [{"quantize_aware": {"train": {"epochs": 1}}}],
    }
    folder = ec.run("builtin:quickstart.yaml", overrides=settings, out=tmp_path / "run", quiet=True).folder
    found = debug_run(str(folder))
    assert {"dense1", "logits"} <= set(found.trained)
    assert all(5 < found.trained[name] < 60 for name in ("dense1", "logits"))  # it moved with training, and is still the same network
    # the file is nearer to the model that it was made of than both are to the float model: so they are about as far from that
    assert all(abs(found.from_float[name] - found.trained[name]) < 2 for name in ("dense1", "logits"))
    assert set(found.to_dict()["from_float"]) == set(found.from_float)
    (table,) = debug_block(found.to_dict()).tables
    assert "Float to file, dB" in str(table)
