"""The command that needs limits only."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgecompress.cli.options import AllowCode, AllowEnv, AsJson, Quiet, Settings, SshConfig, bars
from edgecompress.cli.output import show, show_json
from edgecompress.errors import GoalMissed

if TYPE_CHECKING:
    from rich.console import RenderableType

    from edgecompress.solving.run import Solved
    from edgecompress.solving.steps import Solution


Goals = Annotated[
    list[str] | None,
    typer.Option(
        "--goal",
        metavar="NAME=LIMIT",
        help="Limit: metric_drop=0.01, size_kb=60, p95_ms=5@pi4; also p50_ms, arena_kb, macs, peak_rss_kb. It replaces the one of "
        "that name in the recipe. Repeatable.",
    ),
]
Minutes = Annotated[
    float | None,
    typer.Option(
        min=0, show_default=False, help="Time that all calls in the folder may take together; the step under way is finished. Absent: any."
    ),
]
Epochs = Annotated[
    int | None,
    typer.Option(
        min=1,
        show_default=False,
        help="Length of the first recovery training. Absent: a quarter of the model's own training, at least 2; 3 for a model file.",
    ),
]
Table = Annotated[
    Path | None,
    typer.Option(
        "--latency-table",
        metavar="FILE",
        show_default=False,
        help="What learn-latency wrote of a host that a limit names: times are predicted, only what keeps all limits is measured there.",
    ),
]


def solve(
    source: Annotated[str, typer.Argument(metavar="MODEL_OR_RECIPE", help=".keras or .h5 file, SavedModel folder, or a recipe")],
    goal: Goals = None,
    data: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Samples for a model file: .npz, .csv or .py file, or folder.", show_default=False)
    ] = None,
    settings: Settings = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the solve; absent: runs/NAME-solve.", show_default=False)
    ] = None,
    minutes: Minutes = None,
    trials: Annotated[int | None, typer.Option(min=0, help="Number of steps that may train. Absent: any.", show_default=False)] = None,
    epochs: Epochs = None,
    latency_table: Table = None,
    no_run: Annotated[bool, typer.Option("--no-run", help="Do not run the chosen recipe in the end.")] = False,
    ssh_config: SshConfig = None,
    allow_code: AllowCode = False,
    allow_env: AllowEnv = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Finds a recipe that keeps your limits: int8, cuts, low rank, low bits, distilled recovery, from cheap to costly until all are kept.

    Writes solve.html, chosen.yaml and the run of it. The same command goes on after a kill, or with a larger budget.

    Exit code 3: no step keeps all limits (it says which binds, and the nearest), or the chosen one misses a goal on the test split;
    4: a device failed.
    """
    from edgecompress.recipe.goal_words import parse_goals
    from edgecompress.recipe.overrides import parse_overrides
    from edgecompress.solving.question import ask
    from edgecompress.solving.run import SolveOptions, solve_question

    question = ask(
        source, parse_goals(goal or []), data=data, overrides=parse_overrides(settings or []), epochs=epochs,
        latency_table=latency_table, allow_env=allow_env or (),
    )  # fmt: skip
    options = SolveOptions(out=out, minutes=minutes, trials=trials, run_chosen=not no_run, allow_code=allow_code, ssh_config=ssh_config)
    solved = solve_question(question, options, bars(quiet=quiet))
    if as_json:
        show_json(solved.solution.to_dict())
    else:
        _show(solved)
    _raise_for(solved)


def _show(solved: Solved) -> None:
    """Steps, verdict and where everything lies; what is not met comes as the error."""
    from edgecompress.report.solve_page import findings
    from edgecompress.report.words import verdict_sentence

    lines = [] if solved.solution.binding else findings(solved.solution.to_dict())
    if solved.run is not None and solved.run.report.verdict is not None:
        lines.append(verdict_sentence(solved.run.report.verdict))
    show(solve_table(solved.solution), *lines, f"Recipe: {solved.folder / 'chosen.yaml'}", f"Page: {solved.folder / 'solve.html'}")


def _raise_for(solved: Solved) -> None:
    """What decides the exit code: a failed device wins over missed limits."""
    from edgecompress.cli.outcome import raise_for_devices, raise_for_outcome

    if solved.run is not None:
        raise_for_devices(solved.run.report.benchmark)
    if solved.solution.binding:
        from edgecompress.report.solve_page import findings

        raise GoalMissed(" ".join(findings(solved.solution.to_dict())))
    if solved.run is not None:
        raise_for_outcome(solved.run.report)


def solve_table(solution: Solution) -> RenderableType:
    """The steps for the terminal."""
    from rich.table import Table
    from rich.text import Text

    from edgecompress.report.solve_page import step_table

    found, table = step_table(solution.to_dict()), Table()
    for name, numeric in zip(found.names, found.numeric, strict=True):
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in found.rows:
        table.add_row(*(Text(cell.text) for cell in row))
    return table
