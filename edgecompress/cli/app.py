"""The program `edgecompress`: its commands, and how every ending becomes an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from edgecompress import __version__
from edgecompress.cli import hosts, models, recipes, runs, searches, solving
from edgecompress.cli.failures import INTERRUPTED, report_failure

DEBUG = "--debug"

app = typer.Typer(
    name="edgecompress",
    rich_markup_mode="rich",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with [bold]edgecompress run builtin:quickstart.yaml[/bold]; with your own model: [bold]edgecompress init MODEL[/bold].",
)

# In the order of the help. The second value: a command line that shows its use.
COMMANDS: dict[str, tuple[Callable[..., Any], str]] = {
    "run": (recipes.run, "edgecompress run recipes/quickstart.yaml --set stages.0.sparsity=0.7 --out runs/trial"),
    "check": (recipes.check, "edgecompress check recipes/*.yaml"),
    "plan": (recipes.plan, "edgecompress plan recipes/quickstart.yaml"),
    "sensitivity": (recipes.sensitivity, "edgecompress sensitivity recipes/quickstart.yaml"),
    "search": (searches.search, "edgecompress search recipes/digits_search.yaml --set search.trials=8"),
    "solve": (solving.solve, "edgecompress solve model.h5 --data photos/ --goal metric_drop=0.01 --goal size_kb=60 --goal p95_ms=5"),
    "ablate": (searches.ablate, "edgecompress ablate runs/quickstart"),
    "calibration": (recipes.calibration, "edgecompress calibration recipes/quickstart.yaml"),
    "inspect": (models.inspect, "edgecompress inspect runs/quickstart/model.tflite --json"),
    "convert": (models.convert, "edgecompress convert model.keras --format int8 --data calibration.npz"),
    "shrink": (models.shrink, "edgecompress shrink model.tflite -o smaller.tflite"),
    "evaluate": (models.evaluate, "edgecompress evaluate runs/quickstart/model.tflite recipes/quickstart.yaml"),
    "benchmark": (models.benchmark, "edgecompress benchmark model.tflite --threads 1,2 --runs 500 --json latency.json"),
    "compare": (runs.compare, "edgecompress compare runs/quickstart runs/trial"),
    "debug": (runs.debug, "edgecompress debug runs/quickstart"),
    "report": (runs.report, "edgecompress report runs/quickstart --device device.json"),
    "bundle": (runs.bundle, "edgecompress bundle runs/quickstart -o quickstart.zip"),
    "doctor": (hosts.doctor, "edgecompress doctor --host pi@raspberrypi.local"),
    "learn-latency": (hosts.learn_latency, "edgecompress learn-latency --host pi4 -o latency-pi4.json"),
    "techniques": (recipes.techniques, "edgecompress techniques prune_weights"),
    "schema": (recipes.schema, "edgecompress schema > recipe.schema.json"),
    "init": (recipes.init, "edgecompress init model.keras --data photos/ -o recipe.yaml"),
}

for _name, (_command, _example) in COMMANDS.items():
    app.command(_name, epilog=f"Example: [bold]{_example}[/bold]")(_command)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"edgecompress {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", help="Show the version and leave.", callback=_show_version, is_eager=True)] = False,
    debug: Annotated[bool, typer.Option(DEBUG, help="Show tracebacks; may stand anywhere.")] = False,
) -> None:
    """Makes a Keras model small and fast for the edge, by one YAML recipe, and measures what it cost."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line and returns its exit code. Nothing but SystemExit leaves it, and that only from Python itself."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if sys.stdout is None:  # closed by the caller: nobody reads, as with a pipe whose reader has left
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # as long as the process
    try:
        code = _run([argument for argument in given if argument != DEBUG], debug=DEBUG in given)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (Exception, KeyboardInterrupt) as error:  # the top of the program: every failure becomes one line and a code
        return report_failure(error, debug=DEBUG in given)
    if code == INTERRUPTED:
        return report_failure(KeyboardInterrupt(), debug=False)
    return code


def _run(arguments: list[str], *, debug: bool) -> int:
    """Typer's own exit code: 0, 2 for a wrong command line, 130 for an interrupt; other failures are raised.

    Commands that report failures themselves find `debug` as the object of their context.
    """
    try:
        typer.main.get_command(app).main(args=arguments, prog_name="edgecompress", obj=debug)
    except SystemExit as ending:
        return ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    return 0
