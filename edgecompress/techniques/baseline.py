"""Stage 00: the model that everything is compared with, built or loaded, and trained where the recipe says so."""

import hashlib
from pathlib import Path

from edgecompress.backend import keras
from edgecompress.errors import ModelError
from edgecompress.models import build_model, load_model
from edgecompress.recipe.schema import BuilderModel, FileModel, Task
from edgecompress.stage import Context, StageResult
from edgecompress.training import fit

VERSION = 1  # raise it when the same recipe would give another baseline


def apply(config: BuilderModel | FileModel, context: Context, *, allow_code: bool) -> StageResult:
    """Makes the baseline.

    Raises:
        ModelError: the file is no model, or the model does not fit the data.
    """
    if config.source == "builder":
        model = build_model(config, context.data.input_shape, context.data.num_outputs, seed=context.seed)
    else:
        model = load_model(config.path, allow_code=allow_code)
        check_fits(model, config.path, context)
    epochs = fit(model, config.train, context) if config.train is not None else []
    return StageResult(model, training=epochs)


def check_fits(model: keras.Model, path: str, context: Context) -> None:
    """Raises ModelError unless the model takes the data's samples and gives the task's outputs."""
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ModelError(f"{path}: the model must have one input and one output. Received: {len(model.inputs)} and {len(model.outputs)}")
    wanted, given = tuple(model.inputs[0].shape[1:]), context.data.input_shape
    if len(wanted) != len(given) or any(size not in (None, given[axis]) for axis, size in enumerate(wanted)):
        raise ModelError(f"{path}: the data must fit the model's input {wanted}. Received samples of {given}; see data.preprocess")
    outputs, expected = tuple(model.outputs[0].shape[1:]), _expected_outputs(context.task, context)
    if expected is not None and outputs != expected:
        raise ModelError(f"{path}: a {context.task.kind} task on this data must have outputs {expected}. Received: {outputs}")


def _expected_outputs(task: Task, context: Context) -> tuple[int, ...] | None:
    """Shape of one output; None where a model may choose."""
    return context.data.input_shape if task.kind == "autoencoder" else (context.data.num_outputs,)


def file_hash(config: BuilderModel | FileModel) -> str | None:
    """sha256 of the model file, or of all files of a SavedModel folder; None for a builder.

    Raises:
        ModelError: nothing is there.
    """
    if config.source == "builder":
        return None
    path = Path(config.path)
    if not path.exists():
        raise ModelError(f"{path}: model.path must be a model file that exists")
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            digest.update(file.relative_to(path).as_posix().encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()
