"""Latency on other machines: bundles sent to hosts, and what comes back merged into the report of a run. Free of TensorFlow."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from edgecompress.benchmarking import RUN_FILES, Measurement, benchmark_path, check_path, own_turn, steps_on
from edgecompress.bundle import model_bundle, run_bundle
from edgecompress.bundle.pack import BOARD_FILES, PROGRAM, program
from edgecompress.destination import LOCAL, check_destination
from edgecompress.device import DeviceFault
from edgecompress.device.bundle import measure_bundle, read_bundle
from edgecompress.device.doctor import describe_machine, find_problems
from edgecompress.device_results import merge, merge_into
from edgecompress.errors import DataError, DeviceError
from edgecompress.remote import Job, Outcome, ask_hosts
from edgecompress.report import write_report
from edgecompress.report.schema import BenchmarkEntry, Report

if TYPE_CHECKING:
    from edgecompress.progress import Progress


def benchmark_hosts(
    files: Mapping[str, bytes], hosts: Sequence[str], measurement: Measurement, *, ssh_config: Path | None = None, progress: Progress
) -> list[BenchmarkEntry]:
    """Times the models of a bundle on several hosts at once; a host that fails has an entry with `error`.

    Args:
        files: of the bundle.
        hosts: destinations of ssh.
        measurement: what is measured, the same on each.
        ssh_config: handed to `ssh -F`.
        progress: gets a bar.
    """
    job = Job({"job": "benchmark", **asdict(measurement)}, files, PROGRAM)
    with progress.task(f"benchmark on {', '.join(hosts)}") as bar:
        outcomes = ask_hosts(hosts, job, ssh_config=ssh_config, on_progress=steps_on(bar))
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


def benchmark_places(
    path: Path, hosts: Sequence[str], measurement: Measurement, *, samples: int = 0, allow_code: bool = False,
    ssh_config: Path | None = None, progress: Progress,
) -> list[BenchmarkEntry]:  # fmt: skip
    """Times a .tflite or the files of a run folder here (`local`) and on hosts.

    What hosts say of a run goes into its report, and so does what is said here of its operators or right answers.

    Args:
        path: of the .tflite or the run folder.
        hosts: destinations of ssh, and `local`.
        measurement: what is measured, the same on each.
        samples: counts right answers over so many test samples of the run.
        allow_code: for reading those.
        ssh_config, progress: as in `benchmark_hosts`.

    Raises:
        ModelError: neither is there.
        DataError: no test samples can be read, the run was made again meanwhile, or a time is out of range.
        DeviceError: a host is no destination of ssh.
    """
    check_path(path)
    measurement.check()
    remote = [host for host in dict.fromkeys(hosts) if host != LOCAL]
    for host in remote:
        check_destination(host)
    operators = measurement.operators
    files = bundle_of(path, operators=operators, samples=samples, allow_code=allow_code) if remote or operators or samples else {}
    entries, found = [], []
    if LOCAL in hosts and (operators or samples):
        found = measure_here(files, measurement, progress)
    elif LOCAL in hosts:
        entries = benchmark_path(path, measurement, progress)
    if remote:
        found += benchmark_hosts(files, remote, measurement, ssh_config=ssh_config, progress=progress)
    if path.is_dir() and found:
        sent = {name: hashlib.sha256(files[file]).hexdigest() for name, file in BOARD_FILES.items() if file in files}
        merge_into(path, found, measured=sent)
    return [*entries, *found]


def measure_here(files: Mapping[str, bytes], measurement: Measurement, progress: Progress) -> list[BenchmarkEntry]:
    """Measures a bundle on this machine, as a device would; what is compiled for an Edge TPU is for devices alone.

    Args:
        files: of the bundle.
        measurement: what is measured.
        progress: gets a bar.

    Raises:
        DeviceError: there is nothing to measure with.
    """
    with own_turn(progress), TemporaryDirectory(prefix="edgecompress-") as folder, progress.task("benchmark") as bar:
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        try:
            bundle = read_bundle(folder)
            models = {name: file for name, file in bundle.models.items() if name in RUN_FILES or len(bundle.models) == 1}
            found = measure_bundle(
                replace(bundle, models=models), threads=measurement.counts, runs=measurement.runs, kernels=measurement.kernels,
                timeout_s=measurement.timeout_s, minutes=measurement.minutes, operators=measurement.operators, on_progress=steps_on(bar),
            )  # fmt: skip
        except DeviceFault as fault:
            raise DeviceError(fault.reason) from fault
    return [BenchmarkEntry.model_validate({**row, "host": LOCAL}) for row in found["benchmark"]]


def measure_run(run: Path, report: Report, hosts: Sequence[str], *, ssh_config: Path | None, progress: Progress) -> Report:
    """Times a finished run on the hosts of its recipe, as the recipe says, and writes its report again.

    The caller holds the run folder.
    """
    entries = benchmark_hosts(run_bundle(run), hosts, Measurement(), ssh_config=ssh_config, progress=progress)
    merged = merge(report, entries)
    write_report(merged, run)
    return merged


def local_outcome() -> Outcome:
    """What this machine offers and lacks."""
    machine = describe_machine()
    return Outcome(LOCAL, {"machine": machine, "problems": find_problems(machine)}, None)
