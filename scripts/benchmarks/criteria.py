"""Which channels to cut: every criterion at three budgets of MACs, over several seeds, before and after fine-tuning.

    EDGECOMPRESS_DATA=... python scripts/benchmarks/criteria.py [--seeds 3] [--criteria taylor,l1,random] [--rows FILE] [--json FILE]

Each seed trains builder `cnn` at width 16 on 20,000 images of Fashion-MNIST. Each criterion then cuts a copy to each budget in
one step, ranked globally, BatchNormalization re-estimated, and one epoch of fine-tuning follows; accuracy is that on the 10,000
test images. Each finished cut is a line of --rows, and a call with the same file goes on after it. Must reach, at half of the
MACs before fine-tuning: taylor >= l1 > random, in the mean over the seeds.
"""

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

from rich.console import Console
from rich.table import Table

NUM_IMAGES, NUM_CALIBRATION = 20_000, 1000
NETWORK = {"name": "cnn", "width": 16}  # 218,778 parameters
BUDGETS = (0.7, 0.5, 0.3)  # of the MACs
EPOCHS, TUNING_EPOCHS = 6, 1
BEFORE, AFTER = "before", "after"
JUDGED_BUDGET = 0.5


JUDGED = ("taylor", "l1", "random")


def all_criteria() -> list[str]:
    """All that a recipe may name; the judged ones first."""
    from edgecompress.recipe.stages import PruneChannels

    return [*JUDGED, *(name for name in get_args(PruneChannels.model_fields["criterion"].annotation) if name not in JUDGED)]


def run_seed(seed: int, rows: Path, criteria: list[str], done: set[tuple[str, float]]) -> None:
    """Trains the network of one seed and cuts it in every way that is not done yet, in this process."""
    from edgecompress.backend import set_threads

    set_threads(1)
    from edgecompress.models import build_model
    from edgecompress.recipe.schema import BuilderModel
    from edgecompress.recipe.stages import PruneChannels
    from edgecompress.recipe.training import Training
    from edgecompress.techniques.prune_channels import apply
    from edgecompress.training import fit

    with tempfile.TemporaryDirectory() as name:
        surroundings = context(seed, Path(name))
        data = surroundings.data
        model = build_model(BuilderModel(source="builder", **NETWORK), data.input_shape, data.num_outputs, seed=seed)
        fit(model, Training(epochs=EPOCHS, learning_rate=2e-3, schedule="cosine"), replace(surroundings, folder=folder(name, "whole")))
        write(rows, {"seed": seed, "criterion": "none", "budget": 1.0, BEFORE: accuracy(model, surroundings), AFTER: None})
        for criterion in criteria:
            for budget in BUDGETS:
                if (criterion, budget) in done:
                    continue
                own = replace(surroundings, folder=folder(name, f"{criterion}-{budget}"))
                cut = apply(model, PruneChannels(macs=budget, criterion=criterion, round_to=1), own).model
                before = accuracy(cut, own)
                fit(cut, Training(epochs=TUNING_EPOCHS, learning_rate=1e-3, schedule="cosine"), own)
                write(rows, {"seed": seed, "criterion": criterion, "budget": budget, BEFORE: before, AFTER: accuracy(cut, own)})


def context(seed: int, place: Path) -> Any:
    """Surroundings of a training on Fashion-MNIST, without progress bars."""
    from edgecompress.data import load_data
    from edgecompress.progress import Progress
    from edgecompress.recipe.schema import Data, Preprocess, Task
    from edgecompress.stage import Context

    path = str(Path(os.environ["EDGECOMPRESS_DATA"]) / "fashion_mnist")
    config = Data(
        source="fashion_mnist", path=path, preprocess=Preprocess(scale=1 / 255), limit=NUM_IMAGES, calibration=NUM_CALIBRATION,
        batch_size=128,
    )  # fmt: skip
    return Context("benchmark", load_data(config, Task(), seed=seed), Task(), seed, None, (), place, Progress(), lambda model: {})


def folder(parent: str, name: str) -> Path:
    """A new folder, for what a training keeps on its way."""
    path = Path(parent) / name
    path.mkdir()
    return path


def accuracy(model: Any, surroundings: Any) -> float:
    """On the 10,000 test images."""
    from edgecompress.evaluation import evaluate_keras
    from edgecompress.progress import Progress

    task, test = surroundings.task, surroundings.data.test
    return float(evaluate_keras(model, test, task, batch_size=500, progress=Progress()).metrics["accuracy"])


def write(rows: Path, row: dict[str, Any]) -> None:
    """Appends one finished row; short lines of several processes do not mix."""
    with open(rows, "a") as file:
        file.write(json.dumps(row) + "\n")


def read(rows: Path) -> list[dict[str, Any]]:
    """What is done so far; a baseline that was trained again counts once."""
    found = {(row["seed"], row["criterion"], row["budget"]): row for row in map(json.loads, rows.read_text().splitlines())}
    return list(found.values())


def mean(found: list[dict[str, Any]], criterion: str, budget: float, when: str) -> float:
    """Over the seeds; NaN where nothing is done yet."""
    values = [row[when] for row in found if (row["criterion"], row["budget"]) == (criterion, budget)]
    return statistics.mean(values) if values else math.nan


def show(found: list[dict[str, Any]], console: Console) -> bool:
    """The table; whether the order is the one that it must be."""
    console.print(f"without a cut: {100 * mean(found, 'none', 1.0, BEFORE):.2f} %")
    table = Table("criterion", *(f"{when}, {100 * budget:.0f} % of the MACs" for when in (BEFORE, AFTER) for budget in BUDGETS), "seeds")
    for criterion in dict.fromkeys(row["criterion"] for row in found if row["criterion"] != "none"):
        cells = (f"{100 * mean(found, criterion, budget, when):.2f} %" for when in (BEFORE, AFTER) for budget in BUDGETS)
        table.add_row(criterion, *cells, str(len({row["seed"] for row in found if row["criterion"] == criterion})))
    console.print(table)
    taylor, l1, random = (mean(found, name, JUDGED_BUDGET, BEFORE) for name in JUDGED)
    return taylor >= l1 > random


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--criteria", help="absent: all", type=lambda text: text.split(","))
    parser.add_argument("--processes", type=int, default=2, help="seeds at the same time, one thread each")
    parser.add_argument("--rows", type=Path, default=Path("criteria.jsonl"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seed", type=int, help=argparse.SUPPRESS)  # of a child
    arguments = parser.parse_args()
    if arguments.seed is not None:
        found = read(arguments.rows) if arguments.rows.exists() else []
        run_seed(
            arguments.seed,
            arguments.rows,
            arguments.criteria or all_criteria(),
            {(row["criterion"], row["budget"]) for row in found if row["seed"] == arguments.seed},
        )
        return 0

    def child(seed: int) -> None:
        chosen = ["--criteria", ",".join(arguments.criteria)] if arguments.criteria else []
        subprocess.run([sys.executable, __file__, "--seed", str(seed), *chosen, "--rows", str(arguments.rows)], check=True)

    with ThreadPoolExecutor(arguments.processes) as pool:
        list(pool.map(child, range(arguments.seeds)))
    found = read(arguments.rows)
    reached = show(found, Console(width=140))
    if arguments.json:
        versions = {name: version(name) for name in ("tensorflow", "tf_keras", "numpy")} | {"python": platform.python_version()}
        arguments.json.write_text(json.dumps({"versions": versions, "rows": found}, indent=1))
    return int(not reached)


if __name__ == "__main__":
    sys.exit(main())
