"""Energy of an invoke, where a power meter is built in: measured or absent, never estimated."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

_ROOT = Path("/")
_METERS = ("ina219", "ina220", "ina226", "ina230", "ina231", "ina3221")  # chips that the kernel's hwmon interface knows
_INTERVAL_S = 0.05
FEWEST_SAMPLES = 10


class PowerMeter:
    """Samples a meter in a thread of its own, from entry to exit of a `with` statement.

    Attributes:
        samples_w: What was read so far, in watts.
    """

    def __init__(self, file: Path) -> None:
        self._file, self._ended = file, threading.Event()
        self.samples_w: list[float] = []
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> PowerMeter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._ended.wait(_INTERVAL_S):
            try:
                self.samples_w.append(int(self._file.read_text()) / 1e6)  # the kernel gives microwatts
            except (OSError, ValueError):  # the chip is busy now and then
                continue

    def mean_w(self) -> float | None:
        """The mean so far; None of too few samples."""
        return sum(self.samples_w) / len(self.samples_w) if len(self.samples_w) >= FEWEST_SAMPLES else None


def find_meter(root: Path = _ROOT) -> tuple[str, Path] | None:
    """Name of the chip and the file with its power; None where there is no meter.

    Source: Linux kernel documentation, hwmon sysfs interface, power*_input.
    """
    for folder in sorted((root / "sys/class/hwmon").glob("hwmon*")):
        try:
            name = (folder / "name").read_text().strip()
        except OSError:
            continue
        file = folder / "power1_input"
        if name in _METERS and file.exists():
            return name, file
    return None


def idle_power_w(file: Path, seconds: float = 3.0) -> float | None:
    """Mean power while this process does nothing."""
    with PowerMeter(file) as meter:
        time.sleep(seconds)
    return meter.mean_w()


def energy(meter: str | None, idle_w: float | None, busy_w: float | None, seconds: float, invokes: int) -> dict[str, Any]:
    """The energy of one invoke above that of an idle board.

    Args:
        meter: Name of the chip; None: there is none.
        idle_w, busy_w: Mean power before, and while it ran.
        seconds, invokes: How long it ran, and how often.

    Returns:
        measured; meter, idle_w, busy_w, mj_per_invoke (millijoules), which are None where nothing was measured.
    """
    if meter is None or idle_w is None or busy_w is None:
        return {"measured": False, "meter": meter, "idle_w": None, "busy_w": None, "mj_per_invoke": None}
    return {
        "measured": True, "meter": meter, "idle_w": idle_w, "busy_w": busy_w, "mj_per_invoke": (busy_w - idle_w) * seconds / invokes * 1e3,
    }  # fmt: skip
