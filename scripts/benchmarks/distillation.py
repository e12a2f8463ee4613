"""What each distillation loss gains: students on Fashion-MNIST with a tenth of the labels, over several seeds.

    EDGECOMPRESS_DATA=... python scripts/benchmarks/distillation.py [--seeds 5] [--processes 2] [--rows FILE]
    EDGECOMPRESS_DATA=... python scripts/benchmarks/distillation.py --cost

Students of one kind have the same start, the same samples and the same number of updates; only the losses differ. They train
until labels alone would overfit; a row tells what a student reaches that stops at a quarter. The student is builder `mlp`;
losses that compare maps of features need convolutions, so they, and kd beside them, also teach a small `cnn`. Teachers are a
`cnn` trained on the same tenth, and the same network trained on all labels; the last row gives the first teacher the other nine
tenths without their labels, in as many updates. Rate, epochs and temperature of `mlp` were chosen by the training images that no
student sees. Each finished student is a line of --rows, and a call with the same file goes on after it. Must reach: kd or dkd,
taught by the teacher of the same tenth, is at least 1.0 point above the student alone, with a 95 % interval above 0. --cost: a
training step with stored teacher outputs takes at most 1.15 times a plain one.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

NUM_LABELS, BATCH_SIZE = 6000, 64
TEACHER, TEACHER_EPOCHS, ALL_LABELS_EPOCHS = {"name": "cnn", "width": 32}, 30, 3  # 871,210 parameters
NETWORKS = {"mlp": {"name": "mlp", "width": 256}, "cnn": {"name": "cnn", "width": 4}}  # 269,322 and 14,046 parameters
EPOCHS = {"mlp": 80, "cnn": 12}
RATE = {"mlp": 5e-3, "cnn": 4e-3, "teacher": 2e-3}
LEAST_GAIN, COST_LIMIT = 0.010, 1.15
T_VALUES = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365}  # two-sided 95 %, by number of seeds
LOSSES: dict[str, dict[str, Any]] = {
    "kd": {"kd": {"temperature": 2.0, "weight": 1.0}},
    "dkd": {"dkd": {"temperature": 2.0, "others_weight": 2.0}},
    "hard_labels": {"hard_labels": {}},
    "mse": {"mse": {"weight": 0.1}},
    "hints": {"hints": {"weight": 0.1}},
    "rkd_distance": {"rkd_distance": {}},
    "rkd_angle": {"rkd_angle": {"weight": 2.0}},
    "similarity_preserving": {"similarity_preserving": {"weight": 10.0}},
    "correlation_congruence": {"correlation_congruence": {"weight": 10.0}},
    "attention_transfer": {"attention_transfer": {}},
    "gram": {"gram": {"weight": 0.1}},
    "fsp": {"fsp": {"weight": 0.1}},
    "kd + attention_transfer": {"kd": {"temperature": 2.0, "weight": 1.0}, "attention_transfer": {"weight": 0.1}},
}
OF_MAPS = ("attention_transfer", "gram", "fsp", "kd + attention_transfer")
ALONE, EARLY, ALL_LABELS, UNLABELLED = "alone", "alone, a quarter of the epochs", "kd, teacher of all labels", "kd, nine tenths unlabelled"
STUDENTS = [
    *(f"mlp, {name}" for name in (ALONE, EARLY, *(loss for loss in LOSSES if loss not in OF_MAPS), ALL_LABELS, UNLABELLED)),
    *(f"cnn, {name}" for name in (ALONE, "kd", *OF_MAPS)),
]


def run_seed(seed: int, rows: Path, wanted: list[str]) -> None:
    """Trains the students of one seed that are not in `rows` yet, in this process."""
    from edgecompress.backend import set_threads

    set_threads(1)
    from edgecompress.recipe.distillation import Distillation
    from edgecompress.recipe.training import Training
    from edgecompress.techniques.distill.lesson import make_lesson
    from edgecompress.techniques.distill.teachers import Teacher
    from edgecompress.training import fit

    with tempfile.TemporaryDirectory() as name:
        few = context(seed, Path(name), limit=NUM_LABELS)
        teachers: dict[str, Any] = {}
        for row in wanted:
            network, method = row.split(", ", 1)
            own = replace(few, folder=Path(name) / row.replace(" ", "_"), data=few.data if method == UNLABELLED else without_rest(few.data))
            own.folder.mkdir()
            student, epochs = build(NETWORKS[network], own, seed), EPOCHS[network]
            lesson = None
            if method == EARLY:
                epochs //= 4
            elif method != ALONE:
                which = "all" if method == ALL_LABELS else "few"
                if which not in teachers:
                    teachers[which] = teacher(which, seed, few, rows)
                if method == UNLABELLED:
                    epochs = max(1, round(epochs * len(few.data.train) / (len(few.data.train) + len(few.data.unlabelled))))
                distillation = Distillation.model_validate({"losses": LOSSES.get(method, LOSSES["kd"])})
                lesson = make_lesson(student, [Teacher(which, teachers[which])], distillation, own)
            started = time.monotonic()
            training = Training(epochs=epochs, learning_rate=RATE[network], schedule="cosine")
            fit(student, training, own, lesson=lesson)
            write(rows, {"seed": seed, "row": row, "accuracy": accuracy(student, own), "seconds": time.monotonic() - started})


def make_shared_teacher(rows: Path) -> None:
    """The teacher of all labels, before the seeds want it at the same time."""
    from edgecompress.backend import set_threads

    set_threads(1)
    with tempfile.TemporaryDirectory() as name:
        teacher("all", 0, context(0, Path(name), limit=NUM_LABELS), rows)


def context(seed: int, folder: Path, limit: int | None) -> Any:
    """Surroundings of a training on Fashion-MNIST, without progress bars."""
    from edgecompress.data import load_data
    from edgecompress.progress import Progress
    from edgecompress.recipe.schema import Data, Preprocess, Task, Unlabelled
    from edgecompress.stage import Context

    rest = None if limit is None else Unlabelled(source="rest")
    path = str(Path(os.environ["EDGECOMPRESS_DATA"]) / "fashion_mnist")
    config = Data(
        source="fashion_mnist", path=path, preprocess=Preprocess(scale=1 / 255), limit=limit, unlabelled=rest, batch_size=BATCH_SIZE,
        validation=0.05,
    )  # fmt: skip
    data = load_data(config, Task(), seed=seed)
    return Context("benchmark", data, Task(), seed, None, (), folder, Progress(), lambda model: {})


def without_rest(data: Any) -> Any:
    """The same data without its samples without labels."""
    return replace(data, unlabelled=None)


def build(network: dict[str, Any], surroundings: Any, seed: int) -> Any:
    """A builder's network."""
    from edgecompress.models import build_model
    from edgecompress.recipe.schema import BuilderModel

    data = surroundings.data
    return build_model(BuilderModel(source="builder", **network), data.input_shape, data.num_outputs, seed=seed)


