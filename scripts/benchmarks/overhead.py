"""What a recipe costs beyond a hand-written TF-MOT script that does the same: wall time and peak memory, interleaved.

    EDGECOMPRESS_DATA=... python scripts/benchmarks/overhead.py [--epochs 2,2,1] [--limit 20000] [--rounds 2] [--json FILE]

Both train builder `cnn` on Fashion-MNIST, prune it to 60 % zeros, train it quantization-aware and convert it to int8. The
script also evaluates the baseline, the last Keras model and, one sample at a time, the .tflite. The recipe does more: it
keeps every stage for a resume, evaluates five models, makes three files, compares and reports. Must reach: time <= 1.05
times, memory <= 1.1 times the script's.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

TIME_LIMIT, MEMORY_LIMIT = 1.05, 1.1
HERE = Path(__file__).parent
RECIPE = """
name: overhead
data: {{source: fashion_mnist, path: {data}, preprocess: {{scale: 1/255}}, batch_size: 128{limit}}}
model: {{source: builder, name: cnn, train: {{epochs: {epochs[0]}}}}}
stages:
  - prune_weights: {{sparsity: 0.6, train: {{epochs: {epochs[1]}}}}}
  - quantize_aware: {{train: {{epochs: {epochs[2]}, learning_rate: 1e-4}}}}
export: {{format: int8}}
benchmark: null
"""


def measure(command: list[str]) -> tuple[float, float]:
    """Wall seconds and peak resident megabytes (10^6 bytes) of a command."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    errors = process.stderr.read() if process.stderr else b""
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{command}: {errors.decode()}")
    return time.perf_counter() - started, usage.ru_maxrss * 1024 / 1e6


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", default="2,2,1", help="of training, pruning, quantization-aware training")
    parser.add_argument("--limit", type=int, default=60_000, help="training samples, the validation part included")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    data = Path(os.environ["EDGECOMPRESS_DATA"]) / "fashion_mnist"
    epochs = [int(number) for number in arguments.epochs.split(",")]
    limit = f", limit: {arguments.limit * 9 // 10}" if arguments.limit < 60_000 else ""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "recipe.yaml").write_text(RECIPE.format(data=data, limit=limit, epochs=epochs))
        for index in range(arguments.rounds):
            script = [
                sys.executable,
                str(HERE / "handwritten.py"),
                str(data),
                arguments.epochs,
                str(arguments.limit),
                str(folder / "hand.tflite"),
            ]
            recipe = [
                sys.executable,
                "-m",
                "edgecompress",
                "run",
                str(folder / "recipe.yaml"),
                "--out",
                str(folder / f"run{index}"),
                "--quiet",
            ]
            commands = {"script": script, "recipe": recipe}
            order = list(commands) if index % 2 == 0 else list(reversed(commands))
            measured = {name: measure(commands[name]) for name in order}  # by turns first: a drift of the machine cancels
            rows.append({name: measured[name] for name in commands})
    table = Table("round", "script s", "recipe s", "ratio", "script MB", "recipe MB", "ratio")
    for index, row in enumerate(rows):
        (s, s_mb), (r, r_mb) = row["script"], row["recipe"]
        table.add_row(str(index), f"{s:.1f}", f"{r:.1f}", f"{r / s:.3f}", f"{s_mb:.0f}", f"{r_mb:.0f}", f"{r_mb / s_mb:.3f}")
    versions = {name: version(name) for name in ("tensorflow", "tensorflow-model-optimization", "ai-edge-litert")}
    time_ratio = statistics.median(row["recipe"][0] / row["script"][0] for row in rows)
    memory_ratio = statistics.median(row["recipe"][1] / row["script"][1] for row in rows)
    console = Console()
    console.print(table)
    console.print(f"median ratios: time {time_ratio:.3f}, memory {memory_ratio:.3f}; {versions}")
    if arguments.json:
        result = {"versions": versions, "rows": rows, "time_ratio": time_ratio, "memory_ratio": memory_ratio}
        arguments.json.write_text(json.dumps(result, indent=1))
    return int(time_ratio > TIME_LIMIT or memory_ratio > MEMORY_LIMIT)


if __name__ == "__main__":
    sys.exit(main())
