"""What a search is worth: hypervolume after so many minutes against plain Optuna, and throughput of two workers.

    python scripts/benchmarks/search.py [--minutes 10] [--seeds 5] [--short] [--throughput 12] [--table FILE] [--json FILE]

Same space, same baseline, same judge (accuracy on the validation split, bytes and predicted p50 of the .tflite):
  search: `edgecompress search` as it comes: its start, its sampler, its harvest, its stage cache;
  plain:  Optuna's TPE on the same objectives; every trial is a whole run of its own, the baseline included, and brings nothing along.
The hypervolume is taken over the error (log10 from 0.5 % to 50 %), bytes (log10 from 4 kB to 200 kB) and p50 (log10 from 1 to 100 us),
each scaled to [0, 1]; the reference point is the worst corner. p50 is predicted from --table, a table of `edgecompress learn-latency`
of this machine; where there is none, it is learned first, for LEARN_MINUTES.
Must reach: 1.2 times the hypervolume of plain at the end, or plain's last value in a third of the time.

--throughput N: 2 workers on one study do N trials; two loops without study, queue and shared cache do as many. Single-threaded.
Must reach 0.9 times the trials per second of the loops. --short: 2 minutes, 2 seeds.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

RATIO_LIMIT, TIME_LIMIT, THROUGHPUT_LIMIT = 1.2, 1 / 3, 0.9
SCALES = {"error": (0.005, 0.5), "bytes": (4e3, 2e5), "p50_ms": (1e-3, 0.1)}  # best and worst of each
LEARN_MINUTES = 3
MEETING_SECONDS = 300
RECIPE = """\
name: benchmark
seed: {seed}
threads: {threads}
data: {{source: digits, preprocess: {{scale: 1/16}}, batch_size: 64}}
model: {{source: builder, name: cnn, width: 16, train: {{epochs: 10, learning_rate: 2e-3, schedule: cosine}}}}
stages:
  - prune_channels: {{id: cut, macs: 0.5, round_to: 1, train: {{epochs: 6, schedule: cosine}}}}
  - prune_neurons: {{id: neurons, parameters: 0.6, round_to: 1, train: {{epochs: 4, schedule: cosine}}}}
  - equalize: {{id: equal}}
export: {{format: int8, io: float32}}
target: {{latency_table: {table}}}
benchmark: null
search:
  space:
    stages.cut.macs: {{low: 0.15, high: 0.9}}
    stages.cut.criterion: [taylor, l1]
    stages.neurons.parameters: {{low: 0.4, high: 0.95}}
    export.format: [int8, dynamic]
    export.io: [float32]
  optional: [neurons, equal]
  objectives: [accuracy, size, latency]
  trials: 100000
  minutes: {minutes}
