"""How small benchmark_device.pyz is, and how long it takes until it could time a model, beside its imports; in turns.

    python scripts/benchmarks/device_start.py [--runs 11] [--json FILE]

Must reach: below 100 kB, and 0.3 s beyond the imports of NumPy and the runtime. (A new process for the model is part of the benchmark.)
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from edgecompress.bundle.pack import PROGRAM, program

LIMITS = {"bytes": 100_000, "seconds": 0.3}
IMPORTS = "import numpy, ai_edge_litert.interpreter"
STARTED = "import sys; sys.path.insert(0, {path!r}); import device.__main__, device.bundle, device.benchmark, device.jobs; "
STARTED += "from device.installed import find_runtime; find_runtime()"


def measure(commands: dict[str, list[str]], runs: int) -> dict[str, float]:
    """Median seconds of each command, in turns."""
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(runs + 1):
        for name, arguments in commands.items():
            started = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
            seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(values[1:]) for name, values in seconds.items()}  # the first round fills the caches


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=11)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / PROGRAM
        path.write_bytes(program())
        commands = {"bare python": ["-c", "pass"], "its imports": ["-c", IMPORTS], "started": ["-c", STARTED.format(path=str(path))]}
        seconds, size = measure(commands, arguments.runs), path.stat().st_size
    own = seconds["started"] - seconds["its imports"]
    table = Table("command", "median s")
    for name, value in seconds.items():
        table.add_row(name, f"{value:.3f}")
    Console().print(table)
    print(f"beside its imports {own:.3f} s (limit {LIMITS['seconds']}), {PROGRAM} {size:,} bytes (limit {LIMITS['bytes']:,})")
    if arguments.json:
        arguments.json.write_text(json.dumps({"python": sys.version.split()[0], "seconds": seconds, "own_s": own, "bytes": size}, indent=1))
    raise SystemExit(own > LIMITS["seconds"] or size > LIMITS["bytes"])


if __name__ == "__main__":
    main()
