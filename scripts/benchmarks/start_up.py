"""How long it takes until edgecompress answers: import, --help, check; each beside a bare interpreter, interleaved.

    python scripts/benchmarks/start_up.py [--runs 11] [--json FILE]

Must reach: import < 0.1 s beyond the bare interpreter, --help < 0.5 s, check < 1 s.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

QUICKSTART = str(Path(__file__).parents[2] / "recipes" / "quickstart.yaml")
COMMANDS = {
    "bare python": ["-c", "pass"],
    "import edgecompress": ["-c", "import edgecompress"],
    "edgecompress --help": ["-m", "edgecompress", "--help"],
    "edgecompress check": ["-m", "edgecompress", "check", QUICKSTART],
}


def measure(runs: int) -> dict[str, list[float]]:
    """Seconds of each command, in turns: A B C D A B C D ..."""
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(runs + 1):
        for name, arguments in COMMANDS.items():
            started = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
            seconds[name].append(time.perf_counter() - started)
    return {name: values[1:] for name, values in seconds.items()}  # the first round fills the caches


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=11)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    seconds = measure(arguments.runs)
    table = Table("command", "min s", "median s", "max s")
    for name, values in seconds.items():
        table.add_row(name, *(f"{value:.3f}" for value in (min(values), statistics.median(values), max(values))))
    Console().print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps({"python": sys.version.split()[0], "seconds": seconds}, indent=1))


if __name__ == "__main__":
    main()
