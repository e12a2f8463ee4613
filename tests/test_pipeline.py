"""One folder, several calls: results never lie beside a recipe that did not make them."""

import shutil

import pytest

import edgecompress as ec
from edgecompress.delivery import RESULTS

RECIPE = """\
name: digits
data: {source: digits, preprocess: {scale: 1/16}}
model: {source: builder, name: mlp, train: {epochs: 1}}
export: {format: int8, io: float32, also: c_array}
benchmark: null
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "digits.yaml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="module")
def finished(recipe, tmp_path_factory):
    return ec.run(recipe, out=tmp_path_factory.mktemp("runs") / "run", quiet=True).folder


@pytest.fixture
def run(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


def results(folder):
    return {name: (folder / name).read_bytes() for name in RESULTS if (folder / name).exists()}


def test_run_of_another_recipe_that_fails_leaves_no_old_results_beside_the_new_recipe(recipe, run):
    assert results(run).keys() >= {"report.json", "report.md", "report.html", "manifest.json", "golden.npz", "model.tflite", "model.h"}
    with pytest.raises(ec.EdgeCompressError, match="the loss became"):
        ec.run(recipe, overrides={"model.train.learning_rate": 1e30, "model.train.epochs": 2}, out=run, quiet=True)
    assert results(run) == {}
    assert ec.load_recipe(run / "recipe.lock.yaml").model.train.epochs == 2


def test_run_of_the_same_recipe_that_fails_keeps_the_results(recipe, run, monkeypatch):
    before = results(run)

    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("edgecompress.pipeline.run_baseline", fail)
    with pytest.raises(KeyboardInterrupt):
        ec.run(recipe, out=run, quiet=True)
    assert results(run) == before


@pytest.mark.parametrize("measure", [ec.check_calibration, ec.measure_sensitivity], ids=["calibration", "sensitivity"])
def test_measurement_with_another_baseline_is_refused_where_a_run_is_finished(recipe, run, measure):
    before, lock = results(run), (run / "recipe.lock.yaml").read_bytes()
    other = ec.load_recipe(recipe, {"model.train.epochs": 2})
    with pytest.raises(ec.EdgeCompressError, match=r"must hold no finished run, or one with the baseline of this recipe\. Received"):
        measure(other, out=run)
    assert (results(run), (run / "recipe.lock.yaml").read_bytes()) == (before, lock)
    assert ec.run(recipe, out=run, quiet=True).report.stages[0].cached


def test_measurement_of_the_same_baseline_leaves_the_recipe_of_the_run(recipe, run):
    lock = (run / "recipe.lock.yaml").read_bytes()
    ec.check_calibration(ec.load_recipe(recipe, {"stages": ["merge_linear"]}), out=run)
    assert (run / "recipe.lock.yaml").read_bytes() == lock
    assert (run / "calibration.html").exists()
