"""Stage 00: the model that everything is compared with, built or loaded, and trained where the recipe says so."""

import hashlib
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from edgecompress.backend import keras
from edgecompress.data import Data
from edgecompress.errors import ModelError
from edgecompress.export.compatibility import is_quantize_aware
from edgecompress.models import LoadedModel, adopt_model, build_application, build_model, read_model
from edgecompress.models.applications import IMAGENET
from edgecompress.models.containers import METADATA
from edgecompress.recipe.schema import ApplicationModel, Model, Task
from edgecompress.samples import check_inputs
from edgecompress.stage import Context, StageResult
from edgecompress.training import fit
from edgecompress.user_code import call_function, code_hash

VERSION = 2  # raise it when the same recipe would give another baseline


def apply(config: Model, context: Context, *, allow_code: bool, loaded: LoadedModel | None = None) -> StageResult:
    """Makes the baseline and trains it where the recipe says so.

    Args:
        loaded: what `bring_model` gave for the same recipe; it is trained as it is, not loaded once more.

    Raises:
        ModelError: the file is no model, or the model does not fit the data.
    """
    made = loaded or bring_model(config, context.task, context.data, seed=context.seed, allow_code=allow_code)
    epochs = fit(made.model, config.train, context) if config.train is not None else []
    return StageResult(made.model, training=epochs, notes=tuple(made.changes))


def make_model(config: Model, task: Task, data: Data, *, seed: int, allow_code: bool) -> keras.Model:
    """The model of the recipe, untrained if it is built; see `bring_model`."""
    return bring_model(config, task, data, seed=seed, allow_code=allow_code).model


def bring_model(config: Model, task: Task, data: Data, *, seed: int, allow_code: bool) -> LoadedModel:
    """The model of the recipe, untrained if it is built, and what was done to one that was loaded.

    Raises:
        ModelError: the file is no model, or the model does not fit the data.
    """
    name, made = brought(config, task, data, seed, allow_code)
    check_fits(made.model, name, task, data)
    check_outputs(made.model, name, task)
    return made


def brought(config: Model, task: Task, data: Data, seed: int, allow_code: bool) -> tuple[str, LoadedModel]:
    """What to call the model in messages, and the model."""
    if config.source == "builder":
        return f"builder {config.name}", LoadedModel(build_model(config, _one_shape(data), data.num_outputs, seed=seed), [])
    if config.source == "application":
        name = f"application {config.name}"
        return name, adopt_model(_application(config, task, data, seed), name=name)
    if config.source == "file":
        return config.path, read_model(config.path, allow_code=allow_code, input_shape=config.input_shape)
    keras.utils.set_random_seed(seed)
    model = call_function(config.path, ModelError, "model.path", allow_code=allow_code)
    return config.path, adopt_model(model, name=config.path, input_shape=config.input_shape)


def _application(config: ApplicationModel, task: Task, data: Data, seed: int) -> keras.Model:
    """A network of tf_keras.applications that ends as the task asks for."""
    probabilities = {"classification": "softmax", "multi_label": "sigmoid"}
    activation = None if task.from_logits else probabilities.get(task.kind)
    return build_application(config, _one_shape(data), data.num_outputs, activation=activation, seed=seed)


def _one_shape(data: Data) -> tuple[int, ...]:
    """Shape of a sample, for networks of one input."""
    if isinstance(data.input_shape, Mapping):
        raise ModelError(f"a builder's or application's model has one input. Received: data.inputs {', '.join(data.input_shape)}.")
    return data.input_shape


def check_fits(model: keras.Model, name: str, task: Task, data: Data) -> None:
    """Raises ModelError unless the model takes the data's samples and gives the task's outputs."""
    if is_quantize_aware(model):
        raise ModelError(f"{name}: the baseline must be a float model. Received: one that carries fake-quantization.")
    if len(model.outputs) != 1:
        raise ModelError(f"{name}: the model must have one output. Received: {len(model.outputs)}.")
    shapes = [tuple(tensor.shape[1:]) for tensor in model.inputs]
    if open_shape := next((shape for shape in shapes if None in shape), None):
        cure = "model.input_shape can say it"
        raise ModelError(f"{name}: the model's input shape must be fixed apart from the batch; {cure}. Received: {open_shape}.")
    check_inputs(data.input_shape, model.input_names, shapes, name)
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


def file_hash(config: Model) -> str | None:
    """sha256 of the file that a model comes from, or of all files of a SavedModel folder or of code; None where there is none.

    Raises:
        ModelError: nothing is there.
    """
    if config.source == "python":
        return code_hash(config.path)
    path = _file(config)
    if path is None:
        return None
    if not path.exists():
        raise ModelError(f"{path}: must be a file that exists. Received: nothing is there.")
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            digest.update(file.relative_to(path).as_posix().encode())
            for content in _contents(file):
                digest.update(content)
    return digest.hexdigest()


def _contents(file: Path) -> Iterator[bytes]:
    """The bytes that make a file; of a .keras archive without the date at which it was saved."""
    if not zipfile.is_zipfile(file):
        yield file.read_bytes()
        return
    with zipfile.ZipFile(file) as archive:
        yield from (archive.read(name) for name in sorted(archive.namelist()) if name != METADATA)


def _file(config: Model) -> Path | None:
    """The file or folder that a model comes from."""
    if config.source == "application":
        return None if config.weights in (None, IMAGENET) else Path(config.weights).expanduser()
    return Path(config.path).expanduser() if config.source == "file" else None
