"""The command of the device package, for use by hand: `python -m edgecompress.device benchmark model.tflite`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import TYPE_CHECKING, Any

from .benchmark import benchmark_models
from .table import format_entries

if TYPE_CHECKING:
    from collections.abc import Sequence

_BAD_INPUT = 2
_DEVICE_FAILED = 4
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None, *, benchmark_program: str | None = None) -> int:
    """Parses, times, prints.

    Args:
        arguments: Without the program's name; None takes those of the process.
        benchmark_program: What the help of `benchmark` calls the program, for a script that is only this command.

    Returns:
        0, or 2 for bad input, 4 if a model failed, 130 if interrupted.
    """
    options = _parser(benchmark_program).parse_args(arguments)
    try:
        models, golden = _named_models(options.models, options.golden)
        entries = benchmark_models(
            models, threads=options.threads, runs=options.runs, golden=golden, timeout_s=options.timeout, on_progress=_show_progress
        )
        print(format_entries(entries))
        if options.json is not None:
            _write_json(options.json, {"benchmark": entries})
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return _BAD_INPUT
    except KeyboardInterrupt:
        return _INTERRUPTED
    return _DEVICE_FAILED if any(entry["error"] for entry in entries) else 0


def _parser(benchmark_program: str | None) -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m edgecompress.device", description="Measures .tflite models on this machine.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    benchmark = commands.add_parser(
        "benchmark",
        help="latency and memory of one or several models, timed side by side",
        description="Times .tflite models in interleaved blocks, each in its own process. Needs only NumPy and a TFLite runtime.",
    )
    benchmark.prog = benchmark_program or benchmark.prog
    add = benchmark.add_argument
    add("models", nargs="+", metavar="MODEL", help=".tflite file")
    add("--threads", type=_numbers, default=[1], metavar="N[,N...]", help="numbers of threads to try, one after the other (default: 1)")
    add("--runs", type=int, default=200, metavar="N", help="timed invokes per model, at least 50; p99 needs 1000 (default: 200)")
    add("--golden", action="append", default=[], metavar="NPZ", help="golden vectors to check first; once per model, in their order")
    add("--timeout", type=float, default=300.0, metavar="SECONDS", help="limit for one model with one number of threads (default: 300)")
    add("--json", metavar="FILE", help="also writes the full results to FILE")
    return parser


def _named_models(models: Sequence[str], golden: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Name to path of the models and of their golden files; a file's own name is enough where no two share it."""
    for path in [*models, *golden]:
        if not os.path.isfile(path):
            raise ValueError(f"{path}: must be a file that exists")
    if golden and len(golden) != len(models):
        raise ValueError(f"--golden must be given once per model ({len(models)}). Received: {len(golden)}")
    names = [os.path.basename(path) for path in models]
    if len(set(names)) < len(names):
        names = list(models)
    return {name: models[position] for position, name in enumerate(names)}, {names[position]: path for position, path in enumerate(golden)}


def _numbers(text: str) -> list[int]:
    """1,2,4 as a list."""
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be whole numbers with commas between them. Received: {text!r}") from None


def _show_progress(done: int, total: int, doing: str) -> None:
    """One line on a terminal that is written over; nothing elsewhere."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{done * 100 // total:3d} % {doing}" if done < total else "\r\033[K")
        sys.stderr.flush()


def _write_json(path: str, content: dict[str, Any]) -> None:
    """Writes under a temporary name, then renames."""
    unfinished = f"{path}.{os.getpid()}.tmp"
    try:
        with open(unfinished, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=2)
            file.write("\n")
        os.replace(unfinished, path)
    finally:
        if os.path.exists(unfinished):
            os.remove(unfinished)


if __name__ == "__main__":
    raise SystemExit(main())
