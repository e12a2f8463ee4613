"""Loading Keras models of unknown origin: no code of theirs runs, and every fault is one line that names the file."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

from edgecompress.backend import keras, model_optimization
from edgecompress.errors import EdgeCompressError, ModelError
from edgecompress.model_file import model_format
from edgecompress.models.allowed import MODELS, find_refused, names_model_optimization, remove_compile_configs
from edgecompress.models.containers import opened_archive, opened_h5

MAX_REASON_LENGTH = 300


def load_model(path: str | Path, *, allow_code: bool = False) -> keras.Model:
    """Loads a model, uncompiled. The format is told by the content, not by the name.

    Args:
        path: a whole-model .h5/.hdf5 file (also with TF-MOT's quantize-aware or pruning wrappers), a Keras 2 .keras
            archive, or a SavedModel folder.
        allow_code: also take SavedModels, Lambda layers and classes off the allow-list: they can run any code.

    Returns:
        A Functional or Sequential model with a known graph.

    Raises:
        ModelError: missing, damaged, not a model, of Keras 3, unsafe, or a subclassed model; the message names the file.
    """
    path = Path(path)
    kind = _keras_format(path)
    if kind == "saved_model" and not allow_code:
        raise ModelError(f"{path}: a SavedModel holds code that would run here. If you trust it, allow it with --allow-code.")
    try:
        model = keras.models.load_model(path, compile=False) if kind == "saved_model" else _load_file(path, kind, allow_code)
    except ModelError as error:
        raise ModelError(f"{path}: {error}.") from error
    except EdgeCompressError:
        raise
    except Exception as error:  # a damaged or hostile file can make h5py, zipfile or Keras fail in any way
        raise ModelError(f"{path}: cannot be loaded as a Keras model: {_one_line(error)}") from error
    _check_graph(model, path)
    return model


def _keras_format(path: Path) -> Literal["h5", "keras", "saved_model"]:
    """Which of Keras' formats `path` holds."""
    kind = model_format(path, expected="a Keras model (.h5, .keras)")
    if kind == "tflite":
        raise ModelError(
            f"{path}: must be a Keras model (.h5, .keras). Received: a TensorFlow Lite file, which cannot be trained or converted."
        )
    return kind


def _load_file(path: Path, kind: Literal["h5", "keras"], allow_code: bool) -> keras.Model:
    """Opens the container, checks its configuration, and only then lets Keras make anything of it."""
    with ExitStack() as stack:

        def examine(config: Any) -> None:
            remove_compile_configs(config)
            if not allow_code:
                _refuse_unsafe(config)
            if names_model_optimization(config):
                stack.enter_context(model_optimization().quantization.keras.quantize_scope())
                stack.enter_context(model_optimization().sparsity.keras.prune_scope())

        opened = opened_h5 if kind == "h5" else opened_archive
        source = stack.enter_context(opened(path, examine))
        return keras.models.load_model(source, compile=False, **({} if kind == "h5" else {"safe_mode": not allow_code}))


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


def _check_graph(model: Any, path: Path) -> None:
    """Refuses models whose layers and connections cannot be read."""
    if getattr(model, "_is_graph_network", False):
        return
    if isinstance(model, keras.Sequential):
        raise ModelError(f"{path}: Sequential model must have a known input shape. Received: none; give its first layer an input_shape.")
    raise ModelError(
        f"{path}: model must be Functional or Sequential. Received: class {type(model).__name__}, "
        "whose graph is only known by running its code."
    )


def _one_line(error: Exception) -> str:
    """The first line of an error's message, bounded; its class where there is no message."""
    lines = str(error).strip().splitlines()
    return lines[0][:MAX_REASON_LENGTH] if lines else type(error).__name__
