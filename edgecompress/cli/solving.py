"""The command that needs limits only."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgecompress.cli.options import AllowCode, AllowEnv, AsJson, Settings, SshConfig
from edgecompress.cli.output import show, show_json
from edgecompress.errors import GoalMissed
from edgecompress.progress import Progress, visible_progress

if TYPE_CHECKING:
    from rich.console import RenderableType

    from edgecompress.solving.run import Solved
    from edgecompress.solving.steps import Solution


def solve(
    source: Annotated[str, typer.Argument(metavar="MODEL_OR_RECIPE", help=".keras or .h5 file, SavedModel folder, or a recipe")],
    goal: Annotated[
        list[str] | None,
        typer.Option(
            "--goal", metavar="NAME=LIMIT",
            help="metric_drop=0.01, size_kb=60, p95_ms=5@pi4, p50_ms, arena_kb, macs, peak_rss_kb. Before the recipe's own. Repeatable.",
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="PATH", help="With a model: .npz, .csv or .py file, or folder.", show_default=False)
    ] = None,
    settings: Settings = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Its folder; absent: runs/NAME-solve.", show_default=False)] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0, help="Of all calls together; the step under way is finished.", show_default=False)
    ] = None,
    trials: Annotated[int | None, typer.Option(min=0, help="Steps that may train.", show_default=False)] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Of the first recovery; absent: a quarter of the model's training.", show_default=False)
    ] = None,
    latency_table: Annotated[
        Path | None,
        typer.Option(
            "--latency-table", metavar="FILE", show_default=False,
            help="Of the host of a limit: its times are predicted, only what keeps all limits is measured there.",
        ),
    ] = None,
    no_run: Annotated[bool, typer.Option("--no-run", help="Do not run the chosen recipe in the end.")] = False,
    ssh_config: SshConfig = None,
    allow_code: AllowCode = False,
    allow_env: AllowEnv = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bars.")] = False,
    as_json: AsJson = False,
) -> None:  # fmt: skip
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
    options = SolveOptions(out, minutes, trials, not no_run, allow_code, ssh_config)
    solved = solve_question(question, options, Progress() if quiet else visible_progress())
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
