"""Stage 00: the model that everything is compared with, built or loaded, and trained where the recipe says so."""

import hashlib
from pathlib import Path

from edgecompress.backend import keras
from edgecompress.data import Data
from edgecompress.errors import ModelError
from edgecompress.export.compatibility import is_quantize_aware
from edgecompress.models import build_model, load_model
from edgecompress.recipe.schema import BuilderModel, FileModel, Task
from edgecompress.stage import Context, StageResult
from edgecompress.training import fit

VERSION = 1  # raise it when the same recipe would give another baseline


def apply(config: BuilderModel | FileModel, context: Context, *, allow_code: bool) -> StageResult:
    """Makes the baseline and trains it where the recipe says so.

    Raises:
        ModelError: the file is no model, or the model does not fit the data.
    """
    model = make_model(config, context.task, context.data, seed=context.seed, allow_code=allow_code)
    epochs = fit(model, config.train, context) if config.train is not None else []
    return StageResult(model, training=epochs)


def make_model(config: BuilderModel | FileModel, task: Task, data: Data, *, seed: int, allow_code: bool) -> keras.Model:
    """The model of the recipe, untrained if it is built.

    Raises:
        ModelError: the file is no model, or the model does not fit the data.
    """
    model, name = build_or_load(config, data, seed=seed, allow_code=allow_code), model_name(config)
    if config.source != "builder":
        _check_fits(model, name, task, data)
    check_outputs(model, name, task)
    return model


def build_or_load(config: BuilderModel | FileModel, data: Data, *, seed: int, allow_code: bool) -> keras.Model:
    """`make_model` without the checks.

    Raises:
        ModelError: the file is no model, or the builder cannot take the data.
    """
    if config.source == "builder":
        return build_model(config, data.input_shape, data.num_outputs, seed=seed)
    return load_model(config.path, allow_code=allow_code)


def model_name(config: BuilderModel | FileModel) -> str:
    """What messages call the model."""
    return f"builder {config.name}" if config.source == "builder" else config.path


def _check_fits(model: keras.Model, name: str, task: Task, data: Data) -> None:
    """Raises ModelError unless the model takes the data's samples and gives the task's outputs."""
    if is_quantize_aware(model):
        raise ModelError(f"{name}: the baseline must be a float model. Received: one that carries fake-quantization.")
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ModelError(f"{name}: the model must have one input and one output. Received: {len(model.inputs)} and {len(model.outputs)}.")
    wanted, given = tuple(model.inputs[0].shape[1:]), data.input_shape
    if None in wanted:
        raise ModelError(f"{name}: the model's input shape must be fixed apart from the batch. Received: {wanted}.")
    if wanted != given:
        raise ModelError(f"{name}: samples must have the shape of the model's input {wanted}. Received: {given}; see data.preprocess.")
    outputs = tuple(model.outputs[0].shape[1:])
    expected = data.input_shape if task.kind == "autoencoder" else (data.num_outputs,)
    if outputs != expected:
        raise ModelError(f"{name}: outputs must have the shape {expected} for this {task.kind} task. Received: {outputs}.")


def check_outputs(model: keras.Model, name: str, task: Task) -> None:
    """Raises ModelError where the last layer shows that `from_logits` is wrong: such a model trains badly without a word."""
    if task.kind not in ("classification", "multi_label"):
        return
    activation = last_activation(model)
    if task.from_logits and activation in ("softmax", "sigmoid"):
        raise ModelError(f"{name}: with task.from_logits: true the model must end in logits. Received: a {activation}; set it to false.")
    if not task.from_logits and activation == "linear":
        raise ModelError(f"{name}: with task.from_logits: false the model must end in probabilities. Received: logits; set it to true.")


def last_activation(model: keras.Model) -> str | None:
    """Name of the activation that the model ends in ("linear": none); None where the last layer does not say."""
    last = model.layers[-1]
    if isinstance(last, keras.layers.Softmax):
        return "softmax"
    name: str | None = getattr(getattr(last, "activation", None), "__name__", None)
    return name


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
