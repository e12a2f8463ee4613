"""What a machine offers to a TFLite model, what it lacks, and the command that mends it. Runs without NumPy and without a runtime."""

from __future__ import annotations

import hashlib
import importlib
import os
import platform
import struct
import sys
import sysconfig
from pathlib import Path
from typing import Any

from . import edge_tpu
from .machine import board_name, describe_cpu, is_emulated, read_temperature_celsius, throttle_words

ENVIRONMENT = "~/.local/share/edgecompress/venv"  # of a host; `edgecompress.remote` looks there first
_ROOT = Path("/")
_OLDEST_PYTHON = (3, 9)
# CPython versions with a wheel, by runtime; tflite-runtime's last release is 2.14.0.
_LITERT_PYTHONS = ((3, 10), (3, 13))
_OLD_RUNTIME_PYTHONS = ((3, 9), (3, 11))
_LITERT_MACHINES = ("aarch64", "arm64", "x86_64")
_OLD_RUNTIME_MACHINES = ("aarch64", "armv7l", "x86_64")


def describe_machine(root: Path = _ROOT) -> dict[str, Any]:
    """The machine as plain data; unknown is None.

    Returns:
        id (of this one machine: what it measured is told from what another one of its name did), name, board, system, architecture, bits
        (of this Python), emulated, python, python_program (how to call it), takes_packages (False: pip installs in a virtual environment
        only), numpy, runtime, runtime_version, runtime_refused (why none imports), cores, cpu, governor, frequency_khz, memory_kb,
        available_kb, swap_kb, temperature_celsius, throttled[] (words), edge_tpu_library (file or None).
    """
    cpu, memory = describe_cpu(root), _memory(root)
    runtime, version, refused = _runtime()
    return {
        "id": _id(root),
        "name": platform.node() or "unnamed",
        "board": board_name(root),
        "system": platform.platform(terse=True),
        "architecture": platform.machine(),
        "bits": struct.calcsize("P") * 8,
        "emulated": is_emulated(root),
        "python": platform.python_version(),
        "python_program": sys.executable if _is_virtual() else "python3",
        "takes_packages": _is_virtual() or not os.path.exists(os.path.join(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED")),
        "numpy": _version("numpy"),
        "runtime": runtime,
        "runtime_version": version,
        "runtime_refused": refused,
        "cores": cpu["cores"],
        "cpu": cpu["model"],
        "governor": cpu["governor"],
        "frequency_khz": cpu["frequency_khz"],
        **memory,
        "temperature_celsius": read_temperature_celsius(root),
        "throttled": throttle_words(),
        "edge_tpu_library": edge_tpu.find_library(),
    }


def find_problems(machine: dict[str, Any]) -> list[dict[str, str | None]]:
    """What is missing or wrong on a machine, worst first.

    Args:
        machine: From `describe_machine`.

    Returns:
        Per problem `what`, in one sentence, and `command`, which mends it; None where no command does.
    """
    problems: list[dict[str, str | None]] = []
    if machine["numpy"] is None or machine["runtime"] is None:
        lacking = [name for name, value in (("NumPy", machine["numpy"]), ("a TFLite runtime", machine["runtime"])) if value is None]
        packages, why_not = wanted_packages(machine)
        what = f"{' and '.join(lacking)} cannot be imported" + (f"; {why_not}" if why_not else "")
        if packages and not machine["takes_packages"]:
            what += "; this system's Python takes none, so make a virtual environment, and start the program with its bin/python3"
        problems.append({"what": what, "command": _install_command(machine, packages) if packages else None})
    if machine["bits"] == 32 and machine["architecture"] in ("aarch64", "arm64", "x86_64"):
        problems.append({"what": "a 64-bit kernel runs a 32-bit Python; int8 models are several times slower there", "command": None})
    if machine["governor"] not in (None, "performance"):
        command = "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
        problems.append({"what": f"the CPU governor is '{machine['governor']}', so the clock changes while timing", "command": command})
    for words in machine["throttled"]:
        problems.append({"what": f"{words}; see its power supply and cooling", "command": None})
    if machine["emulated"]:
        problems.append({"what": "the processor is emulated: its times mean nothing", "command": None})
    return problems


def lack_in_words(machine: dict[str, Any]) -> str:
    """That NumPy or a runtime cannot be imported, and the command that mends it, in one line; nothing where both can."""
    if machine["numpy"] is not None and machine["runtime"] is not None:
        return ""
    problem = find_problems(machine)[0]
    return f"{problem['what']}" + (f": {problem['command']}" if problem["command"] else "")


def wanted_packages(machine: dict[str, Any]) -> tuple[list[str], str | None]:
    """The packages that give this machine a runtime, or none and why: which wheel does not exist, and what to do."""
    version = tuple(int(part) for part in machine["python"].split(".")[:2])
    kind = "armv7l" if machine["bits"] == 32 and machine["architecture"] in ("aarch64", "arm64") else machine["architecture"]
    if kind in _LITERT_MACHINES and _LITERT_PYTHONS[0] <= version <= _LITERT_PYTHONS[1]:
        return ["ai-edge-litert", "numpy"], None
    if kind in _OLD_RUNTIME_MACHINES and _OLD_RUNTIME_PYTHONS[0] <= version <= _OLD_RUNTIME_PYTHONS[1]:
        return ["tflite-runtime==2.14.0", "numpy<2"], None
    python = ".".join(map(str, version))
    cure = (
        "use a 64-bit system, or Python 3.9 to 3.11" if kind == "armv7l"
        else f"use Python {_LITERT_PYTHONS[0][0]}.{_LITERT_PYTHONS[0][1]} to {_LITERT_PYTHONS[1][0]}.{_LITERT_PYTHONS[1][1]}"
        if kind in _LITERT_MACHINES else "use a machine of 64-bit Arm or x86"
    )  # fmt: skip
    return [], f"there is no wheel of ai-edge-litert or tflite-runtime for Python {python} on {kind}: {cure}"


def format_machine(machine: dict[str, Any], problems: list[dict[str, str | None]]) -> str:
    """The machine and its problems for a terminal."""
    runtime = f"{machine['runtime']} {machine['runtime_version']}" if machine["runtime"] else "none"
    memory = (
        "unknown" if machine["memory_kb"] is None else f"{machine['memory_kb'] / 1000:,.0f} MB, {machine['available_kb'] / 1000:,.0f} free"
    )
    lines = [
        ("machine", f"{machine['name']}, {machine['board'] or machine['cpu'] or 'unknown processor'}"),
        ("system", f"{machine['system']}, {machine['architecture']}, {machine['bits']}-bit Python {machine['python']}"),
        ("runtime", f"{runtime}, NumPy {machine['numpy'] or 'none'}"),
        ("cores", f"{machine['cores']}, governor {machine['governor'] or 'unknown'}"),
        ("memory", f"{memory}, swap {(machine['swap_kb'] or 0) / 1000:,.0f} MB"),
        ("Edge TPU", machine["edge_tpu_library"] or "no libedgetpu"),
    ]
    text = [f"{name:9}{value}" for name, value in lines]
    for problem in problems:
        text.append(f"- {problem['what']}" + (f"\n    {problem['command']}" if problem["command"] else ""))
    return "\n".join(text if problems else [*text, "nothing is missing"])


def _id(root: Path) -> str | None:
    """What no other machine has: a short hash of the board's serial number, else of the number that the system drew for itself."""
    for file in ("proc/device-tree/serial-number", "etc/machine-id"):
        try:
            value = (root / file).read_text(errors="replace").strip("\0 \n")
        except OSError:
            continue
        if value.strip("0") and value != "uninitialized":  # as the system has it before its first start has ended
            return hashlib.sha256(f"edgecompress {value}".encode()).hexdigest()[:12]
    return None


def _is_virtual() -> bool:
    """Whether this Python is that of a virtual environment."""
    return sys.prefix != sys.base_prefix


def _install_command(machine: dict[str, Any], packages: list[str]) -> str:
    """What makes packages importable there."""
    names = " ".join(_quoted(packages))
    if machine["takes_packages"]:
        return f"{machine['python_program']} -m pip install {names}"
    return f"python3 -m venv {ENVIRONMENT} && {ENVIRONMENT}/bin/python3 -m pip install {names}"


def _quoted(packages: list[str]) -> list[str]:
    """Package names as a shell takes them."""
    return [f'"{package}"' if "<" in package else package for package in packages]


def _memory(root: Path) -> dict[str, float | None]:
    """Sizes from /proc/meminfo in units of 1,000 bytes."""
    try:
        rows = dict(line.split(":", 1) for line in (root / "proc/meminfo").read_text().splitlines() if ":" in line)
        sizes = {name: int(value.split()[0]) * 1.024 for name, value in rows.items()}
    except (OSError, ValueError, IndexError):
        sizes = {}
    return {"memory_kb": sizes.get("MemTotal"), "available_kb": sizes.get("MemAvailable"), "swap_kb": sizes.get("SwapTotal")}


def _runtime() -> tuple[str | None, str | None, str | None]:
    """Name and version of the runtime, or why there is none."""
    if sys.version_info < _OLDEST_PYTHON:
        return None, None, f"Python must be 3.9 or newer. Received: {platform.python_version()}"
    try:
        found = importlib.import_module(".installed", __package__).find_runtime()
    except Exception as error:  # whatever a half-installed package raises: the doctor is for finding that out
        return None, None, str(error)
    return found.name, found.version, None


def _version(package: str) -> str | None:
    """The version of a package that imports."""
    try:
        return str(importlib.import_module(package).__version__)
    except Exception:  # as above
        return None
