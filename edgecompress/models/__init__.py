"""Models in and out: built from a recipe, loaded from a file that runs no code, saved atomically."""

from edgecompress.models.builders import build_model
from edgecompress.models.load import load_model
from edgecompress.models.save import save_model

__all__ = ["build_model", "load_model", "save_model"]