"""
PLAIN = "  sampler: tpe\n  halving: null\n  harvest: 0\n"


def study_in(folder: Path, table: Path, seed: int, minutes: float, arm: str, threads: int, trials: int = 100000):
    """Recipe and study of one arm."""
    import edgecompress as ec
    from edgecompress.search.study import Heartbeat, default_storage, open_study

    text = RECIPE.format(seed=seed, minutes=minutes, threads=threads, table=table.absolute()) + (PLAIN if arm == "plain" else "")
    recipe = ec.load_recipe("benchmark.yaml", {"search.trials": trials}, text=text)
    return recipe, open_study(recipe, default_storage(folder), Heartbeat())


def search_arm(arm: str, folder: Path, table: Path, seed: int, minutes: float) -> None:
    """In a process of its own: fills the study of one arm for so many minutes."""
    from edgecompress.progress import Progress
    from edgecompress.search.loop import Worker
    from edgecompress.search.stage_cache import StageCache

    recipe, study = study_in(folder, table, seed, minutes, arm, threads=os.cpu_count() or 1)
    worker = Worker(recipe, study, StageCache(folder / "cache"), allow_code=False)
    if arm == "plain":
        laboratory, number = worker._laboratory, iter(range(1_000_000))
        whole_run = laboratory.run

        def without_cache(*arguments, **options):
            laboratory.cache = StageCache(folder / f"cache-{next(number)}")
            return whole_run(*arguments, **options)

        laboratory.run = without_cache
    worker.work(Progress())


def measured(folder: Path, table: Path, seed: int, minutes: float, arm: str) -> tuple[list[tuple[float, tuple[float, ...]]], int]:
    """(minutes since the first trial began, (error, bytes, p50 in ms)) of every complete trial; how many trials ended."""
    _, study = study_in(folder, table, seed, minutes, arm, threads=os.cpu_count() or 1)
    trials = study.study.get_trials(deepcopy=False)
    begin = min(trial.datetime_start for trial in trials)
    complete = [trial for trial in trials if trial.state.name == "COMPLETE"]
    points = [((trial.datetime_complete - begin).total_seconds() / 60, (1 - trial.values[0], *trial.values[1:])) for trial in complete]
    return sorted(points), sum(trial.state.is_finished() for trial in trials)


def hypervolume_of(points: list[tuple[float, ...]]) -> float:
    """On scales from 0, best, to 1, the reference."""
    import numpy as np

    from edgecompress.search.front import hypervolume

    scaled = [
        [np.log10(max(value, low) / low) / np.log10(high / low) for value, (low, high) in zip(p, SCALES.values(), strict=True)]
        for p in points
    ]
    return hypervolume(np.array(scaled).reshape(-1, 3), np.ones(3))


def compare(table: Path, seed: int, minutes: float) -> dict[str, float]:
    """Both arms, one after the other."""
    found = {"seed": seed}
    curves = {}
    for arm in ("plain", "search"):
        with tempfile.TemporaryDirectory(prefix="edgecompress-") as name:
            options = {"--arm": arm, "--folder": name, "--table": table, "--seeds": seed, "--minutes": minutes}
            command = [sys.executable, __file__, *(str(word) for option in options.items() for word in option)]
            subprocess.run(command, check=True, capture_output=True)
            points, found[f"{arm}_trials"] = measured(Path(name), table, seed, minutes, arm)
        curves[arm] = [(at, hypervolume_of([values for _, values in points[: index + 1]])) for index, (at, _) in enumerate(points)]
        found[f"{arm}_hypervolume"] = curves[arm][-1][1] if curves[arm] else 0.0
    found["ratio"] = found["search_hypervolume"] / max(1e-9, found["plain_hypervolume"])
    reached = [at for at, value in curves["search"] if value >= found["plain_hypervolume"]]
    found["time_fraction"] = min(reached) / minutes if reached else float("inf")
    return found


def loop(folder: Path, table: Path, first: int, number: int) -> None:
    """In a process of its own: tries points without study and queue; prints seconds from its first trial to its last."""
    from edgecompress.progress import Progress
    from edgecompress.recipe.space import Chance, make_space
    from edgecompress.search.stage_cache import StageCache
    from edgecompress.search.trial import Laboratory

    recipe, _ = study_in(folder, table, 0, 60, "plain", threads=1)
    space = make_space(recipe)
    laboratory = Laboratory(space, StageCache(folder / "cache"), allow_code=False)
    laboratory.run(space.draw(Chance(999)), lambda *_: True, Progress(), in_full=True)  # baseline and imports
    wait_for_both(folder)
    started = time.time()
    for index in range(number):
        laboratory.run(space.draw(Chance(first + index)), lambda *_: True, Progress(), in_full=True)
    print(json.dumps([started, time.time(), number]))


def work(folder: Path, table: Path, number: int) -> None:
    """The same as a worker of one study, beside another."""
    from edgecompress.progress import Progress
    from edgecompress.recipe.space import Chance, make_space
    from edgecompress.search.loop import Worker
    from edgecompress.search.stage_cache import StageCache
    from edgecompress.search.trial import Laboratory

    recipe, study = study_in(folder, table, 0, 60, "plain", threads=1, trials=number)
    space, cache = make_space(recipe), StageCache(folder / "cache")
    Laboratory(space, cache, allow_code=False).run(space.draw(Chance(999)), lambda *_: True, Progress(), in_full=True)
    worker = Worker(recipe, study, cache, allow_code=False)
    wait_for_both(folder)
    started = time.time()
    worker.work(Progress())
    print(json.dumps([started, time.time(), 0]))


def wait_for_both(folder: Path) -> None:
    """Until two processes have come so far; not for ever, as the other may have failed."""
    latest = time.monotonic() + MEETING_SECONDS
    (folder / f"ready-{os.getpid()}").touch()
    while len(list(folder.glob("ready-*"))) < 2:
        if time.monotonic() > latest:
            sys.exit("the other process did not come")
        time.sleep(0.05)


def throughput(table: Path, number: int) -> dict[str, float]:
    """Trials per second of two loops and of two workers."""
    found = {}
    for kind in ("loops", "workers"):
        with tempfile.TemporaryDirectory(prefix="edgecompress-") as name:
            folders = [Path(name), Path(name)]
            options = [["--loop", str(100 * part)] if kind == "loops" else ["--work"] for part in (0, 1)]
            count = number // 2 if kind == "loops" else number
            commands = [
                [sys.executable, __file__, "--folder", str(folder), "--table", str(table), "--throughput", str(count), *option]
                for folder, option in zip(folders, options, strict=True)
            ]
            running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) for command in commands]
            times = [json.loads(process.communicate()[0].splitlines()[-1]) for process in running]
        found[f"{kind}_per_minute"] = 60 * number / (max(end for _, end, _ in times) - min(start for start, _, _ in times))
    found["throughput_ratio"] = found["workers_per_minute"] / found["loops_per_minute"]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--throughput", type=int, default=0)
    parser.add_argument("--table", type=Path, default=Path("search-latency.json"))
    parser.add_argument("--json", type=Path)
    for hidden in ("--arm", "--loop"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.arm:
        search_arm(options.arm, options.folder, options.table, options.seeds, options.minutes)
    elif options.loop:
        loop(options.folder, options.table, int(options.loop), options.throughput)
    elif options.work:
        work(options.folder, options.table, options.throughput)
    else:
        return report(options)
    return 0


def report(options: argparse.Namespace) -> int:
    """Measures, prints a table, writes JSON; 1 where a limit is missed."""
    import edgecompress as ec

    if not options.table.exists():
        ec.learn_latency(options.table, minutes=LEARN_MINUTES)
    minutes, seeds = (2.0, 2) if options.short else (options.minutes, options.seeds)
    packages = {name: version(name) for name in ("edgecompress", "optuna", "tensorflow")}
    found = {"python": platform.python_version(), "packages": packages, "minutes": minutes, "cores": os.cpu_count(), "seeds": []}
    print(f"{'seed':>4} {'plain':>8} {'search':>8} {'ratio':>6} {'time':>6} {'trials':>12}")
    for seed in range(seeds):
        row = compare(options.table, seed, minutes)
        found["seeds"].append(row)
        trials = f"{row['plain_trials']}, {row['search_trials']}"
        values = f"{row['plain_hypervolume']:8.4f} {row['search_hypervolume']:8.4f} {row['ratio']:6.2f} {row['time_fraction']:6.2f}"
        print(f"{seed:>4} {values} {trials:>12}", flush=True)
    missed = []
    if seeds:
        found["ratio"] = statistics.median(row["ratio"] for row in found["seeds"])
        found["time_fraction"] = statistics.median(row["time_fraction"] for row in found["seeds"])
        print(f"median ratio {found['ratio']:.2f} (limit {RATIO_LIMIT}), time {found['time_fraction']:.2f} (limit {TIME_LIMIT:.2f})")
        missed += [] if found["ratio"] >= RATIO_LIMIT or found["time_fraction"] <= TIME_LIMIT else ["hypervolume"]
    if options.throughput:
        found |= throughput(options.table, options.throughput)
        rates = f"workers {found['workers_per_minute']:.1f}, loops {found['loops_per_minute']:.1f}"
        print(f"trials per minute: {rates}, ratio {found['throughput_ratio']:.2f} (limit {THROUGHPUT_LIMIT})")
        missed += [] if found["throughput_ratio"] >= THROUGHPUT_LIMIT else ["throughput"]
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))
    if missed:
        print(f"missed: {', '.join(missed)}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