def teacher(which: str, seed: int, few: Any, rows: Path) -> Any:
    """The teacher of the seed's own tenth, or the one of all labels, which all seeds share; kept beside `rows`."""
    from edgecompress.models import load_model, save_model
    from edgecompress.recipe.training import Training
    from edgecompress.training import fit

    file = rows.with_name(f"{rows.stem}-teacher-{which}{seed if which == 'few' else ''}.h5")
    if not file.exists():
        own_seed, epochs = (seed, TEACHER_EPOCHS) if which == "few" else (0, ALL_LABELS_EPOCHS)
        folder = few.folder / f"teacher-{which}"
        folder.mkdir()
        own = replace(few, folder=folder, data=without_rest(few.data)) if which == "few" else context(0, folder, None)
        model = build(TEACHER, own, own_seed)
        fit(model, Training(epochs=epochs, learning_rate=RATE["teacher"], schedule="cosine"), own)
        write(
            rows,
            {"seed": seed, "row": f"teacher, {'all' if which == 'all' else 'a tenth of the'} labels", "accuracy": accuracy(model, own)},
        )
        save_model(model, file)
    return load_model(file)


def accuracy(model: Any, surroundings: Any) -> float:
    """On the 10,000 test images."""
    from edgecompress.evaluation import evaluate_keras
    from edgecompress.progress import Progress

    task, data = surroundings.task, surroundings.data
    return float(evaluate_keras(model, data.test, task, batch_size=500, progress=Progress()).metrics["accuracy"])


def write(rows: Path, row: dict[str, Any]) -> None:
    """Appends one finished row; short lines of several processes do not mix."""
    with open(rows, "a") as file:
        file.write(json.dumps(row) + "\n")


def read(rows: Path) -> dict[str, dict[int, float]]:
    """Accuracy by row and seed."""
    found: dict[str, dict[int, float]] = {}
    for line in rows.read_text().splitlines() if rows.exists() else []:
        values = json.loads(line)
        found.setdefault(values["row"], {})[values["seed"]] = values["accuracy"]
    return found


