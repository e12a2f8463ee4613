"""Latency on other machines: bundles sent to hosts, and what comes back merged into the report of a run. Free of TensorFlow."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edgecompress.benchmarking import TIMEOUT_S, benchmark_path, check_path
from edgecompress.bundle import model_bundle, run_bundle
from edgecompress.bundle.pack import PROGRAM, program, read_manifest
from edgecompress.destination import LOCAL, check_destination
from edgecompress.device.doctor import describe_machine, find_problems
from edgecompress.device.machine import thread_counts
from edgecompress.errors import DataError
from edgecompress.goals import judge_goals
from edgecompress.recipe.schema import Goal
from edgecompress.recipe.suggestions import near_path
from edgecompress.remote import Job, Outcome, ask_hosts
from edgecompress.report import write_report
from edgecompress.report.schema import BenchmarkEntry, Report
from edgecompress.store import RunFolder

if TYPE_CHECKING:
    from edgecompress.progress import Progress

Threads = Sequence[int] | Literal["all"]


def benchmark_hosts(
    files: Mapping[str, bytes], hosts: Sequence[str], *, threads: Threads | None = None, runs: int | None = None, timeout_s: float,
    minutes: float = 0.0, ssh_config: Path | None = None, progress: Progress,
) -> list[BenchmarkEntry]:  # fmt: skip
    """Times the models of a bundle on several hosts at once; a host that fails has an entry with `error`.

    Args:
        files: of the bundle.
        hosts: destinations of ssh.
        threads: numbers of threads, or "all": 1 to the cores of each host; absent: the bundle's.
        runs: timed invokes per entry; absent: the bundle's.
        timeout_s: seconds that one model with one number of threads may work.
        minutes: runs the final model so long without a pause after that.
        ssh_config: handed to `ssh -F`.
        progress: gets a bar.
    """
    values = {"job": "benchmark", "threads": threads, "runs": runs, "timeout_s": timeout_s, "minutes": minutes}
    with progress.task(f"benchmark on {', '.join(hosts)}") as bar:
        outcomes = ask_hosts(
            hosts, Job(values, files, PROGRAM), ssh_config=ssh_config, on_progress=lambda host, words: bar.describe(f"{host}: {words}")
        )
    return [entry for outcome in outcomes for entry in _entries(outcome)]


def _entries(outcome: Outcome) -> list[BenchmarkEntry]:
    """What a host measured, or the one entry that says why it did not."""
    if outcome.answer is None:
        return [BenchmarkEntry(model="final", host=outcome.host, threads=1, error=outcome.error)]
    return [BenchmarkEntry.model_validate({**row, "host": outcome.host}) for row in outcome.answer["benchmark"]]


def bundle_of(path: Path) -> dict[str, bytes]:
    """The bundle of a run folder or of a .tflite."""
    return run_bundle(path) if path.is_dir() else model_bundle(path)


def ask_doctor(hosts: Sequence[str], *, install: bool = False, ssh_config: Path | None = None) -> list[Outcome]:
    """What hosts offer and lack; with `install` their virtual environments are made first."""
    job = Job({"job": "install" if install else "doctor"}, {PROGRAM: program()}, PROGRAM)
    return ask_hosts(hosts, job, ssh_config=ssh_config)


def read_device_file(path: Path, run: Path) -> list[BenchmarkEntry]:
    """The entries of a device.json that a board wrote by hand.

    Raises:
        DataError: it is no such file, or it measured other models than those of the run.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        measured, entries = dict(content["models"]), [BenchmarkEntry.model_validate(row) for row in content["benchmark"]]
    except FileNotFoundError:
        raise DataError(f"{path}: must be a device.json. Received: nothing is there.{near_path(path)}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        words = " ".join(str(error).split())[:200]
        raise DataError(f"{path}: must be a device.json as benchmark_device.pyz writes it. Received: {words}") from error
    packed = {name: file["sha256"] for name, file in read_manifest(run)["files"].items()}
    others = [name for name, value in measured.items() if packed.get(name) != value]
    if others:
        raise DataError(f"{path}: must be measured on the models of {run}. Received: another file for {', '.join(others)}.")
    return entries


def benchmark_places(
    path: Path, hosts: Sequence[str], *, threads: Threads, runs: int, timeout_s: float, minutes: float = 0.0, ssh_config: Path | None,
    progress: Progress,
) -> list[BenchmarkEntry]:  # fmt: skip
    """Times a .tflite or the files of a run folder here (`local`) and on hosts; what hosts say of a run goes into its report.

    Raises:
        ModelError: neither is there.
        DeviceError: a host is no destination of ssh.
    """
    check_path(path)
    remote = [host for host in dict.fromkeys(hosts) if host != LOCAL]
    for host in remote:
        check_destination(host)
    files = bundle_of(path) if remote else {}
    counts = thread_counts() if threads == "all" else threads
    entries = []
    if LOCAL in hosts:
        entries = benchmark_path(path, threads=counts, runs=runs, progress=progress, timeout_s=timeout_s, minutes=minutes)
    if remote:
        found = benchmark_hosts(
            files, remote, threads=threads, runs=runs, timeout_s=timeout_s, minutes=minutes, ssh_config=ssh_config, progress=progress
        )
        entries += found
        if path.is_dir():
            merge_into(path, found)
    return entries


def measure_run(run: Path, report: Report, hosts: Sequence[str], *, ssh_config: Path | None, progress: Progress) -> Report:
    """Times a finished run on the hosts of its recipe, as the recipe says, and writes its report again.

    The caller holds the run folder.
    """
    entries = benchmark_hosts(run_bundle(run), hosts, timeout_s=TIMEOUT_S, ssh_config=ssh_config, progress=progress)
    merged = merge(report, entries)
    write_report(merged, run)
    return merged


def local_outcome() -> Outcome:
    """What this machine offers and lacks."""
    machine = describe_machine()
    return Outcome(LOCAL, {"machine": machine, "problems": find_problems(machine)}, None)


def merge_into(run: Path, entries: Sequence[BenchmarkEntry]) -> None:
    """Merges entries into the report of a run folder, and writes it again.

    Raises:
        RunLocked: a run is at work in it.
    """
    with RunFolder(run) as folder:
        write_report(merge(Report.load(folder.path), entries), folder.path)


def merge(report: Report, entries: Sequence[BenchmarkEntry]) -> Report:
    """The report with new entries: they replace what it had of their hosts, and the goals are judged again.

    A host that failed as a whole keeps what was measured on it before.
    """
    measured = {entry.host for entry in entries if entry.p50_ms is not None}
    before = {entry.host for entry in report.benchmark if entry.p50_ms is not None}
    new = [entry for entry in entries if entry.host in measured or entry.host not in before]
    replaced = {entry.host for entry in new}
    merged = [*(entry for entry in report.benchmark if entry.host not in replaced), *new]
    drop = report.verdict.test.drop if report.verdict else None
    goal = Goal.model_validate(report.recipe.get("goal") or {})
    goals = judge_goals(goal, report.artifact.model_dump(), drop, merged, report.stages[-1].macs if report.stages else None)
    return report.model_copy(update={"benchmark": merged, "goals": goals})
