"""`edgecompress init`: a first recipe for a model of the user's own, with comments that say what to decide."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from edgecompress.errors import DataError, ModelError, StorageError
from edgecompress.model_file import ModelFormat, model_format
from edgecompress.recipe.suggestions import near_path
from edgecompress.recipe.variables import escape_references
from edgecompress.store import write_atomic

PIXELS = """\
    # resize: [96, 96]     # images only
    scale: 1/255           # 1 when the arrays are preprocessed already"""
NUMBERS = """\
    scale: 1"""
SOUND = """\
    mfcc: {}               # coefficients as in MLPerf Tiny, [49, 10, 1] of a second; leave it out for raw sound
    scale: 1"""

TEMPLATE = """\
# Check it with:  edgecompress check {file}
# Run it with:    edgecompress run {file}{options}
name: {name}
seed: 0

data:
{data}
  validation: 0.1          # fraction of the training samples; validation decides, test is looked at once
  calibration: 200         # training samples that fix the ranges of int8
  batch_size: 64
  preprocess:              # exactly what the model was trained with: (x * scale - mean) / std
{preprocess}
    mean: [0.0]
    std: [1.0]

model: {{source: file, path: {model}}}

task:
  loss: sparse_categorical_crossentropy   # binary_crossentropy, mean_squared_error, mean_absolute_error
  from_logits: false       # true when the last layer has no softmax
  metrics: [accuracy]      # the first one decides

stages:                    # `edgecompress techniques` lists all; [] only converts
  - prune_weights: {{id: prune, sparsity: 0.5, train: {{epochs: 2, learning_rate: 1e-4}}}}
  - quantize_aware: {{train: {{epochs: 1, learning_rate: 1e-4}}}}   # last; needs int8 below

export: {{format: int8, io: int8}}

benchmark: {{threads: [1], runs: 200}}

goal:
  metric_drop: 0.01        # of the first metric, against the model as it is
  # size_kb: 100
  # p95_ms: 5.0
"""


def starter_recipe(model: Path, data: Path | None, file: Path) -> str:
    """Text of a recipe that prunes, trains quantization-aware and exports as int8.

    Args:
        model: a .keras or .h5 file, or a SavedModel folder.
        data: a file or folder that a source reads, see `_kind`; None: a place to fill in.
        file: where the recipe will stand, for its comments.

    Raises:
        ModelError, DataError: the path does not exist or is of another kind.
    """
    options = " --allow-code" if _format(model) == "saved_model" else ""
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "_", model.stem).strip("_.-")[:80] or "model"
    kind = _kind(data)
    path = _quoted(f"{data or 'data.npz'}{kind.behind_path}")
    lines = "\n".join([f"  source: {kind.source:<17}# {kind.comment}", f"  path: {path}", *kind.lines])
    return TEMPLATE.format(
        file=file.name, options=options, name=_quoted(f"{stem}_int8"), model=_quoted(str(model)), data=lines, preprocess=kind.preprocess
    )  # fmt: skip


def write_starter_recipe(model: Path, data: Path | None, file: Path, *, force: bool) -> None:
    """Writes `starter_recipe` to `file`, whole or not at all.

    Raises:
        StorageError: the file exists (and `force` is not given), or cannot be written.
        ModelError, DataError: as `starter_recipe`.
    """
    text = starter_recipe(model, data, file)
    if file.exists() and not force:
        raise StorageError(f"{file}: file must not exist yet; --force replaces it. Received: a file that does.")
    write_atomic(file, text)


def _format(model: Path) -> ModelFormat:
    """Which of the kinds of model that `source: file` takes."""
    expected = "a Keras model (.keras, .h5) or a SavedModel folder"
    found = model_format(model, expected=expected)
    if found == "tflite":
        received = "a TensorFlow Lite file, which cannot be trained; `edgecompress inspect` and `edgecompress benchmark` take it"
        raise ModelError(f"{model}: must be {expected}. Received: {received}.")
    return found


@dataclass(frozen=True)
class _Kind:
    """What the starter says of data of one kind."""

    source: str
    comment: str
    preprocess: str = NUMBERS
    behind_path: str = ""
    lines: tuple[str, ...] = ()  # more of `data:`


def _kind(data: Path | None) -> _Kind:
    """Recognizes data by a look at names alone."""
    arrays = "arrays x_train, y_train [x_test, y_test], or x, y"
    if data is None:
        return _Kind("npz", f"{arrays}; or image_folder: one folder per class", PIXELS)
    if not data.exists():
        raise DataError(f"{data}: data must exist. Received: nothing is there.{near_path(data)}")
    if data.suffix.lower() == ".npz":
        return _Kind("npz", arrays, PIXELS)
    if data.suffix.lower() == ".csv" or (data / "train.csv").is_file():
        return _Kind("csv", "the last column is the label; `label:` names another")
    if data.suffix.lower() == ".py":
        return _Kind("python", "your function gives (x, y), arrays or tf.data; runs with --allow-code", behind_path=":samples")
    if not data.is_dir():
        expected = "a .npz, .csv or .py file, or a folder with one folder per class"
        raise DataError(f"{data}: data must be {expected}. Received: {data.suffix!r}.")
    if (data / "data_batch_1").is_file() or (data / "cifar-10-batches-py").is_dir():
        return _Kind("cifar10", "the official Python batches", PIXELS)
    if next(data.glob("[!_.]*/*.wav"), None) is not None:
        return _Kind("speech_commands", "one folder of .wav files per word", SOUND, lines=("  group_by: speaker",))
    if not any(entry.is_dir() for entry in data.iterdir()):
        raise DataError(f"{data}: a folder of data must hold one folder per class. Received: a folder without any.")
    return _Kind("image_folder", "one folder per class", PIXELS)


def _quoted(text: str) -> str:
    """Text as YAML, whatever it holds."""
    return escape_references(json.dumps(text, ensure_ascii=False)) if not re.fullmatch(r"[A-Za-z_./][\w./-]*", text) else text
