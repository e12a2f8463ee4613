"""What a user may write: the recipe's schema and techniques, and the way from YAML to a checked Recipe. Free of TensorFlow."""

from edgecompress.recipe.dump import dump_recipe
from edgecompress.recipe.load import load_recipe, make_recipe
from edgecompress.recipe.rules import check_recipe
from edgecompress.recipe.schema import Recipe

__all__ = ["Recipe", "check_recipe", "dump_recipe", "load_recipe", "make_recipe"]
