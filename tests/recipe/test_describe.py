"""`edgecompress techniques`: words and examples made from the Configs."""

import re

import pytest

from edgecompress.errors import RecipeError
from edgecompress.recipe import load_recipe
from edgecompress.recipe.describe import REQUIRED, describe_technique, describe_techniques
from edgecompress.recipe.stages import TECHNIQUES

NAMES = sorted(TECHNIQUES)


def test_every_technique_is_described():
    assert [technique.name for technique in describe_techniques()] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_example_of_a_technique_passes_the_check(small, name):
    recipe = load_recipe("r.yaml", text=f"{small}stages:\n{describe_technique(name).example}")
    assert [stage.technique for stage in recipe.stages] == [name]


@pytest.mark.parametrize("name", NAMES)
def test_every_field_has_words_a_default_and_a_meaning(name):
    technique = describe_technique(name)
    assert technique.summary.endswith(".")
    for field in technique.fields:
        assert all((field.expected, field.default, field.description)), field
    assert "technique" not in {field.name for field in technique.fields}


def test_fields_of_a_mapping_follow_it_with_dotted_names():
    fields = {field.name: field for field in describe_technique("prune_weights").fields}
    assert fields["sparsity"].expected == "a number at least 0 and less than 1"
    assert fields["sparsity"].default == REQUIRED
    assert fields["scope"].default == "layer"
    assert fields["train.epochs"].expected == "a whole number at least 1 and at most 100000"
    assert fields["train.early_stop"].expected.endswith(", or null")


def test_papers_are_named():
    assert describe_technique("prune_weights").source.startswith("Zhu & Gupta")
    assert describe_technique("train").source == ""


def test_an_unknown_technique_gets_the_near_name():
    with pytest.raises(RecipeError) as caught:
        describe_technique("prune_wieghts")
    assert re.fullmatch(r"technique must be one of .*\. Received: 'prune_wieghts'\. Did you mean 'prune_weights'\?", str(caught.value))
