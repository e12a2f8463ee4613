"""Energy by a meter beside the board: its CSV against the times at which the board did nothing and ran a model. Free of TensorFlow."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from edgecompress.device.power import FEWEST_SAMPLES, energy
from edgecompress.errors import DataError
from edgecompress.recipe.suggestions import near_path
from edgecompress.report.schema import BenchmarkEntry

TIME, POWER, VOLTAGE, CURRENT = "time", "power_w", "voltage_v", "current_a"
SPANS = ("idle", "busy")


def add_energy(entries: Sequence[BenchmarkEntry], meter: Path, *, offset_s: float = 0.0) -> list[BenchmarkEntry]:
    """Sets the energy of an invoke where a model ran for minutes (`benchmark --minutes`).

    Args:
        entries: of the board that the meter was at.
        meter: a CSV as `read_power` takes it.
        offset_s: added to the meter's times, where its clock is not the board's.

    Returns:
        The entries; `sustained.energy` of those whose idle and busy times the meter covers is measured now. The others stay as they are:
        a board may have run for minutes with other threads on another day.

    Raises:
        DataError: no entry ran for minutes, or the meter has too few readings of the idle or the busy time of every one that did.
    """
    ran = [entry for entry in entries if entry.sustained and "busy_unix_s" in entry.sustained]
    if not ran:
        raise DataError(f"{meter}: must go with a benchmark that ran for minutes (--minutes). Received: none.")
    times, watts = read_power(meter)
    times = times + offset_s
    measured = [_with_energy(entry, meter.name, times, watts) if entry in ran else None for entry in entries]
    if all(entry is None for entry in measured):
        raise DataError(f"{meter}: {_too_few(max(ran, key=_busy_end), times, watts)}")
    return [new or entry for entry, new in zip(entries, measured, strict=True)]


def _busy_end(entry: BenchmarkEntry) -> float:
    """When its minutes ended, in seconds since 1970."""
    return float((entry.sustained or {})["busy_unix_s"][1])


def _with_energy(entry: BenchmarkEntry, meter: str, times: np.ndarray, watts: np.ndarray) -> BenchmarkEntry | None:
    """An entry that ran for minutes with its energy; None where the readings do not cover its idle and its busy time."""
    sustained: Mapping[str, Any] = entry.sustained or {}
    idle_w, busy_w = (mean_power(times, watts, *sustained[f"{name}_unix_s"]) for name in SPANS)
    if idle_w is None or busy_w is None:
        return None
    start, end = sustained["busy_unix_s"]
    used = energy(meter, idle_w, busy_w, end - start, sum(window["invokes"] for window in sustained["windows"]))
    return entry.model_copy(update={"sustained": {**sustained, "energy": used}})


def _too_few(entry: BenchmarkEntry, times: np.ndarray, watts: np.ndarray) -> str:
    """What the readings lack of an entry that ran for minutes, in words."""
    spans = {name: (entry.sustained or {})[f"{name}_unix_s"] for name in SPANS}
    name = next(name for name in SPANS if mean_power(times, watts, *spans[name]) is None)
    start, end = spans[name]
    inside = int(((times >= start) & (times <= end)).sum())
    return (
        f"must hold at least {FEWEST_SAMPLES} readings of the {end - start:.0f} s that {entry.host} was {name}, from "
        f"{datetime.fromtimestamp(start).astimezone().isoformat(timespec='seconds')} on. Received: {inside}. "
        "If its clock is another one, --meter-offset sets it right."
    )


def mean_power(times: np.ndarray, watts: np.ndarray, start: float, end: float) -> float | None:
    """Mean over a span of time, by the trapezoidal rule, as readings may come unevenly; None of too few readings.

    Args:
        times, watts: [n], times ascending.
        start, end: seconds.
    """
    inside = (times >= start) & (times <= end)
    times, watts = times[inside], watts[inside]
    if len(times) < FEWEST_SAMPLES or times[0] == times[-1]:
        return None
    return float(np.sum(np.diff(times) * (watts[1:] + watts[:-1]) / 2) / (times[-1] - times[0]))


def read_power(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Times (seconds since 1970) and powers (W) of a meter's CSV.

    Its first line names the columns: `time` (seconds since 1970, or ISO 8601, with its zone or in that of this machine), and `power_w`, or
    `voltage_v` and `current_a`. Others are passed over.

    Raises:
        DataError: which line is wrong, and how.
    """
    times, watts = [], []
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            columns = {name.strip().lower(): name for name in rows.fieldnames or []}
            if TIME not in columns or not (POWER in columns or {VOLTAGE, CURRENT} <= columns.keys()):
                wanted = f"{TIME}, and {POWER} or {VOLTAGE} and {CURRENT}"
                raise DataError(f"{path}:1: columns must be {wanted}. Received: {', '.join(columns) or 'none'}.")
            for row in rows:
                seconds, factors = _seconds(row[columns[TIME]]), [POWER] if POWER in columns else [VOLTAGE, CURRENT]
                power = math.prod(float(row[columns[name]]) for name in factors)
                if not math.isfinite(seconds + power):
                    raise ValueError("a number that is not finite")
                times.append(seconds)
                watts.append(power)
    except FileNotFoundError:
        raise DataError(f"{path}: must be the CSV of a meter. Received: nothing is there.{near_path(path)}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: must be a readable CSV. Received: {error}.") from error
    except (ValueError, TypeError, csv.Error) as error:
        raise DataError(f"{path}:{len(times) + 2}: must be a time and numbers. Received: {error}.") from error
    order = np.argsort(times, kind="stable")
    return np.array(times)[order], np.array(watts)[order]


def _seconds(text: str) -> float:
    """A time as seconds since 1970."""
    try:
        return float(text)
    except ValueError:
        return datetime.fromisoformat(text.strip()).timestamp()
