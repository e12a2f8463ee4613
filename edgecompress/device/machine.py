"""What is known about the machine, and what speaks against trusting a timing taken on it. Unknown is None, nothing is guessed."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ROOT = Path("/")

# Bits of `vcgencmd get_throttled`; the same bits 16 places higher say that it happened since the board started.
# Source: Raspberry Pi documentation, "vcgencmd", get_throttled.
_THROTTLE_BITS = {0: "under-voltage", 1: "the clock frequency is capped", 2: "throttled", 3: "the soft temperature limit is active"}

_FREQUENCY = "sys/devices/system/cpu/cpu0/cpufreq"

_OTHERS_LIMIT = 0.2  # cores
_STOLEN_LIMIT = 0.02
_LOAD_LIMIT = 0.5  # load per core
_SHORTEST_PERIOD_S = 0.3  # /proc/stat counts in steps of 10 ms


@dataclass(frozen=True)
class Snapshot:
    """The machine at one moment.

    Attributes:
        clock_s: Monotonic time.
        own_s: Processor time that this process and its ended children have used.
        busy_s: Processor time used since the machine started, all cores and processes.
        stolen_s: Processor time that a hypervisor took away, all cores.
        load: Load average of one minute.
        temperature_celsius: Of the processor.
        throttle_bits: As `vcgencmd get_throttled` prints them.
        frequency_khz: Of the first core.
        swapped_pages: Read from and written to swap since the machine started.
    """

    clock_s: float
    own_s: float
    busy_s: float | None
    stolen_s: float | None
    load: float | None
    temperature_celsius: float | None
    throttle_bits: int | None
    frequency_khz: int | None = None
    swapped_pages: int | None = None


def take_snapshot(root: Path = _ROOT) -> Snapshot:
    """Reads the machine's state. `root` is where `proc` and `sys` are, for tests."""
    busy_s, stolen_s = _processor_seconds(root)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    own = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    own_s = sum(usage.ru_utime + usage.ru_stime for usage in own)
    state = read_temperature_celsius(root), _throttle_bits(), _frequency_khz(root), _swapped_pages(root)
    return Snapshot(time.monotonic(), own_s, busy_s, stolen_s, load, *state)


def num_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def thread_counts() -> list[int]:
    """Every number of threads from 1 to the number of cores."""
    return list(range(1, num_cores() + 1))


def describe_cpu(root: Path = _ROOT) -> dict[str, Any]:
    """The report's `cpu`: model, cores, governor, frequency_khz (of the first core, now), emulated."""
    return {
        "model": _cpu_model(root),
        "cores": num_cores(),
        "governor": _read(root / _FREQUENCY / "scaling_governor"),
        "frequency_khz": _frequency_khz(root),
        "emulated": is_emulated(root),
    }


def _frequency_khz(root: Path) -> int | None:
    """The clock of the first core now."""
    text = _read(root / _FREQUENCY / "scaling_cur_freq")
    return int(text) if text and text.isdigit() else None


def board_name(root: Path = _ROOT) -> str | None:
    """What the board calls itself, such as "Raspberry Pi 4 Model B Rev 1.4"; None where it does not."""
    return (_read(root / "proc/device-tree/model") or "").rstrip("\0") or None


def is_emulated(root: Path = _ROOT) -> bool:
    """Whether the kernel is of another architecture than this Python: then an emulator such as QEMU stands between.

    A 32-bit Python on the 64-bit kernel of its own family is no emulation. Kernels before 6.1 do not tell theirs.
    """
    kernel, own = _read(root / "proc/sys/kernel/arch"), platform.machine()
    families = {"aarch64": "arm", "arm64": "arm", "x86_64": "x86"}
    family = [families.get(name or "", "arm" if (name or "").startswith("arm") else name) for name in (kernel, own)]
    return kernel is not None and family[0] != family[1]


def is_narrow() -> bool:
    """Whether this Python is of 32 bits on a 64-bit kernel, as with a 32-bit user land."""
    return sys.maxsize < 2**32 and platform.machine() in ("aarch64", "arm64", "x86_64")


def throttle_words() -> list[str]:
    """What `vcgencmd get_throttled` says now and since the start of the board, a sentence each."""
    return _bits_in_words(_throttle_bits() or 0)


def read_temperature_celsius(root: Path = _ROOT) -> float | None:
    """The processor's temperature; zones of other parts of the machine are not taken for it."""
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        kind = (_read(zone / "type") or "").lower()
        text = _read(zone / "temp") or ""
        if any(word in kind for word in ("cpu", "soc", "x86_pkg")) and text.lstrip("-").isdigit():
            return int(text) / 1000
    return None


def is_throttled(before: Snapshot, after: Snapshot) -> bool | None:
    """Whether the board was held back before or after the measurement; None where there is no `vcgencmd`."""
    bits = [snapshot.throttle_bits for snapshot in (before, after) if snapshot.throttle_bits is not None]
    return any(value & 0b1111 for value in bits) if bits else None


