"""A recipe with some of its values replaced, checked again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgecompress.recipe.dump import recipe_as_written
from edgecompress.recipe.load import resolve_recipe
from edgecompress.recipe.nodes import from_plain
from edgecompress.recipe.overrides import apply_overrides
from edgecompress.recipe.schema import Recipe


def vary_recipe(recipe: Recipe, overrides: Mapping[str, Any], stages: Sequence[int] | None = None) -> Recipe:
    """`recipe` with values laid over it, without its `search`.

    Args:
        recipe: where it starts from.
        overrides: dotted path -> value, as `--set` takes them.
        stages: indices of the stages that stay, in their new order; None: all.

    Raises:
        RecipeError: a path that does not exist, a value that is not allowed there, a rule that is broken.
    """
    written = recipe_as_written(recipe)
    written["search"] = None
    root = apply_overrides(from_plain(written, recipe.name), overrides)
    if stages is not None and isinstance(root.value, dict):
        node = root.value["stages"]
        chosen = [node.value[index] for index in stages] if isinstance(node.value, list) else []
        root = root.with_value({**root.value, "stages": node.with_value(chosen)})
    return resolve_recipe(root, {})
