"""Arguments and options that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgecompress.progress import Progress, visible_progress

if TYPE_CHECKING:
    from edgecompress.recipe.schema import Recipe

RecipeFile = Annotated[str, typer.Argument(metavar="RECIPE", help="YAML file, or builtin:NAME.yaml")]
ModelFile = Annotated[Path, typer.Argument(metavar="MODEL", help=".tflite, .keras or .h5 file, or SavedModel folder")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY.PATH=VALUE", help="Override a value; stages by id or index: stages.cut.train.epochs=1. Repeatable."),
]
AllowCode = Annotated[bool, typer.Option("--allow-code", help="Run code of the recipe's own: SavedModels, sources python.")]
AllowEnv = Annotated[list[str] | None, typer.Option("--allow-env", metavar="NAME", help="Let ${env:NAME} read this variable. Repeatable.")]
SshConfig = Annotated[
    Path | None,
    typer.Option("--ssh-config", metavar="FILE", help="Configuration that ssh -F is given. Absent: your own.", exists=True, dir_okay=False),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bars.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


def checked_recipe(path: str, settings: list[str] | None, allow_env: list[str] | None) -> Recipe:
    """The recipe with its overrides; warnings go to standard error."""
    from edgecompress.cli.output import say
    from edgecompress.recipe import check_recipe, load_recipe
    from edgecompress.recipe.overrides import parse_overrides

    recipe = load_recipe(path, parse_overrides(settings or []), allow_env=allow_env or ())
    for warning in check_recipe(recipe):
        say(f"Warning: {path}: {warning}", style="yellow")
    return recipe


def bars(*, quiet: bool) -> Progress:
    """Where the bars of a command go."""
    return Progress() if quiet else visible_progress()


def enter_cluster(workers: str | None, worker: int | None) -> None:
    """Sets TF_CONFIG from the options, if they are given; both must be."""
    from edgecompress.workers.cluster import enter

    if (workers is None) != (worker is None):
        raise typer.BadParameter("--workers and --worker belong together.")
    if workers is not None and worker is not None:
        enter(workers.split(","), worker)
