"""Latency on other machines: bundles sent to hosts, and what comes back merged into the report of a run. Free of TensorFlow."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from edgecompress.benchmarking import TIMEOUT_S, benchmark_path, check_path
from edgecompress.bundle import model_bundle, run_bundle
from edgecompress.bundle.pack import BOARD_FILES, PROGRAM, program, read_manifest
from edgecompress.destination import LOCAL, check_destination
from edgecompress.device import DeviceFault
from edgecompress.device.bundle import measure_bundle, read_bundle
from edgecompress.device.doctor import describe_machine, find_problems
from edgecompress.device.machine import thread_counts
from edgecompress.energy import add_energy
from edgecompress.errors import DataError, DeviceError
from edgecompress.goals import judge_goals
from edgecompress.recipe.schema import Goal
from edgecompress.recipe.suggestions import near_path
from edgecompress.remote import Job, Outcome, ask_hosts
from edgecompress.report import write_report
from edgecompress.report.schema import BenchmarkEntry, Report
from edgecompress.store import RunFolder

if TYPE_CHECKING:
    from edgecompress.device.runtime import Kernels
    from edgecompress.progress import Progress

Threads = Sequence[int] | Literal["all"]


def benchmark_hosts(
    files: Mapping[str, bytes], hosts: Sequence[str], *, threads: Threads | None = None, runs: int | None = None,
    kernels: Sequence[Kernels] | None = None, timeout_s: float, minutes: float = 0.0, operators: bool = False,
    ssh_config: Path | None = None, progress: Progress,
) -> list[BenchmarkEntry]:  # fmt: skip
    """Times the models of a bundle on several hosts at once; a host that fails has an entry with `error`.

    Args:
        files: of the bundle.
        hosts: destinations of ssh.
        threads: numbers of threads, or "all": 1 to the cores of each host; absent: the bundle's.
        runs: timed invokes per entry; absent: the bundle's.
        kernels: kernel families; absent: the bundle's.
        timeout_s: seconds that one step of one model may work, beside what its runs need.
        minutes: runs the final model so long without a pause after that.
        operators: times the operators one by one, also if the bundle does not ask for it.
        ssh_config: handed to `ssh -F`.
        progress: gets a bar.
    """
    values = {
        "job": "benchmark", "threads": threads, "runs": runs, "kernels": kernels, "timeout_s": timeout_s, "minutes": minutes,
        "operators": operators,
    }  # fmt: skip
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


def has_answered(entry: BenchmarkEntry) -> bool:
    """Whether an entry comes from its host: then what failed is the model, and another one may run there."""
    return entry.runs is not None


def bundle_of(path: Path, *, operators: bool = False, samples: int = 0, allow_code: bool = False) -> dict[str, bytes]:
    """The bundle of a run folder or of a .tflite, for what `benchmark_places` is to measure.

    Raises:
        DataError: test samples are asked for where there is no run.
    """
    if not path.is_dir() and samples:
        raise DataError(f"{path}: must be a run folder for its test samples. Received: a single model.")
    return run_bundle(path, samples=samples, allow_code=allow_code) if path.is_dir() else model_bundle(path, operators=operators)


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
    _check_measured(measured, run, str(path))
    return entries


def _check_measured(measured: Mapping[str, str], run: Path, origin: str) -> None:
    """Raises DataError where `measured`, name to sha256, are not the models of the run."""
    packed = {name: file["sha256"] for name, file in read_manifest(run)["files"].items()}
    others = [name for name, value in measured.items() if packed.get(name) != value]
    if others:
        raise DataError(f"{origin}: must be measured on the models of {run}. Received: another file for {', '.join(others)}.")


def benchmark_places(
    path: Path, hosts: Sequence[str], *, threads: Threads, runs: int, kernels: Sequence[Kernels] = ("xnnpack",), timeout_s: float,
    minutes: float = 0.0, operators: bool = False, samples: int = 0, allow_code: bool = False, ssh_config: Path | None,
    progress: Progress,
) -> list[BenchmarkEntry]:  # fmt: skip
    """Times a .tflite or the files of a run folder here (`local`) and on hosts.

    What hosts say of a run goes into its report, and so does what is said here of its operators or right answers.

    Args:
        path: of the .tflite or the run folder.
        hosts: destinations of ssh, and `local`.
        threads, runs, kernels, timeout_s, minutes, operators: as in `benchmark_hosts`.
        samples: counts right answers over so many test samples of the run.
        allow_code: for reading those.
        ssh_config, progress: as in `benchmark_hosts`.

    Raises:
        ModelError: neither is there.
        DataError: no test samples can be read, or the run was made again meanwhile.
        DeviceError: a host is no destination of ssh.
    """
    check_path(path)
    remote = [host for host in dict.fromkeys(hosts) if host != LOCAL]
    for host in remote:
        check_destination(host)
    files = bundle_of(path, operators=operators, samples=samples, allow_code=allow_code) if remote or operators or samples else {}
    settings: dict[str, Any] = {"runs": runs, "kernels": kernels, "timeout_s": timeout_s, "minutes": minutes}
    counts = thread_counts() if threads == "all" else threads
    entries, found = [], []
    if LOCAL in hosts and (operators or samples):
        found = measure_here(files, {**settings, "threads": counts, "operators": operators}, progress)
    elif LOCAL in hosts:
        entries = benchmark_path(path, threads=counts, progress=progress, **settings)
    if remote:
        found += benchmark_hosts(files, remote, threads=threads, operators=operators, ssh_config=ssh_config, progress=progress, **settings)
    if path.is_dir() and found:
        sent = {name: hashlib.sha256(files[file]).hexdigest() for name, file in BOARD_FILES.items() if file in files}
        merge_into(path, found, measured=sent)
    return [*entries, *found]


def measure_here(files: Mapping[str, bytes], settings: Mapping[str, Any], progress: Progress) -> list[BenchmarkEntry]:
    """Measures a bundle on this machine, as a device would.

    Args:
        files: of the bundle.
        settings: of `device.bundle.measure_bundle`.
        progress: gets a bar.

    Raises:
        DeviceError: there is nothing to measure with.
    """
    with TemporaryDirectory(prefix="edgecompress-") as folder, progress.task("benchmark") as bar:
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        try:
            found = measure_bundle(read_bundle(folder), **settings, on_progress=lambda done, total, doing: bar.describe(doing))
        except DeviceFault as fault:
            raise DeviceError(fault.reason) from fault
    return [BenchmarkEntry.model_validate({**row, "host": LOCAL}) for row in found["benchmark"]]


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


def merge_into(run: Path, entries: Sequence[BenchmarkEntry], *, measured: Mapping[str, str] | None = None) -> None:
    """Merges entries into the report of a run folder, and writes it again.

    Args:
        run: its folder.
        entries: of its models.
        measured: name to sha256 of the files that the entries are of; absent: they were compared with the run's already.

    Raises:
        DataError: the run has other models by now.
        RunLocked: a run is at work in it.
    """
    with RunFolder(run) as folder:
        _check_measured(measured or {}, folder.path, "the benchmark")
        write_report(merge(Report.load(folder.path), entries), folder.path)


def merge_meter(run: Path, meter: Path, *, host: str | None, offset_s: float) -> None:
    """Puts the energy that a meter beside a board shows into the report of a run folder, and writes it again.

    Raises:
        DataError: it does not say of which board, or does not fit; see `energy.add_energy`.
        RunLocked: a run is at work in it.
    """
    with RunFolder(run) as folder:
        report = Report.load(folder.path)
        hosts = list(dict.fromkeys(entry.host for entry in report.benchmark if entry.sustained))
        if host is None and len(hosts) > 1:
            raise DataError(f"{meter}: --host must say which board it was at: {', '.join(hosts)}.")
        own = [entry for entry in report.benchmark if entry.host in (hosts if host is None else [host])]
        measured = iter(add_energy(own, meter, offset_s=offset_s))
        entries = [next(measured) if entry in own else entry for entry in report.benchmark]
        write_report(report.model_copy(update={"benchmark": entries}), folder.path)


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
