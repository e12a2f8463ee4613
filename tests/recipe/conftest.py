"""Recipes as text, and the message that a bad one gets."""

from collections.abc import Callable
from typing import Any

import pytest

from edgecompress.errors import RecipeError
from edgecompress.recipe import load_recipe

SMALL = """\
name: small
data: {source: digits}
model: {source: builder, name: cnn, train: {epochs: 1}}
"""


@pytest.fixture
def small() -> str:
    """The least text of a recipe: three lines, so what a test appends starts at line 4."""
    return SMALL


@pytest.fixture
def refusal() -> Callable[..., str]:
    """The message for a recipe that must be refused."""

    def message(text: str, *arguments: Any, **options: Any) -> str:
        with pytest.raises(RecipeError) as caught:
            load_recipe("r.yaml", *arguments, text=text, **options)
        return str(caught.value)

    return message
