"""Models in and out: built from a recipe, loaded from a file that runs no code, saved atomically."""

from edgecompress.models.applications import build_application
from edgecompress.models.builders import build_model
from edgecompress.models.load import LoadedModel, adopt_model, load_model, read_model
from edgecompress.models.save import save_given_model, save_model

__all__ = [
    "LoadedModel", "adopt_model", "build_application", "build_model", "load_model", "read_model", "save_given_model", "save_model",
]  # fmt: skip
