"""Loading Keras models of unknown origin: no code of theirs runs, and every fault is one line that names the file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edgecompress.backend import keras, keras_3, model_optimization
from edgecompress.causes import root_cause
from edgecompress.errors import EdgeCompressError, ModelError
from edgecompress.model_file import model_format
from edgecompress.models.allowed import MODELS, find_refused, names_model_optimization, remove_compile_configs
from edgecompress.models.containers import opened_archive, opened_h5
from edgecompress.models.flatten import flatten_proved, with_input_shape
from edgecompress.models.keras3 import translate
from edgecompress.models.precision import use_float32
from edgecompress.models.pruned import unwrapped_proved
from edgecompress.models.rebuild import is_graph
from edgecompress.models.save import is_keras_3_model, save_given_model

MAX_REASON_LENGTH = 300


@dataclass(frozen=True)
class LoadedModel:
    """A model as the line needs it, and what was done to get it, one sentence each, with measured differences."""

    model: keras.Model
    changes: list[str]


def load_model(path: str | Path, *, allow_code: bool = False) -> keras.Model:
    """`read_model` without the account of what was done."""
    return read_model(path, allow_code=allow_code).model


def read_model(path: str | Path, *, allow_code: bool = False, input_shape: Sequence[int] | None = None) -> LoadedModel:
    """Loads a model, uncompiled and flat. The format is told by the content, not by the name.

    Models of Keras 3 are translated to tf_keras, nested models are replaced by their layers, TF-MOT's pruning wrappers are
    removed; all are proved to compute the same, see `agreement`.

    Args:
        path: a whole-model .h5/.hdf5 file (also with TF-MOT's quantize-aware or pruning wrappers), a .keras archive, both of
            Keras 2 or 3, or a SavedModel folder; ~ is the user's own folder.
        allow_code: also take SavedModels, Lambda layers and classes off the allow-list: they can run any code.
        input_shape: of one sample; for a model whose own is not known, or not fixed.

    Returns:
        A Functional or Sequential tf_keras model with a known graph, without models in it.

    Raises:
        ModelError: missing, damaged, not a model, unsafe, or a subclassed model, or one that Keras 2 does not have the layers
            for; the message names the file.
    """
    path = Path(path).expanduser()
    kind = _keras_format(path)
    if kind == "saved_model" and not allow_code:
        raise ModelError(f"{path}: a SavedModel holds code that would run here. If you trust it, allow it with --allow-code.")
    with _named_errors(path):
        if kind == "saved_model":
            return _prepared(keras.models.load_model(path, compile=False), input_shape, [])
        return _load_file(path, kind, allow_code, input_shape)


def adopt_model(model: Any, *, name: str = "model", input_shape: Sequence[int] | None = None) -> LoadedModel:
    """A model that was made in this process, of tf_keras or Keras 3, as `read_model` gives one from a file.

    Args:
        model: it is not changed.
        name: for messages.
        input_shape: of one sample; for a model whose own is not known, or not fixed.

    Raises:
        ModelError: no Keras model, a subclassed one, or one that Keras 2 does not have the layers for.
    """
    with _named_errors(name):
        if isinstance(model, keras.Model):
            return _prepared(model, input_shape, [])
        if not is_keras_3_model(model):
            raise ModelError(f"must be a model of tf_keras or Keras 3. Received: an object of class {type(model).__name__}")
        _with_graph(model, input_shape)
        with tempfile.TemporaryDirectory(prefix="edgecompress-") as folder:
            path = save_given_model(model, Path(folder))
            return _load_file(path, "keras", allow_code=True, input_shape=input_shape)


@contextmanager
def _named_errors(name: str | Path) -> Iterator[None]:
    """Turns every fault of a model into one line that names it."""
    try:
        yield
    except ModelError as error:
        raise ModelError(f"{name}: {error}.") from error
    except EdgeCompressError:
        raise
    except Exception as error:  # a damaged or hostile file can make h5py, zipfile or Keras fail in any way
        raise ModelError(f"{name}: cannot be loaded as a Keras model: {root_cause(error)}.") from error


def _keras_format(path: Path) -> Literal["h5", "keras", "saved_model"]:
    """Which of Keras' formats `path` holds."""
    kind = model_format(path, expected="a Keras model (.h5, .keras)")
    if kind == "tflite":
        raise ModelError(
            f"{path}: must be a Keras model (.h5, .keras). Received: a TensorFlow Lite file, which cannot be trained or converted."
        )
    return kind


def _load_file(path: Path, kind: Literal["h5", "keras"], allow_code: bool, input_shape: Sequence[int] | None) -> LoadedModel:
    """Opens the container, checks its configuration, and only then lets Keras make anything of it."""
    changes: list[str] = []
    with ExitStack() as stack:

        def examine(config: Any) -> None:
            remove_compile_configs(config)
            if not allow_code:
                _refuse_unsafe(config)
            if names_model_optimization(config):
                stack.enter_context(model_optimization().quantization.keras.quantize_scope())
                stack.enter_context(model_optimization().sparsity.keras.prune_scope())
            if use_float32(config):
                changes.append("mixed precision replaced by float32")

        opened = stack.enter_context((opened_h5 if kind == "h5" else opened_archive)(path, examine))
        options = {} if kind == "h5" else {"safe_mode": not allow_code}
        if not opened.is_keras_3:
            return _prepared(keras.models.load_model(opened.source, compile=False, **options), input_shape, changes)
        model = keras_3().saving.load_model(opened.source, compile=False, **options)
        model = _with_graph(model, input_shape)
        translated, difference = translate(model)
        changes.append(f"translated from Keras {opened.keras_version} to Keras 2; largest difference {difference:.2g} on random inputs")
        return _prepared(translated, input_shape, changes)


def _refuse_unsafe(config: Any) -> None:
    """Raises ModelError for what the allow-list does not hold."""
    if not isinstance(config, dict) or not isinstance(config.get("config"), dict | list):
        raise ModelError("must hold the configuration of a model. Received: other JSON")
    if config.get("class_name") not in MODELS:
        raise ModelError(f"model must be Functional or Sequential. Received: the subclassed model {config.get('class_name')}")
    if refused := find_refused(config):
        listed = ", ".join(refused)[:MAX_REASON_LENGTH]
        raise ModelError(
            f"model must hold layers that are known to run no code. Received: {listed}. If you trust it, allow it with --allow-code"
        )


def _prepared(model: Any, input_shape: Sequence[int] | None, changes: list[str]) -> LoadedModel:
    """A tf_keras model made flat, without pruning wrappers, with a fixed input shape where one was asked for."""
    model = _with_graph(model, input_shape)
    plain, unwrapping = unwrapped_proved(model)
    flat, flattening = flatten_proved(plain)
    changes = changes + [change for change in (unwrapping, flattening) if change]
    if input_shape is not None and tuple(flat.inputs[0].shape[1:]) != tuple(input_shape):
        flat = with_input_shape(flat, input_shape)
        changes = [*changes, f"input shape fixed to {tuple(input_shape)}"]
    return LoadedModel(flat, changes)


def _with_graph(model: Any, input_shape: Sequence[int] | None) -> Any:
    """The model, if its layers and connections can be read; a Sequential one without input shape gets the given one.

    Raises:
        ModelError: a subclassed model, or one without an input shape.
    """
    is_sequential = any(kind.__name__ == "Sequential" for kind in type(model).__mro__)
    if is_sequential and not model.built and input_shape is not None:
        model.build((None, *input_shape))
    if is_graph(model):
        return model
    if is_sequential:
        raise ModelError(
            "Sequential model must have a known input shape. Received: none; give it as model.input_shape, or to its first layer"
        )
    raise ModelError(
        f"model must be Functional or Sequential. Received: class {type(model).__name__}, whose graph is only known by running its code"
    )
