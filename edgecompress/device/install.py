"""Makes the virtual environment in which a host measures: the right runtime for its Python and architecture."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from .doctor import ENVIRONMENT, describe_machine, wanted_packages
from .fault import DeviceFault

if TYPE_CHECKING:
    from collections.abc import Callable

UNFINISHED = ".unfinished"  # beside it while it is made: what was interrupted is not used, and made again
_TIMEOUT_S = 1800.0
_LAST_WORDS = 300


def install_runtime(on_progress: Callable[[str], None], environment: str = ENVIRONMENT) -> str:
    """Makes the environment and installs NumPy and a runtime into it; a half-made one is removed.

    Args:
        on_progress: Called with what is being done.
        environment: Where; `~` is the home folder.

    Returns:
        Its folder, and what was installed.

    Raises:
        DeviceFault: There is no wheel for this machine, or pip failed; nothing is left then.
    """
    machine = describe_machine()
    packages, why_not = wanted_packages(machine)
    if not packages:
        raise DeviceFault(f"{why_not}")
    folder = os.path.expanduser(environment)
    is_new = not os.path.exists(folder) or os.path.exists(folder + UNFINISHED)
    if is_new:  # one that is whole can be used at any time, also where this ends half-way
        _mark(folder + UNFINISHED)
    try:
        on_progress("making a virtual environment")
        _run([sys.executable, "-m", "venv", *(["--clear"] if is_new else []), folder], "apt install python3-venv")
        on_progress(f"installing {', '.join(packages)}")
        python = os.path.join(folder, "bin", "python")
        _run([python, "-m", "pip", "install", "--disable-pip-version-check", "--only-binary", ":all:", *packages], "see the network")
    except DeviceFault:
        if is_new:
            shutil.rmtree(folder, ignore_errors=True)
            os.remove(folder + UNFINISHED)
        raise
    if is_new:
        os.remove(folder + UNFINISHED)
    return f"{folder}: {', '.join(packages)}"


def _mark(path: str) -> None:
    """An empty file."""
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb"):
            pass
    except OSError as error:
        raise DeviceFault(f"{path}: it must be possible to write there. Received: {error.strerror}") from error


def _run(command: list[str], cure: str) -> None:
    """Runs a program; its last line is the reason if it fails."""
    try:
        finished = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, stdin=subprocess.DEVNULL, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DeviceFault(f"{' '.join(command[:4])} failed: {error}") from error
    if finished.returncode:
        lines = [line for line in (finished.stderr + finished.stdout).splitlines() if line.strip()]
        words = (next((line for line in lines if line.startswith("ERROR")), lines[-1]) if lines else "no words")[:_LAST_WORDS]
        raise DeviceFault(f"{' '.join(command[:4])} failed ({cure}): {words}")
