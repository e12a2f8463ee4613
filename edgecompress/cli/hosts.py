"""Commands about machines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from edgecompress.cli.lists import destinations, names_of, thread_counts
from edgecompress.cli.options import AsJson, Quiet, SshConfig
from edgecompress.cli.output import check_place, say, show, show_json
from edgecompress.destination import LOCAL
from edgecompress.errors import DeviceError

FORMATS: tuple[Literal["float32", "int8", "dynamic"], ...] = ("float32", "int8", "dynamic")


def doctor(
    host: Annotated[
        list[str] | None,
        typer.Option("--host", metavar="DEST", callback=destinations, help="A machine that ssh reaches; absent: this one. Repeatable."),
    ] = None,
    install: Annotated[bool, typer.Option("--install", help="Make a virtual environment with a TFLite runtime there first.")] = False,
    ssh_config: SshConfig = None,
    as_json: AsJson = False,
) -> None:
    """Says what a machine offers to a model, what it lacks, and the command that mends it.

    Exit code 4: a host cannot be reached, or has no runtime.
    """
    if install and not host:
        raise typer.BadParameter("--install needs --host.")
    from edgecompress.host_benchmark import ask_doctor, local_outcome

    failures = []
    if install:
        for outcome in ask_doctor(host or [], install=True, ssh_config=ssh_config):
            if outcome.answer is None:
                failures.append(f"{outcome.host}: {outcome.error}")
            else:
                say(f"{outcome.host}: {outcome.answer['installed']}")
    outcomes = ask_doctor(host, ssh_config=ssh_config) if host else [local_outcome()]
    found = [{"host": outcome.host, "error": outcome.error, **(outcome.answer or {})} for outcome in outcomes]
    if as_json:
        show_json({"hosts": found})
    else:
        from edgecompress.device.doctor import format_machine

        for entry in found:
            if entry["error"] is None:
                show(f"[{entry['host']}]", format_machine(entry["machine"], entry["problems"]))
    failures += [f"{entry['host']}: {entry['error']}" for entry in found if entry["error"]]
    failures += [f"{entry['host']}: no runtime" for entry in found if entry["error"] is None and not entry["machine"]["runtime"]]
    if failures:
        raise DeviceError(f"A device failed: {'; '.join(dict.fromkeys(failure.rstrip('.') for failure in failures))}.")


def learn_latency(
    host: Annotated[
        str, typer.Option("--host", metavar="DEST", callback=destinations, help="A machine that ssh reaches; absent: this one.")
    ] = LOCAL,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="The table; goes on with one that is there. Absent: latency-HOST.json."),
    ] = None,
    threads: Annotated[str, typer.Option(metavar="1,2", help="Numbers of threads, each measured.")] = "1",
    formats: Annotated[str, typer.Option(metavar="float32,int8", help="Types of numbers: float32, int8, dynamic.")] = "float32,int8",
    minutes: Annotated[
        float | None, typer.Option(metavar="M", min=0.01, help="End after so long; the next call goes on. Absent: until all is measured.")
    ] = None,
    ssh_config: SshConfig = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Learns what operators cost on a machine, from small files, and writes a table that latencies are predicted from.

    Name it in a recipe: target: {latency_table: FILE}. A killed call goes on; a call on a complete table measures what was disturbed again.
    """
    path = out or Path(f"latency-{''.join(letter if letter.isalnum() else '-' for letter in host)}.json")
    counts, names = thread_counts(threads), names_of(formats, FORMATS, "formats must be of float32, int8, dynamic, with commas between")
    check_place(path)
    from edgecompress.latency.learn import learn_latency as learn
    from edgecompress.latency.summary import summarize, summary_table

    found = learn(path, host=host, threads=counts, formats=names, minutes=minutes, ssh_config=ssh_config, quiet=quiet)
    summary = summarize(found)
    if as_json:
        show_json({"path": str(path), **summary})
    else:
        show(summary_table(summary), f"Table: {path}")
