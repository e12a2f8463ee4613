"""The JSON schema agrees with the loader, on what it can see."""

from pathlib import Path

import pytest

from edgecompress.recipe import dump_recipe, load_recipe
from edgecompress.recipe.builtin import builtin_folder
from edgecompress.recipe.describe import describe_techniques
from edgecompress.recipe.json_schema import recipe_json_schema
from edgecompress.recipe.nodes import to_plain
from edgecompress.recipe.starter import SOUND, TEMPLATE
from edgecompress.recipe.yaml_reader import read_yaml

jsonschema = pytest.importorskip("jsonschema")
RECIPES = sorted(builtin_folder().rglob("*.yaml"))


@pytest.fixture(scope="module")
def validator():
    schema = recipe_json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def faults(validator, text):
    return [error.json_path for error in validator.iter_errors(to_plain(read_yaml(text, "r.yaml")))]


@pytest.mark.parametrize("path", RECIPES, ids=[path.name for path in RECIPES])
def test_every_recipe_of_the_package_is_valid_as_written_and_as_resolved(validator, path: Path):
    assert faults(validator, path.read_text()) == []
    assert faults(validator, dump_recipe(load_recipe(path))) == []


@pytest.mark.parametrize(
    "text",
    [
        "extends: base.yaml",
        "extends: [a.yaml, builtin:b.yaml]\ndata: {batch_size: 3}\nmodel: {width: 3, train: {learning_rate: 1e-3}}",
        "vars: {width: 32, name: x}\nname: net_${name}\nmodel: {source: builder, name: cnn, width: '${width}'}\n"
        "data: {source: '${env:EDGECOMPRESS_S}', validation: '${v}', preprocess: {scale: 1/255, resize: ['${s}', 3]}}",
        "data: {source: npz, path: x, inputs: [a, b]}\nextends: x",
        "data: {inputs: {a: {scale: 1/255}, b: {channel_axis: none}}, normal: [x], augment: {shift: [0.1, 0]}, label: [-1, y]}\nextends: x",
        "data: {preprocess: {mfcc: {}}, words: [yes_word]}\nmodel: {train: {class_weights: {a: 2}}}\nextends: x",
        "stages: [cluster_weights, cluster_weights: null, prune_weights: {sparsity: '${s}'}]\nextends: x",
        "goal: {p95_ms: 2, p50_ms: {limit: 1}, size_kb: null}\nbenchmark: null\nextends: x",
        "search: {space: {stages.cut.macs: {low: 0.2, high: '${h}'}, a.b: [[1], {c: 2}]}, order: [a, b]}\nextends: x",
        "search: {space: {}, optional: [a], order: any, objectives: [accuracy], halving: null, first: [{a: 1}], minutes: 2.5}\nextends: x",
    ],
)
def test_what_a_user_may_write_is_valid(validator, text):
    assert faults(validator, text) == []


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("name: x", "$"),
        ("extends: x\nexprot: 1", "$"),
        ("extends: x\nseed: many", "$.seed"),
        ("extends: x\nexport: {format: int9}", "$.export.format"),
        ("extends: x\nstages: [train]", "$.stages[0]"),
        ("extends: x\nstages: [{train: {epochs: 1}, prune_weights: {sparsity: 0.1}}]", "$.stages[0]"),
        ("extends: x\nstages: [{prune_weights: {sparsity: 2}}]", "$.stages[0]"),
        ("extends: x\nstages: [{prune_weights: {}}]", "$.stages[0]"),
        ("extends: x\nstages: [{technique: train, epochs: 1}]", "$.stages[0]"),
        ("extends: x\nvars: {a: [1]}", "$.vars.a"),
    ],
)
def test_what_the_loader_refuses_is_invalid(validator, text, path):
    assert path in faults(validator, text)


def test_the_examples_and_the_starter_are_valid(validator):
    head = "extends: x\nstages:\n"
    assert all(faults(validator, head + technique.example) == [] for technique in describe_techniques())
    data = "  source: npz\n  path: d.npz"
    text = TEMPLATE.format(file="r.yaml", options="", name="n", model="m.h5", data=data, preprocess=SOUND)
    assert faults(validator, text) == []
