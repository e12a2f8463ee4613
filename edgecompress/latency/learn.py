"""Makes or goes on with a latency table: times small files on this machine or on a host, in parts that are each kept.

Each file is visited several times, with all others between: what else a machine does may last longer than a visit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from edgecompress.benchmarking import own_turn
from edgecompress.bundle.archive import archive
from edgecompress.bundle.pack import PROGRAM, program
from edgecompress.destination import LOCAL, check_destination
from edgecompress.device.doctor import describe_machine, find_problems
from edgecompress.device.rounds import measure_rounds
from edgecompress.errors import DataError, DeviceError
from edgecompress.latency.grid import Specimen, specimens
from edgecompress.latency.table import Format, LatencyTable, Machine, Row, less_disturbed, load_table
from edgecompress.latency.workload import workloads
from edgecompress.lease import measuring
from edgecompress.progress import Bar, Progress, visible_progress
from edgecompress.recipe.suggestions import received
from edgecompress.remote import Job, Outcome, ask_hosts
from edgecompress.report.words import threads_text

PART = 32  # files in one process, and kept together
VISITS, ROUNDS = 3, 5  # of each file, and of blocks in a visit
TIMEOUT_S = 600.0  # of one part
RESTLESS = 0.2  # spread from which on a row is measured again, in a call that has nothing else to do
ARCHIVE = "pieces.zip"
FORMATS: tuple[Format, ...] = ("float32", "int8", "dynamic")

Measure = Callable[[Sequence[bytes], int], list[dict[str, Any]]]  # files and threads -> as `device.rounds.measure_rounds`


def learn_latency(
    out: str | Path, *, host: str = LOCAL, threads: Sequence[int] = (1,), formats: Sequence[Format] = ("float32", "int8"),
    minutes: float | None = None, ssh_config: Path | None = None, quiet: bool = False,
) -> LatencyTable:  # fmt: skip
    """Learns what operators cost on a host, and keeps it in a file, from which times of models are predicted.

    A call that was stopped goes on where it was. A call on a complete table measures again what was disturbed.

    Args:
        out: the table; continued where it is there.
        host: local, or a destination of ssh.
        threads: numbers of threads, each measured.
        formats: types of numbers; dynamic takes float32 along, as its operators without weights are of that type.
        minutes: ends after so long, with what there is by then.
        ssh_config: handed to `ssh -F`.
        quiet: no progress bar.

    Returns:
        The table.

    Raises:
        DataError: `out` is no table, or one of another host or machine; numbers of threads or formats that there are not.
        DeviceError: the host cannot be reached, or has no runtime.
        StorageError: `out` cannot be written.
    """
    path, progress = Path(out), Progress() if quiet else visible_progress()
    _check(threads, formats)
    machine = _machine(host, ssh_config)
    table = _open(path, host, machine, list(threads), _with_float(formats))
    end = None if minutes is None else time.monotonic() + 60 * minutes
    for count in threads:
        todo = _todo(table, count)
        with progress.task(f"timing small files, {threads_text(count)}", len(todo)) as bar:
            measure = _measure_here(progress) if host == LOCAL else _measure_there(host, ssh_config, bar)
            for start in range(0, len(todo), PART):
                if end is not None and time.monotonic() >= end:
                    return table
                part = todo[start : start + PART]
                with measuring(progress.say) if host == LOCAL else nullcontext():  # not while a search trains here
                    _add(table, part, count, measure)
                table.save(path)
                bar.advance(len(part))
    return table


def _check(threads: Sequence[int], formats: Sequence[str]) -> None:
    """Raises DataError for what no table could hold: before anything is measured or written."""
    if not threads or any(isinstance(count, bool) or not isinstance(count, int) or count < 1 for count in threads):
        raise DataError(f"threads must be whole numbers from 1 on.{received(list(threads))}")
    if not formats or not set(formats) <= set(FORMATS):
        raise DataError(f"formats must be among {', '.join(FORMATS)}.{received(formats)}")


def _with_float(formats: Sequence[Format]) -> list[Format]:
    """In a fixed order."""
    return [name for name in FORMATS if name in formats or (name == "float32" and "dynamic" in formats)]


def _open(path: Path, host: str, machine: Machine, threads: list[int], formats: list[Format]) -> LatencyTable:
    """The table of an earlier call with what this one wants too, or a new one, which is written at once: a bad place shows now."""
    if path.exists():
        table = load_table(path)
        differences = ([f"host {host} instead of {table.host}"] if host != table.host else []) + table.differences(machine)
        if differences:
            words = ", ".join(differences)
            raise DataError(f"{path}: a table must be of one machine; choose another file with --out. Received: {words}.")
        table.threads = sorted({*table.threads, *threads})
        table.formats = _with_float([*table.formats, *formats])
        return table
    table = LatencyTable(host=host, machine=machine, threads=sorted(set(threads)), formats=formats, updated_at="")
    table.save(path)
    return table


def _machine(host: str, ssh_config: Path | None) -> Machine:
    """The machine that is to be measured."""
    if host == LOCAL:
        found = describe_machine()
    else:
        check_destination(host)
        outcome = ask_hosts([host], Job({"job": "doctor"}, {PROGRAM: program()}, PROGRAM), ssh_config=ssh_config)[0]
        found = _answer(outcome)["machine"]
    if found["runtime"] is None or found["numpy"] is None:
        raise DeviceError(f"{host}: {find_problems(found)[0]['what']}. Try edgecompress doctor --host {host}.")
    return Machine(**{name: found[name] for name in Machine.model_fields})


def _todo(table: LatencyTable, threads: int) -> list[Specimen]:
    """Files that were visited too seldom, once for each visit; where there are none, those that were disturbed."""
    rows = {row.key: row for row in table.rows if row.threads == threads}
    visits = {key: VISITS if row.error is not None else row.visits for key, row in rows.items()}
    known = specimens(table.formats)
    left = [one for sweep in range(VISITS) for one in known if visits.get(one.key, 0) <= sweep]
    return left or [one for one in known if (rows[one.key].spread or 0.0) > RESTLESS]


def _add(table: LatencyTable, part: Sequence[Specimen], threads: int, measure: Measure) -> None:
    """Times files and puts their rows into the table; of two visits the one with the shorter time counts."""
    contents = [one.make() for one in part]
    places = {row.key: place for place, row in enumerate(table.rows) if row.threads == threads}
    for one, content, entry in zip(part, contents, measure(contents, threads), strict=True):
        row = _row(one, content, entry, threads)
        if one.key not in places:
            places[one.key] = len(table.rows)  # another visit may be in the same part
            table.rows.append(row)
            continue
        table.rows[places[one.key]] = less_disturbed(table.rows[places[one.key]], row)


def _row(specimen: Specimen, content: bytes, entry: dict[str, Any], threads: int) -> Row:
    """A disturbance only ever adds time, so the lower quartile of the blocks stands for all."""
    operators, times = tuple(workloads(content)), {}
    if entry["error"] is None:
        low, high = np.percentile(entry["blocks_ms"], [25, 75])
        times = {"p50_ms": round(float(low), 6), "spread": round(float(high / low - 1), 4)}
    return Row.model_validate({
        "key": specimen.key, "threads": threads, "kind": specimen.kind, "operators": operators, "kernels": entry["kernels"],
        "p50_ms": None, **times, "error": entry["error"],
    })  # fmt: skip


def _measure_here(progress: Progress) -> Measure:
    """On this machine; says for whom it waits."""

    def measure(contents: Sequence[bytes], threads: int) -> list[dict[str, Any]]:
        with TemporaryDirectory(prefix="edgecompress-") as folder:
            paths = [str(Path(folder, f"{number}.tflite")) for number in range(len(contents))]
            for path, content in zip(paths, contents, strict=True):
                Path(path).write_bytes(content)
            with own_turn(progress):
                return measure_rounds(paths, threads=threads, rounds=ROUNDS, timeout_s=TIMEOUT_S)

    return measure


def _measure_there(host: str, ssh_config: Path | None, bar: Bar) -> Measure:
    """On a host: one connection for each part, so that a lost one costs only that. Beside the bar stands for whom it waits."""

    def say(_done: int, _total: int, doing: str, name: str) -> None:
        bar.describe(f"{name}: {doing}")

    def measure(contents: Sequence[bytes], threads: int) -> list[dict[str, Any]]:
        pieces = archive({f"{number}.tflite": content for number, content in enumerate(contents)})
        values = {"job": "rounds", "archive": ARCHIVE, "threads": threads, "rounds": ROUNDS, "timeout_s": TIMEOUT_S}
        job = Job(values, {ARCHIVE: pieces, PROGRAM: program()}, PROGRAM)
        outcome = ask_hosts([host], job, ssh_config=ssh_config, on_progress=say)[0]
        bar.describe("")
        return list(_answer(outcome)["timed"])

    return measure


def _answer(outcome: Outcome) -> dict[str, Any]:
    """Raises DeviceError for a host that did not answer."""
    if outcome.answer is None:
        raise DeviceError(f"{outcome.host}: {outcome.error}")
    return outcome.answer
