"""The latency table: one JSON file, the user's own, of what small files took on one host.

format             "edgecompress latency table"
version            1
host               destination of ssh, or local
machine            {name, board, cpu, architecture, cores, runtime, runtime_version}: another one may not add to it
threads            numbers of threads that are measured
formats            types of numbers that are measured
updated_at         time of the last measurement, ISO 8601, UTC
rows[]             one file with one number of threads each:
    key            which file it was; see `specimens`
    threads        of the runtime
    kind           operator: files of one operator; network: small networks, which show what a sum of operators leaves out
    operators[]    what the file holds, see `workload`
    kernels        xnnpack | builtin
    visits         how often it was timed, at times far apart; the figures are those of the least disturbed visit
    p50_ms         lower quartile of the medians of the visit's blocks: what an undisturbed block takes
    spread         (upper - lower quartile) / p50_ms of these blocks: the error of the measurement
    error          why there is no time; then p50_ms is null
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, field_validator

from edgecompress.errors import DataError
from edgecompress.latency.workload import Workload
from edgecompress.recipe.suggestions import near_path
from edgecompress.store import write_atomic

FORMAT: Literal["edgecompress latency table"] = "edgecompress latency table"
VERSION: Literal[1] = 1
SAME_MACHINE = ("name", "cpu", "architecture", "cores", "runtime", "runtime_version")
Format = Literal["float32", "int8", "dynamic"]


class Machine(BaseModel):
    """What was measured on; unknown is None."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    board: str | None = None
    cpu: str | None = None
    architecture: str
    cores: int | None = None
    runtime: str
    runtime_version: str


class Row(BaseModel):
    """What one file took with one number of threads; see the module."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    threads: int = Field(ge=1)
    kind: Literal["operator", "network"]
    operators: tuple[Workload, ...]
    kernels: Literal["xnnpack", "builtin"] | None
    visits: int = Field(default=1, ge=1)
    p50_ms: float | None = Field(gt=0)
    spread: float | None = Field(default=None, ge=0)
    error: str | None = None


def less_disturbed(old: Row, new: Row) -> Row:
    """Of two rows of one file and number of threads that with the shorter time, with the visits of both."""
    is_old = new.p50_ms is None or (old.p50_ms is not None and old.p50_ms <= new.p50_ms)
    return (old if is_old else new).model_copy(update={"visits": old.visits + new.visits})


class LatencyTable(BaseModel):
    """A table in memory; rows may be added and replaced; `save` writes the file."""

    model_config = ConfigDict(extra="forbid")

    format: Literal["edgecompress latency table"] = FORMAT
    version: Literal[1] = VERSION
    host: str
    machine: Machine
    threads: list[int]
    formats: list[Format]
    updated_at: str
    rows: list[Row] = []
    _fits: dict[int, tuple[list[Row], Any]] = PrivateAttr(default_factory=dict)

    @property
    def fits(self) -> dict[int, tuple[list[Row], Any]]:
        """Number of threads -> rows, and what `fit` has learned from them."""
        return self._fits

    @field_validator("rows")
    @classmethod
    def _each_once(cls, rows: list[Row]) -> list[Row]:
        """Rows of one file and number of threads become one, as visits do: earlier versions wrote two where both were in one part."""
        found: dict[tuple[str, int], Row] = {}
        for row in rows:
            old = found.get((row.key, row.threads))
            found[row.key, row.threads] = row if old is None else less_disturbed(old, row)
        return list(found.values())

    def save(self, path: Path) -> None:
        """Writes the file, atomically.

        Raises:
            StorageError: it cannot be written.
        """
        self.updated_at = datetime.now(UTC).isoformat(timespec="seconds")
        values = self.model_dump(mode="json", exclude_defaults=True)
        rows = ",\n  ".join(json.dumps(row, separators=(",", ":")) for row in values.pop("rows", []))
        head = json.dumps({"format": FORMAT, "version": VERSION, **values}, indent=1, ensure_ascii=False)
        write_atomic(path, f'{head[:-2]},\n "rows": [\n  {rows}\n ]\n}}\n')

    def differences(self, machine: Machine) -> list[str]:
        """In words, what tells another machine from the table's own; [] for the same."""
        pairs = {name: (getattr(self.machine, name), getattr(machine, name)) for name in SAME_MACHINE}
        return [f"{name} {new} instead of {old}" for name, (old, new) in pairs.items() if old != new]


def load_table(path: str | Path) -> LatencyTable:
    """The table in a file.

    Raises:
        DataError: nothing is there, or something else, or a table that is cut off, damaged or of a newer version.
    """
    path = Path(path)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        expected = "must be a latency table, as edgecompress learn-latency makes it"
        raise DataError(f"{path}: {expected}. Received: nothing is there.{near_path(path)}") from None
    except OSError as error:
        raise DataError(f"{path}: a latency table must be readable. Received: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: must be a whole latency table in JSON. Received: {error}; it may be cut off.") from error
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise DataError(f"{path}: must be a latency table, as edgecompress learn-latency makes it. Received: JSON of another kind.")
    if values.get("version") != VERSION:
        received = f"version {values.get('version')!r}"
        raise DataError(f"{path}: the table must be of version {VERSION}. Received: {received}; update edgecompress, or learn it again.")
    try:
        return LatencyTable.model_validate(values)
    except ValidationError as error:
        raise DataError(f"{path}: {_first_fault(error)}") from error


def _first_fault(error: ValidationError) -> str:
    """One line about the first key that is missing or wrong."""
    fault: Any = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in fault["loc"]) or "the table"
    received = "nothing" if fault["type"] == "missing" else f"{fault['input']!r:.80}"
    return f"{key} must be as edgecompress learn-latency writes it ({fault['msg']}). Received: {received}."
