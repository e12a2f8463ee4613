"""Every recipe of the project runs, with small settings, and says what it reached."""

import hashlib
import json
import re
from pathlib import Path

import pytest
import yaml

import edgecompress as ec

FOLDER = Path(__file__).parent.parent / "recipes"
RECIPES = sorted(FOLDER.rglob("*.yaml"))


def small_settings(path):
    """One epoch everywhere and few samples."""
    written = yaml.safe_load(path.read_text())
    settings = {"benchmark": None, "goal": {}, "data.limit": 300}
    if "train" in written["model"]:
        settings["model.train.epochs"] = 1
    for index, stage in enumerate(written.get("stages", [])):
        fields = {} if isinstance(stage, str) else next(iter(stage.values()))
        if "train" in fields:
            settings[f"stages.{index}.train.epochs"] = 1
        if "end" in fields:
            settings[f"stages.{index}.end"] = 1
    return settings


def needs_code(path):
    """Whether the command in the header allows code, as a SavedModel needs it."""
    return "edgecompress run --allow-code" in path.read_text()


def baseline_of(path):
    """One name for all recipes that start from the same trained model: in one run folder they find it, and train it once."""
    written = yaml.safe_load(path.read_text())
    return hashlib.sha256(json.dumps([written["model"], written["data"]["source"]]).encode()).hexdigest()[:12]


@pytest.fixture(scope="session")
def shared_baselines(tmp_path_factory):
    return tmp_path_factory.mktemp("full_size")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_recipe_runs(path, tmp_path, request):
    if "EDGECOMPRESS_DATA" in path.read_text():
        request.getfixturevalue("data_folder")
    run = ec.run(path, overrides=small_settings(path), out=tmp_path / "run", quiet=True, allow_code=needs_code(path))
    assert run.tflite_path.stat().st_size == run.report.artifact.bytes
    assert all(keep.held for keep in run.report.stages[-1].keeps)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_header_says_what_it_reached_what_it_cost_and_when(path):
    header = "".join(line for line in path.read_text().splitlines(keepends=True) if line.startswith("#"))
    assert re.search(r"Measured \d{4}-\d{2}-\d{2}", header)
    assert re.search(r"accuracy \d+\.\d+ %|AUC 0\.\d+", header)
    assert re.search(r"\d[\d,]* bytes", header)
    assert re.search(r"Cost: .*(second|minute)", header)


@pytest.mark.full
@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_recipe_meets_its_goals_at_full_size(path, shared_baselines, request):
    if "EDGECOMPRESS_DATA" in path.read_text():
        request.getfixturevalue("data_folder")
    run = ec.run(path, out=shared_baselines / baseline_of(path), quiet=True, allow_code=needs_code(path))
    assert [goal.name for goal in run.report.goals if not goal.met] == []


def test_recipe_names_are_their_file_names():
    assert [yaml.safe_load(path.read_text())["name"] for path in RECIPES] == [path.stem for path in RECIPES]
