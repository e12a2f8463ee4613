"""What was measured elsewhere goes into the report of a run: figures of boards and of meters beside them. Free of TensorFlow."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgecompress.bundle.pack import read_manifest
from edgecompress.destination import DESTINATION_PATTERN, LOCAL
from edgecompress.energy import add_energy
from edgecompress.errors import DataError
from edgecompress.goals import judge_goals
from edgecompress.recipe.schema import Goal
from edgecompress.recipe.suggestions import near_path
from edgecompress.report import write_report
from edgecompress.report.schema import BenchmarkEntry, Report
from edgecompress.store import RunFolder


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


def read_device_files(files: Sequence[Path], run: Path) -> list[BenchmarkEntry]:
    """The entries of several of them, each FILE, or NAME=FILE to say what its board is called in the report.

    Raises:
        DataError: as `read_device_file`; or a board has the name of another one, as boards do whose owner never named them, or of the
            machine that the run was made on.
    """
    known = Report.load(run).benchmark
    found: dict[str, list[BenchmarkEntry]] = {}
    for file in files:
        name, path = _named(file)
        entries = read_device_file(path, run)
        for host in dict.fromkeys(entry.host for entry in entries):
            own = [entry.model_copy(update={"host": name or host}) for entry in entries if entry.host == host]
            taken = "is in another of these files" if own[0].host in found else _taken(own[0], known, run)
            if taken is not None:
                raise DataError(
                    f"{path}: must be of a board with a name of its own: {own[0].host} {taken}. "
                    f"Received: one of {own[0].cpu.get('model') or 'an unknown processor'}. --device NAME={path} names it."
                )
            found[own[0].host] = own
    return [entry for own in found.values() for entry in own]


def _taken(entry: BenchmarkEntry, known: Sequence[BenchmarkEntry], run: Path) -> str | None:
    """Whose name a board has that is not its own, in words; None: it has one of its own. What is unknown is not held against it."""
    if entry.host == LOCAL:
        return f"is the machine that made {run}"
    for other in known:
        if other.host != entry.host:
            continue
        before, now = other.cpu.get("model"), entry.cpu.get("model")
        if None not in (before, now) and before != now:
            return f"is of {before}, as {run} has it"
        if not _is_one_machine(other, entry):
            return f"is another board of this kind, as {run} has it"
    return None


def _named(file: Path) -> tuple[str | None, Path]:
    """NAME=FILE in its parts; a file that is there may have such a name itself."""
    name, sign, path = str(file).partition("=")
    return (name, Path(path)) if sign and not file.exists() and re.match(DESTINATION_PATTERN, name) else (None, file)


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
    """The report with new entries, and the goals judged again.

    An entry takes the place of that of the same host, model, threads and kernels, and keeps its minutes, right answers and operators where
    it has none of its own, or could not measure them. What else was measured on its host stays, so that a narrower benchmark takes no
    figure away that a goal stands on. That is true as long as it is of the same files, which a report is by itself (a run that is made
    again starts another), and of the same machine and runtime: what an earlier runtime or another governor showed goes.
    A host that failed as a whole keeps what was measured on it before.
    """
    measured = {entry.host for entry in entries if entry.p50_ms is not None}
    before = {entry.host for entry in report.benchmark if entry.p50_ms is not None}
    new = [entry for entry in entries if entry.host in measured or entry.host not in before]
    replaced = {entry.host for entry in new}
    timed = [entry for entry in new if entry.p50_ms is not None]
    own = {
        _what(entry): entry
        for entry in report.benchmark
        if any(_machine(one) == _machine(entry) and _is_one_machine(one, entry) for one in timed)
    }
    fresh = {_what(entry): _with_rest(entry, own.get(_what(entry))) for entry in new}
    # Every figure keeps its place: the first of a host is the one that the report speaks of.
    stays = [entry for entry in report.benchmark if entry.host not in replaced or _what(entry) in {*own, *fresh}]
    merged = [fresh.pop(_what(entry), entry) for entry in stays] + list(fresh.values())
    drop = report.verdict.test.drop if report.verdict else None
    goal = Goal.model_validate(report.recipe.get("goal") or {})
    goals = judge_goals(goal, report.artifact.model_dump(), drop, merged, report.stages[-1].macs if report.stages else None)
    return report.model_copy(update={"benchmark": merged, "goals": goals})


def _check_measured(measured: Mapping[str, str], run: Path, origin: str) -> None:
    """Raises DataError where `measured`, name to sha256, are not the models of the run."""
    packed = {name: file["sha256"] for name, file in read_manifest(run)["files"].items()}
    others = [name for name, value in measured.items() if packed.get(name) != value]
    if others:
        raise DataError(f"{origin}: must be measured on the models of {run}. Received: another file for {', '.join(others)}.")


def _what(entry: BenchmarkEntry) -> tuple[object, ...]:
    """What an entry is of."""
    return entry.host, entry.model, entry.threads, entry.requested_kernels or entry.kernels


def _machine(entry: BenchmarkEntry) -> tuple[object, ...]:
    """What it was measured with."""
    return entry.host, entry.runtime, entry.runtime_version, *(entry.cpu.get(key) for key in ("model", "cores", "governor"))


def _is_one_machine(one: BenchmarkEntry, other: BenchmarkEntry) -> bool:
    """Whether their ids agree: boards of one kind have the same name and processor. One without an id may be any."""
    return None in (one.machine_id, other.machine_id) or one.machine_id == other.machine_id


def _with_rest(entry: BenchmarkEntry, before: BenchmarkEntry | None) -> BenchmarkEntry:
    """An entry with what only the one before it has, where it did not fail; a closer look that failed takes no good one away."""
    if before is None or entry.error is not None:
        return entry
    rest = {}
    for key in ("sustained", "accuracy", "operators"):
        old, new = getattr(before, key), getattr(entry, key)
        if new is None or (new.get("error") and old is not None and not old.get("error")):
            rest[key] = old
    return entry.model_copy(update=rest)
