"""--set key.path=value."""

import re
from pathlib import Path

import pytest

from edgecompress.errors import RecipeError
from edgecompress.recipe import load_recipe
from edgecompress.recipe.overrides import parse_overrides

RECIPE = """\
name: small
vars: {width: 32}
data: {source: digits}
model: {source: builder, name: cnn, width: "${width}", train: {epochs: 1}}
stages:
  - prune_weights: {id: cut, sparsity: 0.5}
  - cluster_weights
  - train: {epochs: 2}
benchmark: null
"""


def loaded(overrides):
    return load_recipe("r.yaml", overrides, text=RECIPE)


def test_values_are_replaced_and_added():
    recipe = loaded(
        {"data.batch_size": 64, "data.limit": 500, "export.format": "float16", "data.preprocess.scale": "1/16", "vars.width": 8}
    )
    assert (recipe.data.batch_size, recipe.data.limit, recipe.export.format) == (64, 500, "float16")
    assert recipe.data.preprocess.scale == 1 / 16
    assert recipe.model.width == 8


def test_stages_are_addressed_by_id_and_by_index():
    recipe = loaded({"stages.cut.sparsity": 0.25, "stages.cut.train.epochs": 4, "stages.1.clusters": 8, "stages.2.epochs": 9})
    prune, cluster, train = recipe.stages
    assert (prune.sparsity, prune.train.epochs, cluster.clusters, train.epochs) == (0.25, 4, 8, 9)


def test_whole_sections_and_stages_are_replaced():
    recipe = loaded({"stages.1": {"train": {"epochs": 5}}, "benchmark.runs": 60, "model": {"source": "file", "path": Path("m.h5")}})
    assert [stage.technique for stage in recipe.stages] == ["prune_weights", "train", "train"]
    assert recipe.benchmark.runs == 60
    assert recipe.model.path == "m.h5"
    assert loaded({"stages": []}).stages == []


def test_references_work_in_overrides():
    assert loaded({"name": "w${width}"}).name == "w32"


def test_an_override_of_an_alias_leaves_its_anchor_alone():
    text = RECIPE.replace("train: {epochs: 1}", "train: &train {epochs: 1}")
    text = text.replace("sparsity: 0.5", "sparsity: 0.5, train: *train")
    recipe = load_recipe("r.yaml", {"stages.cut.train.epochs": 7}, text=text)
    assert (recipe.model.train.epochs, recipe.stages[0].train.epochs) == (1, 7)


@pytest.mark.parametrize(
    ("overrides", "pattern"),
    [
        ({"data.limt": 5}, r"^--set: data\.limt: key must be one of .*limit.* Received: 'limt'\. Did you mean 'limit'\?$"),
        ({"dta.limit": 5}, r"^--set: dta: key must be one of .* Did you mean 'data'\?$"),
        ({"data.limit": "many"}, r"^--set: data\.limit: limit must be a whole number .* Received: 'many'\.$"),
        (
            {"stages.ctu.sparsity": 0.1},
            r"^--set: stages\.ctu: ctu must be an index below 3 or an id \(cut\)\. Received: 'ctu'\. Did you mean 'cut'\?$",
        ),
        ({"stages.3.epochs": 1}, r"^--set: stages\.3: 3 must be an index below 3"),
        ({"stages.²": 1}, r"^--set: stages\.²: ² must be an index below 3"),
        ({"stages.cut.sparcity": 0.1}, r"^--set: stages\.0\.sparcity: key must be one of .* Did you mean 'sparsity'\?$"),
        ({"stages.cut": "prune_wieghts"}, r"^--set: stages\.0: technique must be one of .* Did you mean 'prune_weights'\?$"),
        ({"name.first": 1}, r"^--set: name\.first: name must be a mapping to set first in it\. Received: 'small'\.$"),
        ({"vars.widht": 1}, r"^--set: vars\.widht: variable must be one of vars \(width\)\. Received: 'widht'\. Did you mean 'width'\?$"),
        ({"vars": {"a": 1}}, r"^--set: vars: variable must be one of vars"),
        ({"extends": "x.yaml"}, r"^--set: extends: extends must stand in a recipe file\. Received: 'x\.yaml'\.$"),
        ({"data..limit": 1}, r"^--set: path must be names separated by single dots\. Received: 'data\.\.limit'\.$"),
        ({"a." * 1000 + "b": 1}, r"^--set: path must be names separated by single dots\. Received: 'a\.a\."),
        ({"data.limit": {1, 2}}, r"^--set: data\.limit: value must be plain \(text, number, list, mapping\)\. Received: set\.$"),
        ({"data.limit": b"5"}, r"^--set: data\.limit: value must be plain .* Received: bytes\.$"),
        ({"goal.metric_drop": float("nan")}, r"^--set: goal\.metric_drop: metric_drop must be a number, or null\. Received: nan\.$"),
    ],
)
def test_bad_overrides_are_refused(overrides, pattern):
    with pytest.raises(RecipeError) as caught:
        loaded(overrides)
    assert re.search(pattern, str(caught.value))


def test_a_list_in_itself_is_refused():
    endless: list = []
    endless.append(endless)
    with pytest.raises(RecipeError, match="value must be plain"):
        loaded({"data": endless})


def test_arguments_are_parsed_as_yaml():
    assert parse_overrides(["a.b=1e-3", "c=[1, {d: off}]", "e=", "f=x=y", "g='5'", "a.b=2"]) == {
        "a.b": 2, "c": [1, {"d": "off"}], "e": None, "f": "x=y", "g": "5",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("argument", "pattern"),
    [
        ("data.limit", r"^--set: override must be KEY\.PATH=VALUE\. Received: 'data\.limit'\.$"),
        ("=5", r"^--set: override must be KEY\.PATH=VALUE"),
        ("a=[1", r"^--set a:1: text must be valid YAML"),
        ("a=!!python/name:os.system x", r"^--set a:1: value must have no tag"),
    ],
)
def test_bad_arguments_are_refused(argument, pattern):
    with pytest.raises(RecipeError, match=pattern):
        parse_overrides([argument])
