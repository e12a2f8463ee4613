"""The chief: runs the recipe, and calls the others for each training that is shared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edgecompress import __version__
from edgecompress.backend import keras, set_threads
from edgecompress.keeps import Keep
from edgecompress.models import save_model
from edgecompress.progress import Progress
from edgecompress.recipe.schema import Recipe
from edgecompress.recipe.training import Training
from edgecompress.record import keeps_file
from edgecompress.stage import Context, Share
from edgecompress.store import TRAINING_FILE
from edgecompress.training.shared import share
from edgecompress.versions import of_training
from edgecompress.workers.cluster import Cluster
from edgecompress.workers.crew import Crew
from edgecompress.workers.meeting import meet

MODEL_FILE, KEEPS_FILE = "model.h5", "keeps.npz"


@contextmanager
def leading(cluster: Cluster, recipe: Recipe, progress: Progress, *, limit_s: float) -> Iterator[Share]:
    """Meets the workers; gives what trains on all of them; lets them go at the exit, and tells them how it went.

    Raises:
        DeviceError: a worker does not come.
        RecipeError: a worker has another version, or a recipe of another task.
    """
    crew = join(cluster, recipe, progress, limit_s=limit_s)
    try:
        yield partial(_share, crew)
    except BaseException as error:
        crew.end(" ".join(str(error).split()) or type(error).__name__)
        raise
    crew.end(None)


def join(cluster: Cluster, recipe: Recipe, progress: Progress, *, limit_s: float) -> Crew:
    """Meets the others, and opens TensorFlow's server; for the chief and the others alike."""
    facts = {"edgecompress": __version__, **of_training(), **taken_from(recipe)}
    link = meet(cluster, facts, limit_s=limit_s, say=progress.say)
    set_threads(recipe.threads)  # before TensorFlow's first operation
    return Crew(cluster, link, limit_s=limit_s)


def taken_from(recipe: Recipe) -> dict[str, Any]:
    """What each worker takes from its own recipe, as the chief does not send it. Of code the function's name: data hold a hash of it."""
    task = recipe.task.model_dump(mode="json")
    own = {name: {**metric, "function": _function(metric["function"])} for name, metric in task["own_metrics"].items()}
    task |= {"own_loss": task["own_loss"] and _function(task["own_loss"]), "own_metrics": own}
    augment = recipe.data.augment.model_dump(mode="json")
    return {f"task.{name}": value for name, value in task.items()} | {f"data.augment.{name}": value for name, value in augment.items()}


def _function(place: str) -> str:
    """The name in `file.py:function`: where the file lies may differ."""
    return place.rpartition(":")[2]


def _share(crew: Crew, model: keras.Model, train: Training, context: Context, keeps: Sequence[Keep]) -> list[dict[str, float]]:
    """One training: the others get all that it depends on, but for the data."""
    with TemporaryDirectory(prefix="edgecompress-") as folder:
        save_model(model, Path(folder, MODEL_FILE))
        files = {MODEL_FILE: Path(folder, MODEL_FILE).read_bytes(), KEEPS_FILE: keeps_file(keeps)}
    if (stored := context.folder / TRAINING_FILE).exists():  # of a training that was killed
        files[TRAINING_FILE] = stored.read_bytes()
    words = {
        "kind": "train", "stage": context.stage, "seed": context.seed, "train": train.model_dump(mode="json"),
        "fingerprint": context.data.fingerprint, "batch_size": context.data.batch_size, "class_names": context.data.class_names,
    }  # fmt: skip
    crew.send(words, files)
    with crew.together(context.stage):
        return share(crew.strategy, model, train, context, keeps)
