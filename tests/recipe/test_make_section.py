import pytest

from edgecompress.errors import RecipeError
from edgecompress.recipe.load import make_section
from edgecompress.recipe.schema import Data, Export


def test_section_by_itself_is_that_of_a_recipe():
    assert make_section(Export, "export", {"format": "dynamic", "io": None}) == Export(format="dynamic")
    assert make_section(Data, "data", {"source": "digits", "preprocess": {"scale": "1/16"}}).preprocess.scale == 1 / 16


@pytest.mark.parametrize(
    ("kind", "key", "values", "words"),
    [
        (Export, "export", {"format": "float32", "io": "int8"}, r"^export: io must be float32 for format float32.* Received: 'int8'\.$"),
        (Export, "export", {"fromat": "int8"}, r"^export\.fromat: key must be one of .* Did you mean 'format'\?$"),
        (Data, "data", {"source": "digits", "preprocess": {"scale": "x"}}, r"^data\.preprocess\.scale: scale must be a number.*'x'\.$"),
    ],
)
def test_problems_are_those_of_a_recipe(kind, key, values, words):
    with pytest.raises(RecipeError, match=words):
        make_section(kind, key, values)