def gain(found: dict[str, dict[int, float]], row: str) -> tuple[float, float]:
    """Mean difference to the same student alone, seed by seed, and half of its 95 % interval (Student's t)."""
    alone = found[f"{row.split(', ')[0]}, {ALONE}"]
    differences = [found[row][seed] - alone[seed] for seed in sorted(found[row].keys() & alone.keys())]
    if len(differences) < 2:
        return statistics.mean(differences), float("inf")
    return statistics.mean(differences), T_VALUES[len(differences)] * statistics.stdev(differences) / len(differences) ** 0.5


def show(found: dict[str, dict[int, float]], console: Console) -> bool:
    """The table; whether kd or dkd reaches what it must."""
    table = Table("student", "accuracy %", "gain, points", "95 % interval", "seeds")
    for row in [*(name for name in found if name.startswith("teacher")), *(name for name in STUDENTS if name in found)]:
        mean = statistics.mean(found[row].values())
        cells = [row, f"{100 * mean:.2f}"]
        if row in STUDENTS and not row.endswith(f", {ALONE}"):
            middle, half = gain(found, row)
            cells += [f"{100 * middle:+.2f}", f"{100 * (middle - half):+.2f} to {100 * (middle + half):+.2f}"]
        else:
            cells += ["", ""]
        table.add_row(*cells, str(len(found[row])))
    console.print(table)
    judged = [gain(found, row) for row in ("mlp, kd", "mlp, dkd") if row in found]
    return any(middle >= LEAST_GAIN and middle > half for middle, half in judged)


def cost(console: Console) -> bool:
    """Seconds of a step: plain, with stored outputs, and with the teacher asked each time; by turns, the median of the ratios."""
    from edgecompress.backend import set_threads

    set_threads(1)
    import edgecompress as ec
    from edgecompress.training.compiling import keras_loss, keras_metric

    with tempfile.TemporaryDirectory() as name:
        few = context(0, Path(name), limit=2048)
        samples, large = few.data.train, build({"name": "cnn", "width": 16}, few, 1)
        stored = samples.beside(teacher=large.predict(samples.dataset(256), verbose=0))
        ways = {
            "plain": (build(NETWORKS["cnn"], few, 0), samples),
            "stored outputs": (ec.Distiller(build(NETWORKS["cnn"], few, 0), large), stored),
            "teacher asked": (ec.Distiller(build(NETWORKS["cnn"], few, 0), large), samples),
        }
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for model, _ in ways.values():
            model.compile("adam", keras_loss(few.task), [keras_metric(few.task)])
        for turn in range(9):
            for way, (model, split) in ways.items():
                batches = split.dataset(128, order=np.arange(2048))
                started = time.perf_counter()
                model.fit(batches, verbose=0)
                if turn:  # the first one traces
                    seconds[way].append((time.perf_counter() - started) / 16)
    table = Table("step of 128 samples", "median ms", "ratio")
    ratios = {way: statistics.median(a / b for a, b in zip(values, seconds["plain"], strict=True)) for way, values in seconds.items()}
    for way, values in seconds.items():
        table.add_row(way, f"{1e3 * statistics.median(values):.2f}", f"{ratios[way]:.3f}")
    console.print(table)
    return ratios["stored outputs"] <= COST_LIMIT


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, choices=T_VALUES)
    parser.add_argument("--processes", type=int, default=2, help="seeds at the same time, one thread each")
    parser.add_argument("--rows", type=Path, default=Path("distillation.jsonl"))
    parser.add_argument("--cost", action="store_true", help="measure the time of a step instead")
    parser.add_argument("--seed", type=int, help=argparse.SUPPRESS)  # of a child
    parser.add_argument("--shared", action="store_true", help=argparse.SUPPRESS)  # a child that makes the teacher of all labels
    arguments = parser.parse_args()
    console = Console()
    if arguments.cost:
        return int(not cost(console))
    found = read(arguments.rows)
    if arguments.shared:
        make_shared_teacher(arguments.rows)
        return 0
    if arguments.seed is not None:
        run_seed(arguments.seed, arguments.rows, [row for row in STUDENTS if arguments.seed not in found.get(row, {})])
        return 0

    def child(*words: str) -> None:
        subprocess.run([sys.executable, __file__, *words, "--rows", str(arguments.rows)], check=True)

    child("--shared")
    with ThreadPoolExecutor(arguments.processes) as pool:
        list(pool.map(lambda seed: child("--seed", str(seed)), range(arguments.seeds)))
    return int(not show(read(arguments.rows), console))


if __name__ == "__main__":
    sys.exit(main())
