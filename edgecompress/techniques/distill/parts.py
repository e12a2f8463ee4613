"""Models that a stage trains beside its own, such as teachers: each is a training that a killed run does not repeat."""

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from edgecompress.backend import keras
from edgecompress.models import load_model, save_model
from edgecompress.stage import Context
from edgecompress.store import storage_errors, write_atomic

Trained = tuple[keras.Model, list[dict[str, float]]]  # a model and its epochs


def part_of(context: Context, name: str, number: int) -> Context:
    """The surroundings of one such training: a seed and a folder of its own, and no keeps.

    Args:
        context: of the stage.
        name: what it makes, one word.
        number: of it, from 0; with `name` it decides the seed.
    """
    seed = int(np.random.SeedSequence([context.seed, *name.encode(), number]).generate_state(1)[0])
    words = f"{name}{number + 1}"
    folder, logs = context.parts_folder / words, context.curves / words
    return replace(context, stage=f"{context.stage} {words}", seed=seed, folder=folder, keeps=(), logs=logs, parts=None)


def train_once(part: Context, train: Callable[[], Trained]) -> Trained:
    """What `train` gives, or gave to an earlier call that was killed later.

    The model comes from its file in both cases, and `train` starts from the part's seed, so both give the same bits.
    """
    model_file, epochs_file = part.folder / "model.h5", part.folder / "epochs.json"
    if not model_file.exists():
        with storage_errors(part.folder):
            part.folder.mkdir(parents=True, exist_ok=True)
        keras.utils.set_random_seed(part.seed)
        model, epochs = train()
        write_atomic(epochs_file, json.dumps(epochs))
        save_model(model, model_file)  # last: it says that the part is finished
    return load_model(model_file, allow_code=part.allow_code), json.loads(epochs_file.read_text())
