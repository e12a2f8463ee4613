"""p50 of `edgecompress benchmark` beside that of Google's litert-benchmark (in the package ai-edge-litert), in turns, in new processes.

    python scripts/benchmarks/peer_latency.py model.tflite [...] [--rounds 7] [--runs 200] [--json FILE]

Must reach, on a quiet machine: within 3 % for models over 1 ms. litert-benchmark rounds to 10 us, which is too coarse for smaller ones.
Of each tool the best round counts: what other processes add is never negative.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from edgecompress.device.benchmark import benchmark_models
from edgecompress.device.machine import describe_cpu

LIMIT, SMALLEST_MS = 0.03, 1.0
MODULE = "from ai_edge_litert.tools.benchmark_litert_model import main; main()"


def own_p50_ms(model: str, runs: int) -> float:
    """p50 of this package."""
    (entry,) = benchmark_models({Path(model).name: model}, threads=[1], runs=runs, timeout_s=300)
    if entry["error"]:
        raise SystemExit(f"error: {entry['error']}")
    return float(entry["p50_ms"])


def peer_p50_ms(model: str, runs: int) -> float:
    """The median that litert-benchmark writes."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        arguments = ["--model", model, "--num_threads", "1", "--num_runs", str(runs), "--warmup_runs", "50", "--result_json", str(result)]
        subprocess.run([sys.executable, "-c", MODULE, *arguments], check=True, capture_output=True)
        return float(json.loads(result.read_text())["latency"]["median_ms"])


def measure(model: str, rounds: int, runs: int) -> dict[str, Any]:
    """Rounds of one model: A B, B A, A B, ..."""
    own, peer = [], []
    for number in range(rounds):
        for measure_one, found in ((own_p50_ms, own), (peer_p50_ms, peer))[:: -1 if number % 2 else 1]:
            found.append(measure_one(model, runs))
    return {"model": Path(model).name, "own_ms": own, "peer_ms": peer, "ratio": min(own) / min(peer), "counts": min(peer) >= SMALLEST_MS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help=".tflite files")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = [measure(model, arguments.rounds, arguments.runs) for model in arguments.models]
    table = Table("model", "own p50 ms, best", "litert-benchmark p50 ms, best", "ratio", f"within {LIMIT:.0%}")
    for one in found:
        judged = "too small to tell" if not one["counts"] else "yes" if abs(one["ratio"] - 1) <= LIMIT else "no"
        table.add_row(one["model"], f"{min(one['own_ms']):.4f}", f"{min(one['peer_ms']):.2f}", f"{one['ratio']:.3f}", judged)
    Console().print(table)
    if arguments.json:
        about = {"python": platform.python_version(), "litert": version("ai-edge-litert"), "cpu": describe_cpu()}
        arguments.json.write_text(json.dumps({**about, "models": found}, indent=1))
    raise SystemExit(any(one["counts"] and abs(one["ratio"] - 1) > LIMIT for one in found))


if __name__ == "__main__":
    main()
