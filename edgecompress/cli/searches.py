"""Commands that try many recipes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgecompress.cli.options import AllowCode, AllowEnv, AsJson, Quiet, RecipeFile, Settings, SshConfig, bars, checked_recipe
from edgecompress.cli.output import show, show_json
from edgecompress.cli.runs import RunPath
from edgecompress.errors import GoalMissed

if TYPE_CHECKING:
    from rich.console import RenderableType

    from edgecompress.search.ablation import Ablation
    from edgecompress.search.findings import Findings
    from edgecompress.search.run import Searched


def search(
    recipe: RecipeFile,
    settings: Settings = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Search folder; absent: runs/NAME-search.", show_default=False)] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Database of the study; absent: SQLite in the folder. postgresql://user@host/database: many machines."
        ),
    ] = None,
    worker: Annotated[
        bool, typer.Option("--worker", help="Only try recipes, beside others; the call without --worker shows the end.")
    ] = False,
    cache: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of finished stages; machines may share it. Absent: in DIR of --out.", show_default=False),
    ] = None,
    heartbeat: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="SECONDS",
            show_default=False,
            help="Time between signs of life; a worker silent for 4.5 times as long is dead. Absent: the study's own, 20 for a new one.",
        ),
    ] = None,
    no_run: Annotated[bool, typer.Option("--no-run", help="Do not run the chosen recipe in the end.")] = False,
    ssh_config: SshConfig = None,
    allow_code: AllowCode = False,
    allow_env: AllowEnv = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Tries recipes of the space that `search:` spans: Pareto front, chosen recipe, its run. Continues a search that died.

    Exit code 3: no recipe keeps all limits, or the chosen one misses a goal on the test split; 4: a device failed.
    """
    checked = checked_recipe(recipe, settings, allow_env)
    from edgecompress.search.run import SearchOptions, search_recipe

    options = SearchOptions(
        out=out, storage=storage, cache=cache, worker=worker, run_chosen=not no_run, heartbeat_s=heartbeat, allow_code=allow_code,
        ssh_config=ssh_config,
    )  # fmt: skip
    searched = search_recipe(checked, options, bars(quiet=quiet))
    if as_json:
        show_json(searched.findings.to_dict())
    elif not worker:
        show(front_table(searched.findings), f"Recipe: {searched.folder / 'chosen.yaml'}", f"Page: {searched.folder / 'search.html'}")
    if worker:
        return
    _raise_for(searched)


def _raise_for(searched: Searched) -> None:
    """What decides the exit code: a failed device wins over missed limits."""
    from edgecompress.cli.outcome import raise_for_devices, raise_for_outcome
    from edgecompress.report.words import missed_text

    if searched.run is not None:
        raise_for_devices(searched.run.report.benchmark)
    choice = searched.findings.choice
    if choice is not None and not choice.is_feasible:
        missed = missed_text(choice.misses, searched.findings.limits, choice.drop)
        raise GoalMissed(f"No trial keeps all limits. The nearest, trial {choice.number}, misses {missed}.")
    if searched.run is not None:
        raise_for_outcome(searched.run.report)


def ablate(
    run: RunPath,
    orders: Annotated[bool, typer.Option("--orders", help="Try the other orders of the stages too.")] = False,
    allow_code: AllowCode = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Leaves each stage of a finished run out in turn: what each cost and brought, in bytes, quality and time.

    Writes ablation.html and ablation.json into the run folder. What the lines share is taken from the run.
    """
    from edgecompress.search.run import ablate_run

    found = ablate_run(run, orders=orders, allow_code=allow_code, progress=bars(quiet=quiet))
    if as_json:
        show_json(found.to_dict())
    else:
        show(ablation_table(found), f"Page: {run / 'ablation.html'}")


def ablation_table(found: Ablation) -> RenderableType:
    """Lines without a stage, and other orders, for the terminal."""
    from rich.table import Table
    from rich.text import Text

    from edgecompress.report.ablation_page import ablation_rows

    values, table = found.to_dict(), Table()
    parts = [ablation_rows(values, kind) for kind in ("without", "order") if found.of(kind)]
    for name, numeric in zip(parts[0].names, parts[0].numeric, strict=True):
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for number, part in enumerate(parts):
        for row in part.rows[1 if number else 0 :]:
            texts = {name: cell.text for name, cell in zip(part.names, row, strict=True)}
            table.add_row(*(Text(texts.get(name, "")) for name in parts[0].names))
    return table


def front_table(findings: Findings) -> RenderableType:
    """The Pareto front for the terminal."""
    from collections import Counter

    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from edgecompress.report.search_page import count_text, front_columns, front_rows

    values = findings.to_dict()
    table = Table()
    for column in front_columns(values):
        table.add_column(column.removeprefix(">"), justify="right" if column.startswith(">") else "left", overflow="fold")
    for row in front_rows(values):
        table.add_row(*map(Text, row))
    endings = Counter(trial.kind for trial in findings.tried)
    counts = ", ".join(f"{number} {kind}" for kind, number in endings.most_common())
    return Group(Text(f"{findings.name}: {count_text(values)} ({counts})", style="bold"), table)
