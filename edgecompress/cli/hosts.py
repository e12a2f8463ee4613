"""Commands about machines."""

from __future__ import annotations

from typing import Annotated

import typer

from edgecompress.cli.options import AsJson, SshConfig
from edgecompress.cli.output import say, show, show_json
from edgecompress.errors import DeviceError


def doctor(
    host: Annotated[
        list[str] | None, typer.Option("--host", metavar="DEST", help="A machine that ssh reaches; absent: this one. Repeatable.")
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
