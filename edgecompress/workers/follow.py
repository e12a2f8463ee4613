"""The other workers: they load the data, take part in each training that the chief calls them for, and leave nothing behind."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edgecompress.data import Data, load_data
from edgecompress.errors import DataError, DeviceError, EdgeCompressError
from edgecompress.models import load_model
from edgecompress.progress import Progress
from edgecompress.recipe.schema import Recipe
from edgecompress.recipe.stages import Train
from edgecompress.record import read_keeps
from edgecompress.stage import Context
from edgecompress.training.shared import share
from edgecompress.workers.chief import KEEPS_FILE, MODEL_FILE, join
from edgecompress.workers.cluster import Cluster
from edgecompress.workers.crew import Crew


def follow(cluster: Cluster, recipe: Recipe, progress: Progress, *, allow_code: bool, limit_s: float) -> int:
    """Works for the chief until it has ended its run.

    Args:
        cluster: this process is one of its workers, not the chief.
        recipe: the chief's; its paths may differ.
        allow_code: as for a run.
        limit_s: longest time to wait for the others, seconds.

    Returns:
        How many trainings were shared.

    Raises:
        DeviceError: the chief or another worker was lost, or the chief's run failed.
        RecipeError: the versions here, or the task, are not the chief's.
        DataError: the data here are not the chief's.
    """
    crew, number = join(cluster, recipe, progress, limit_s=limit_s), 0
    try:
        with progress.task("loading data"):
            data = load_data(recipe.data, recipe.task, seed=recipe.seed, allow_code=allow_code)
    except EdgeCompressError as error:
        crew.receive()
        crew.answer(str(error))  # the chief ends the run with these words
        raise
    while True:
        words, files = crew.receive()
        if words["kind"] == "end":
            crew.leave()
            if words["failure"] is not None:
                raise DeviceError(f"the chief's run failed: {words['failure']}")
            return number
        _take_part(crew, words, files, recipe, data, progress)
        number += 1


def _take_part(crew: Crew, words: dict[str, Any], files: dict[str, bytes], recipe: Recipe, data: Data, progress: Progress) -> None:
    """One training."""
    train = Train.model_validate(words["train"])
    if (complaint := _differs(words, train, data)) is not None:
        crew.answer(complaint)
        raise DataError(complaint)
    with TemporaryDirectory(prefix="edgecompress-") as name:
        folder = Path(name)
        for file, content in files.items():
            (folder / file).write_bytes(content)
        model, keeps = load_model(folder / MODEL_FILE, allow_code=False), read_keeps(folder / KEEPS_FILE)
        context = Context(words["stage"], data, recipe.task, words["seed"], None, keeps, folder, progress, lambda model: {})
        crew.answer()
        with crew.together(context.stage):
            share(crew.strategy, model, train, context, keeps, writes=False)


def _differs(words: dict[str, Any], train: Train, data: Data) -> str | None:
    """What of the data here is not the chief's, where the training depends on it."""
    ours, theirs = (data.fingerprint, data.batch_size), (words["fingerprint"], words["batch_size"])
    if ours != theirs:
        shown = [f"{fingerprint[:12]} in batches of {size}" for fingerprint, size in (ours, theirs)]
        return f"data, seed and batch size must be the chief's, {shown[1]}. Received: {shown[0]}."
    if isinstance(train.class_weights, dict) and data.class_names != words["class_names"]:
        expected = ", ".join(words["class_names"])
        return f"names of classes that are weighed must be the chief's, {expected}. Received: {', '.join(data.class_names)}."
    return None