def distrust_reasons(before: Snapshot, after: Snapshot, *, governor: str | None, cores: int, emulated: bool = False) -> list[str]:
    """What happened on the machine between two snapshots that makes a timing doubtful, one sentence each.

    Args:
        before, after: The machine before the measurement's child processes started and after they ended.
        governor: The frequency governor; anything but "performance" changes the clock during a measurement.
        cores: Usable cores.
        emulated: The processor is not a real one.
    """
    reasons = ["the processor is emulated: its times mean nothing"] if emulated else []
    if is_narrow():
        reasons.append("a 32-bit Python runs on a 64-bit processor: it lacks the fast int8 kernels")
    if before.swapped_pages is not None and after.swapped_pages is not None and after.swapped_pages > before.swapped_pages:
        reasons.append(f"the machine swapped: {after.swapped_pages - before.swapped_pages:,} pages meanwhile")
    if governor not in (None, "performance"):
        reasons.append(f"the CPU governor is '{governor}', not 'performance'")
    reasons += _throttle_reasons(before, after)
    period_s = after.clock_s - before.clock_s
    if before.busy_s is None or after.busy_s is None or before.stolen_s is None or after.stolen_s is None:
        load = before.load
        return reasons + ([f"the load average was {load:.1f} on {cores} cores"] if load is not None and load > _LOAD_LIMIT * cores else [])
    if period_s < _SHORTEST_PERIOD_S:
        return reasons
    others = ((after.busy_s - before.busy_s) - (after.own_s - before.own_s)) / period_s
    if others > _OTHERS_LIMIT:
        reasons.append(f"other processes used {others:.1f} cores meanwhile")
    stolen = (after.stolen_s - before.stolen_s) / (period_s * cores)
    if stolen > _STOLEN_LIMIT:
        reasons.append(f"the hypervisor took {stolen:.0%} of the processor time")
    return reasons


def _throttle_reasons(before: Snapshot, after: Snapshot) -> list[str]:
    """The throttle bits in words: what is so now, and what was so since the board started."""
    return _bits_in_words((before.throttle_bits or 0) | (after.throttle_bits or 0))


def _bits_in_words(bits: int) -> list[str]:
    """A sentence for each bit that is set, now or earlier."""
    found = []
    for position, words in _THROTTLE_BITS.items():
        if bits >> position & 1:
            found.append(f"the board reports: {words}")
        elif bits >> (position + 16) & 1:
            found.append(f"the board reports, earlier since its start: {words}")
    return found


def _processor_seconds(root: Path) -> tuple[float | None, float | None]:
    """Busy and stolen seconds of all cores from the first line of /proc/stat."""
    fields = (_read(root / "proc/stat") or "").split("\n")[0].split()
    if len(fields) < 9 or fields[0] != "cpu":
        return None, None
    user, nice, system, _idle, _iowait, interrupts, soft_interrupts, stolen = (int(field) for field in fields[1:9])
    ticks = os.sysconf("SC_CLK_TCK")
    return (user + nice + system + interrupts + soft_interrupts) / ticks, stolen / ticks


def _swapped_pages(root: Path) -> int | None:
    """Pages that went to or came from swap since the start."""
    rows = dict(row.split(" ", 1) for row in (_read(root / "proc/vmstat") or "").splitlines() if " " in row)
    found = [int(rows[name]) for name in ("pswpin", "pswpout") if rows.get(name, "").isdigit()]
    return sum(found) if len(found) == 2 else None


def _cpu_model(root: Path) -> str | None:
    """The processor's name, or the board's where the processor has none."""
    if is_emulated(root):
        return f"emulated {platform.machine()}"  # /proc/cpuinfo describes the real one
    if sys.platform == "darwin":
        return _command_output(["sysctl", "-n", "machdep.cpu.brand_string"])
    lines = dict(line.split(":", 1) for line in (_read(root / "proc/cpuinfo") or "").splitlines() if ":" in line)
    names = {key.strip(): value.strip() for key, value in lines.items()}
    return names.get("model name") or names.get("Model") or board_name(root)


def _throttle_bits() -> int | None:
    """The number that `vcgencmd get_throttled` prints as throttled=0x50005."""
    text = _command_output(["vcgencmd", "get_throttled"]) or ""
    name, _, number = text.partition("=")
    try:
        return int(number, 16) if name == "throttled" else None
    except ValueError:
        return None


def _command_output(command: list[str]) -> str | None:
    """A program's standard output, None where it is absent, fails or takes longer than 5 s."""
    if shutil.which(command[0]) is None:
        return None
    try:
        finished = subprocess.run(command, capture_output=True, text=True, timeout=5, stdin=subprocess.DEVNULL, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return finished.stdout.strip() or None


def _read(path: Path) -> str | None:
    """A small text file of the kernel, None where it is absent or refuses."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return None
