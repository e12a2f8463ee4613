"""Selecting layers by name, glob, expression and class."""

import re
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecompress.errors import RecipeError
from edgecompress.graph.selection import select_layers

LAYERS = [("conv1", "Conv2D"), ("conv1_bn", "BatchNormalization"), ("conv2", "Conv2D"), ("dense1", "Dense"), ("logits", "Dense")]
names = st.text(alphabet="abcxyz019_/.-[]*?:", min_size=1, max_size=12)
layers = st.lists(st.tuples(names, st.sampled_from(["Dense", "Conv2D", "ReLU"])), min_size=1, max_size=8, unique_by=lambda layer: layer[0])


@pytest.mark.parametrize(
    ("patterns", "selected"),
    [
        (["conv2"], ["conv2"]),
        (["conv?"], ["conv1", "conv2"]),
        (["conv*"], ["conv1", "conv1_bn", "conv2"]),
        (["re:conv\\d"], ["conv1", "conv2"]),
        (["re:(conv2|logits)"], ["conv2", "logits"]),
        (["type:Dense"], ["dense1", "logits"]),
        (["logits", "conv1", "type:Dense"], ["conv1", "dense1", "logits"]),
        (["*"], [name for name, _ in LAYERS]),
        ([], []),
    ],
)
def test_patterns_select_in_model_order_without_duplicates(patterns, selected):
    assert select_layers(LAYERS, patterns) == selected


def test_expression_must_match_the_whole_name():
    with pytest.raises(RecipeError, match="must match at least one layer"):
        select_layers(LAYERS, ["re:onv"])


def test_case_matters():
    with pytest.raises(RecipeError, match="Did you mean 'type:Dense'"):
        select_layers(LAYERS, ["type:dense"])


def test_pattern_without_a_match_names_its_field_and_near_names():
    with pytest.raises(RecipeError, match=r"^skip must match at least one layer\. Received: 'dnse1'\. Did you mean 'dense1'\?$"):
        select_layers(LAYERS, ["conv1", "dnse1"], field="skip")


def test_type_without_a_match_lists_the_types_of_the_model():
    with pytest.raises(RecipeError, match="The model has: type:Conv2D, type:BatchNormalization, type:Dense"):
        select_layers(LAYERS, ["type:LSTM"])


def test_long_lists_of_names_are_cut():
    many = [(f"block{number}", "Dense") for number in range(500)]
    with pytest.raises(RecipeError) as caught:
        select_layers(many, ["zzz"])
    assert len(str(caught.value)) < 500
    assert str(caught.value).endswith("block19, ....")


def test_model_without_layers_matches_nothing():
    with pytest.raises(RecipeError, match="The model has: no layers"):
        select_layers([], ["conv*"])


@pytest.mark.parametrize("pattern", ["re:(", "re:[", "re:*a", "re:(?P<n>a", "re:a{99999999999999999999}"])
def test_invalid_expression_is_a_recipe_error(pattern):
    with pytest.raises(RecipeError, match=re.escape(f"Received: {pattern!r}")):
        select_layers(LAYERS, [pattern], field="layers")


@settings(deadline=None)
@given(layers)
def test_every_name_selects_itself_whatever_its_characters(layers):
    for name, _ in layers:
        assert name in select_layers(layers, [name])


@settings(deadline=None)
@given(layers, st.data())
def test_selection_is_a_subsequence_of_the_model(layers, data):
    patterns = data.draw(st.lists(st.sampled_from([name for name, _ in layers]), max_size=5))
    selected = select_layers(layers, patterns)
    in_model = [name for name, _ in layers]
    assert set(patterns) <= set(selected)
    assert selected == [name for name in in_model if name in selected]


@settings(deadline=None)
@given(layers)
def test_types_partition_the_model(layers):
    kinds = dict.fromkeys(kind for _, kind in layers)
    parts = [select_layers(layers, [f"type:{kind}"]) for kind in kinds]
    assert sum(len(part) for part in parts) == len(layers)


@settings(deadline=None)
@given(layers, names)
def test_a_pattern_selects_or_says_why_not(layers, pattern):
    try:
        assert select_layers(layers, [pattern])
    except RecipeError as error:
        assert "Received" in str(error)  # noqa: PT017  both outcomes are right, for different patterns


def test_selection_does_not_load_tensorflow():
    code = (
        "import sys, edgecompress.graph.selection; sys.exit(any(name.split('.')[0] in ('tensorflow', 'tf_keras') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
