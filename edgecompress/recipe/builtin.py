"""Where the recipes of the package lie, in a wheel and in a checkout."""

from pathlib import Path

PREFIX = "builtin:"


def builtin_folder() -> Path:
    """The folder that `builtin:NAME` is relative to: `builtin_recipes` of an installed package, else the checkout's `recipes`."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "builtin_recipes"
    return installed if installed.is_dir() else package.parent / "recipes"
