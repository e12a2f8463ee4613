"""Commands that start from finished runs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from edgecompress.cli.failures import NOT_RANKED
from edgecompress.cli.options import AllowCode, AsJson, Quiet, bars
from edgecompress.cli.output import check_place, say, show, show_json


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN RUN...", help="Run folders, two or more")],
    anyway: Annotated[bool, typer.Option("--anyway", help="Rank also what was measured in unlike circumstances; they are said.")] = False,
    as_json: AsJson = False,
) -> None:
    """Shows runs side by side. Exit code 6: some of it must not be ranked, and why."""
    if len(runs) < 2:
        raise typer.BadParameter("compare needs two runs or more.")
    from edgecompress.report import Report, comparison, comparison_table, not_ranked

    reports = [Report.load(run) for run in runs]
    show_json(comparison(reports)) if as_json else show(comparison_table(reports, anyway=anyway))
    reasons = not_ranked(reports)
    for reason in reasons:
        say(reason, style="yellow")
    if reasons and not anyway:
        raise typer.Exit(NOT_RANKED)


RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder")]


def report(
    run: RunPath,
    device: Annotated[
        list[Path] | None,
        typer.Option("--device", metavar="FILE", help="Merge a device.json that a board wrote; NAME=FILE names it. Repeatable."),
    ] = None,
    meter: Annotated[
        Path | None, typer.Option(metavar="CSV", help="Energy: what a power meter beside the board read during --minutes.")
    ] = None,
    host: Annotated[str | None, typer.Option(metavar="DEST", help="The board that the meter was at; absent: the only one.")] = None,
    meter_offset: Annotated[float, typer.Option(metavar="SECONDS", help="Time to add to the meter's.")] = 0.0,
    as_json: AsJson = False,
) -> None:
    """Writes report.md and report.html again from report.json, with what boards and meters measured if given."""
    if meter is None and (host is not None or meter_offset):
        raise typer.BadParameter("--host and --meter-offset speak of --meter, which is absent.")
    if not math.isfinite(meter_offset):
        raise typer.BadParameter(f"--meter-offset must be a finite number of seconds. Received: {meter_offset}.")
    from edgecompress.report import Report, write_report

    if device or meter:
        from edgecompress.device_results import merge_into, merge_meter, read_device_files

        if device:
            merge_into(run, read_device_files(device, run))
        if meter:
            merge_meter(run, meter, host=host, offset_s=meter_offset)
    found = Report.load(run)
    path = write_report(found, run)
    show_json(found.model_dump(mode="json")) if as_json else show(f"Report: {path}")


def bundle(
    run: RunPath,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="The file to write. Absent: RUN/NAME-bundle.zip.", show_default=False),
    ] = None,
    samples: Annotated[int, typer.Option(metavar="N", min=0, help="Pack so many test samples: the board counts its right answers.")] = 0,
    allow_code: AllowCode = False,
    as_json: AsJson = False,
) -> None:
    """Packs what a board needs into one .zip: models, golden vectors, operators, benchmark, predict.py, a card."""
    if output is not None:
        check_place(output, suffix=".zip")
    from edgecompress.bundle import run_bundle, write_bundle

    files = run_bundle(run, samples=samples, allow_code=allow_code)
    path = output or run / f"{run.resolve().name}-bundle.zip"
    write_bundle(files, path)
    if as_json:
        show_json({"path": str(path), "bytes": path.stat().st_size, "files": sorted(files)})
    else:
        show(f"{path}: {path.stat().st_size:,} bytes, {len(files)} files. On the board: unzip it, then python3 benchmark_device.pyz")


def debug(
    run: RunPath,
    samples: Annotated[int, typer.Option(metavar="N", min=1, max=10_000, help="Validation samples to compare on.")] = 32,
    allow_code: AllowCode = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Compares Keras model and file of a run layer by layer: which layers do harm, what kind of error they make, what to change."""
    from edgecompress.quiet import without_noise
    from edgecompress.store import write_atomic

    with without_noise():
        from edgecompress.debugging import debug_run
        from edgecompress.report.debug_page import render_debug
        from edgecompress.report.table import debug_table

        found = debug_run(run, most_samples=samples, allow_code=allow_code, progress=bars(quiet=quiet)).to_dict()
        write_atomic(run / "debug.html", render_debug(found))
    show_json(found) if as_json else show(debug_table(found), f"Drawn: {run / 'debug.html'}")
