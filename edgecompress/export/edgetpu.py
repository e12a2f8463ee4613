"""What the Edge TPU would do with a file: by the published rules, and by its compiler where that is installed."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgecompress.store import storage_errors
from edgecompress.tflite.edgetpu import place_operators

COMPILER = "edgetpu_compiler"
TIME_LIMIT_S = 180
_MEMORY = {
    "on_chip_used": "On-chip memory used for caching model parameters",
    "off_chip_used": "Off-chip memory used for streaming uncached model parameters",
}
_UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20}


def judge(content: bytes, tensors: Mapping[str, int]) -> dict[str, Any]:
    """Where the operators of a file would run.

    Args:
        content: of the .tflite, not shrunk: the tensors still have their names.
        tensors: layer of the Keras model -> index of the tensor that holds its output.

    Returns:
        num_operators, num_mapped, and `left`: index, operator, output, fate, reason, rewrite and layer of each that is not surely mapped.
    """
    layers = {index: layer for layer, index in tensors.items()}
    placements = place_operators(content)
    left = [{**asdict(place), "layer": layers.get(place.output_index)} for place in placements if place.fate != "maps"]
    return {"num_operators": len(placements), "num_mapped": len(placements) - len(left), "left": left}


def warn(found: Mapping[str, Any]) -> list[str]:
    """What keeps the file from running on the Edge TPU as a whole: one line about the first operator; [] where nothing does."""
    if not found["left"]:
        return []
    first = found["left"][0]
    where = f" of layer {first['layer']}" if first["layer"] else ""
    verb = "may stay" if first["fate"] == "may_not_map" else "stays"
    rewrite = f". Instead: {first['rewrite']}" if first["rewrite"] else ""
    rest = f"; {found['num_mapped']} of {found['num_operators']} operators map"
    return [f"Edge TPU: {first['operator']}{where} {verb} on the CPU, with all that follows from it: {first['reason']}{rewrite}{rest}"]


def run_compiler(content: bytes) -> tuple[bytes, dict[str, Any]] | None:
    """Google's compiler, where it is on PATH.

    Returns:
        The compiled file and the facts of `parse_log`; None where there is no compiler, or it refused: `warn` then has the reason.

    Raises:
        StorageError: the temporary folder cannot be written.
    """
    program = shutil.which(COMPILER)
    if program is None:
        return None
    with storage_errors(Path(tempfile.gettempdir())), tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "model.tflite").write_bytes(content)
        try:
            command = [program, "-s", "-o", folder, str(Path(folder) / "model.tflite")]
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT_S, stdin=subprocess.DEVNULL, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return None
        compiled = Path(folder) / "model_edgetpu.tflite"
        return (compiled.read_bytes(), parse_log(done.stdout)) if compiled.is_file() else None


def parse_log(log: str) -> dict[str, Any]:
    """The figures of the compiler's log.

    Returns:
        compiler (version), num_mapped, num_on_cpu, on_chip_used_bytes, off_chip_used_bytes, and `operators`: [name, count, status] of the
        table at its end. None, or no rows, where the log does not say.
    """
    version = re.search(r"Edge TPU Compiler version (\S+)", log)
    counts = {
        "num_mapped": re.search(r"Number of operations that will run on Edge TPU: (\d+)", log),
        "num_on_cpu": re.search(r"Number of operations that will run on CPU: (\d+)", log),
    }
    rows = re.findall(r"^([A-Z][A-Z0-9_]*|[a-z][\w-]*-op)\s+(\d+)\s+(\S.*?)\s*$", log, re.MULTILINE)
    return {
        "compiler": version[1] if version else None,
        **{key: int(match[1]) if match else None for key, match in counts.items()},
        **{f"{key}_bytes": _memory(log, words) for key, words in _MEMORY.items()},
        "operators": [[name, int(count), status] for name, count, status in rows],
    }


def _memory(log: str, words: str) -> int | None:
    """A line such as `On-chip memory used ...: 415.25KiB` in bytes."""
    match = re.search(rf"{re.escape(words)}: ([\d.]+)(B|KiB|MiB)", log)
    return round(float(match[1]) * _UNITS[match[2]]) if match else None
