"""Commands that start from finished runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgecompress.cli.failures import NOT_RANKED
from edgecompress.cli.options import AsJson
from edgecompress.cli.output import say, show, show_json


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN RUN...", help="Run folders, two or more")], as_json: AsJson = False
) -> None:
    """Shows runs side by side. Exit code 6: some of it must not be ranked, and why."""
    if len(runs) < 2:
        raise typer.BadParameter("compare needs two runs or more.")
    from edgecompress.report import Report, comparison, comparison_table, not_ranked

    reports = [Report.load(run) for run in runs]
    show_json(comparison(reports)) if as_json else show(comparison_table(reports))
    reasons = not_ranked(reports)
    for reason in reasons:
        say(reason, style="yellow")
    if reasons:
        raise typer.Exit(NOT_RANKED)


def report(run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder")], as_json: AsJson = False) -> None:
    """Writes report.md and report.html again from report.json."""
    from edgecompress.report import Report, write_report

    found = Report.load(run)
    path = write_report(found, run)
    show_json(found.model_dump(mode="json")) if as_json else show(f"Report: {path}")
