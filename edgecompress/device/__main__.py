"""The command of the device package, for use by hand: `python -m edgecompress.device benchmark model.tflite`.

In a bundle it is benchmark_device.pyz, which measures the bundle that it lies in.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import TYPE_CHECKING, Any

from .doctor import describe_machine, find_problems, format_machine, lack_in_words
from .fault import DeviceFault
from .machine import thread_counts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

_BAD_INPUT = 2
_DEVICE_FAILED = 4
_INTERRUPTED = 130
_TURN_LIMIT_S = 1800.0


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
        return int(options.command(options))
    except DeviceFault as fault:
        print(f"error: {fault.reason}", file=sys.stderr)
        return _DEVICE_FAILED
    except ImportError as error:
        print(f"error: {lack_in_words(describe_machine()) or error}", file=sys.stderr)
        return _DEVICE_FAILED
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return _BAD_INPUT
    except KeyboardInterrupt:
        return _INTERRUPTED


def run_beside(program: str, arguments: Sequence[str]) -> int:
    """What benchmark_device.pyz does: without a command it measures the bundle in its own folder.

    Args:
        program: Path of the .pyz.
        arguments: Those of the process.
    """
    if arguments and arguments[0] in ("benchmark", "bundle", "doctor"):
        return main(arguments)
    return main(["bundle", "--folder", os.path.dirname(os.path.abspath(program)), *arguments])


def _measure_models(options: argparse.Namespace) -> int:
    """`benchmark`: files by name."""
    from .benchmark import benchmark_models, check_settings

    models, golden = _named_models(options.models, options.golden)
    kernels = options.kernels or ["xnnpack"]
    check_settings(options.threads, options.runs, kernels, options.timeout, options.minutes)
    with _own_turn():
        entries = benchmark_models(
            models,
            threads=options.threads,
            runs=options.runs,
            golden=golden,
            kernels=kernels,
            timeout_s=options.timeout,
            minutes=options.minutes,
            on_progress=_show_progress,
        )
    return _report(entries, {"benchmark": entries}, options.json)


def _measure_bundle(options: argparse.Namespace) -> int:
    """`bundle`: what lies in a folder."""
    from .bundle import RESULT_FILE, measure_bundle, read_bundle

    bundle = read_bundle(options.folder)
    with _own_turn():
        measured = measure_bundle(
            bundle,
            threads=options.threads,
            runs=options.runs,
            kernels=options.kernels,
            timeout_s=options.timeout,
            minutes=options.minutes,
            operators=options.operators,
            on_progress=_show_progress,
        )
    return _report(measured["benchmark"], measured, options.json or RESULT_FILE)


def _own_turn() -> AbstractContextManager[None]:
    """This machine for one benchmark; says for whom it waits."""
    from .turn import holder, turn

    def say() -> None:
        print(f"waiting for another benchmark on this machine: {holder()}", file=sys.stderr)

    return turn(limit_s=_TURN_LIMIT_S, on_wait=say)


def _report(entries: list[dict[str, Any]], content: dict[str, Any], path: str | None) -> int:
    """Prints a table, writes the file, and says by the exit code whether all went well."""
    from .table import find_failures, format_entries

    print(format_entries(entries))
    if path is not None:
        _write_json(path, content)
    return _DEVICE_FAILED if any(map(find_failures, entries)) else 0


def _doctor(options: argparse.Namespace) -> int:
    """`doctor`: what this machine offers and lacks."""
    machine = describe_machine()
    problems = find_problems(machine)
    print(json.dumps({"machine": machine, "problems": problems}, indent=2) if options.as_json else format_machine(machine, problems))
    return 0 if machine["runtime"] and machine["numpy"] else _DEVICE_FAILED


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
    benchmark.set_defaults(command=_measure_models)
    add = benchmark.add_argument
    add("models", nargs="+", metavar="MODEL", help=".tflite file")
    _add_settings(benchmark, threads=[1], runs=200)
    add("--golden", action="append", default=[], metavar="NPZ", help="golden vectors to check first; once per model, in their order")
    bundle = commands.add_parser(
        "bundle",
        help="checks and measures the bundle in a folder, and writes device.json",
        description="Compares files with their hashes and golden outputs, then times the models of a bundle in turns.",
    )
    bundle.set_defaults(command=_measure_bundle)
    bundle.add_argument("--folder", default=".", metavar="DIR", help="where the bundle was unpacked")
    bundle.add_argument("--operators", action="store_true", help="then times each operator alone, as a one-operator model")
    _add_settings(bundle, threads=None, runs=None)
    doctor = commands.add_parser("doctor", help="what this machine offers and lacks")
    doctor.set_defaults(command=_doctor)
    doctor.add_argument("--json", dest="as_json", action="store_true", help="prints one JSON object")
    return parser


def _add_settings(parser: argparse.ArgumentParser, *, threads: list[int] | None, runs: int | None) -> None:
    """What every way to measure takes."""
    add = parser.add_argument
    said = f"default: {','.join(map(str, threads))}" if threads else "default: the recipe's"
    add("--threads", type=_numbers, default=threads, metavar="N[,N...]", help=f"numbers of threads, or all: 1 to the cores ({said})")
    add(
        "--runs", type=int, default=runs, metavar="N",
        help=f"timed invokes per model, at least 50; p99 needs 1000 (default: {runs or 'the recipe has it'})",
    )  # fmt: skip
    add("--kernels", type=_families, metavar="FAMILY[,FAMILY]", help="xnnpack (the runtime's default), builtin, or both, timed in turns")
    add("--timeout", type=_seconds, default=300.0, metavar="SECONDS", help="limit for one step of one model (default: 300)")
    add("--minutes", type=_minutes, default=0.0, metavar="M", help="then runs the first model so long without a pause")
    add("--json", metavar="FILE", help="also writes the full results to FILE" if threads else "where to write (default: device.json)")


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
    """1,2,4 as a list; all: 1 to the number of cores."""
    if text == "all":
        return thread_counts()
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be whole numbers with commas between them, or all. Received: {text!r}") from None


def _families(text: str) -> list[str]:
    """xnnpack, builtin or both."""
    families = text.split(",")
    if not set(families) <= {"xnnpack", "builtin"}:
        raise argparse.ArgumentTypeError(f"must be xnnpack, builtin, or both with a comma between them. Received: {text!r}")
    return list(dict.fromkeys(families))


def _minutes(text: str) -> float:
    """A number of minutes, up to a day."""
    try:
        minutes = float(text)
    except ValueError:
        minutes = -1.0
    if not 0 <= minutes <= 1440:
        raise argparse.ArgumentTypeError(f"must be a number of minutes up to 1440. Received: {text!r}")
    return minutes


def _seconds(text: str) -> float:
    """A number of seconds, from one to a day."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 1 <= seconds <= 86_400:
        raise argparse.ArgumentTypeError(f"must be a number of seconds from 1 to 86,400. Received: {text!r}")
    return seconds


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
