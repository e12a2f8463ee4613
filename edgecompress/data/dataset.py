"""From the `data` section of a recipe to four splits that are ready to use."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgecompress.data.augment import check_augment, is_active
from edgecompress.data.drawing import Rows, compare_groups, draw_splits, normal_labels
from edgecompress.data.labels import resolve_class_names
from edgecompress.data.preprocess import output_shape
from edgecompress.data.reading import read_source
from edgecompress.data.source import Part, Source
from edgecompress.data.split import Split
from edgecompress.errors import DataError
from edgecompress.recipe import schema
from edgecompress.samples import Shapes, each
from edgecompress.task_functions import load_functions, try_functions


@dataclass(frozen=True)
class Data:
    """All that a run knows of its data.

    Attributes:
        train, validation, test: no sample is in two of them, unless the source itself has it so.
        calibration: samples of train, class-balanced, no two identical; fewer than asked for where there are no more.
        input_shape: of one sample after preprocessing, without the batch axis; by name where a sample has several inputs.
        num_outputs: classes; label columns of multi_label and regression; values per sample of an autoencoder.
        class_names: one per class; for label columns the names of the recipe's `labels`, or none.
        fingerprint: sha256 (hex) of content, labels, splits, preprocessing, seed and target.
        preprocess: as in the recipe; by name where a sample has several inputs.
        batch_size: samples per training step.
        source: name of the source.
        augments: whether `train` has something to augment with.
        warnings: what could not be checked, or was passed over.
        unlabelled: samples without labels, in no other split; None: the recipe names none.
    """

    train: Split
    validation: Split
    test: Split
    calibration: Split
    input_shape: Shapes
    num_outputs: int
    class_names: list[str]
    fingerprint: str
    preprocess: schema.Preprocess | Mapping[str, schema.Preprocess]
    batch_size: int
    source: str
    augments: bool
    warnings: tuple[str, ...] = ()
    unlabelled: Split | None = None


def load_data(config: schema.Data, task: schema.Task, *, seed: int, allow_code: bool = False) -> Data:
    """Reads the source of a recipe, checks it and splits it.

    Args:
        config: the recipe's `data`.
        task: says what labels must be.
        seed: decides splits and calibration, not negative.
        allow_code: the source python and functions of the task, which run code, may be used.

    Raises:
        DataError: missing, damaged or unfit data; the message names the file or array.
        RecipeError: a loss or metric of the user's own that is not allowed, not there, or does not do what it must.
    """
    code = load_functions(task, allow_code=allow_code)
    source = _read(config, task, allow_code)
    input_shape = each(output_shape, source.train.inputs.sample_shape, config.prepared)
    check_augment(config.augment, input_shape)
    class_names = resolve_class_names(source, config.labels)
    if task.kind == "classification" and len(class_names) < 2:
        words = "labels of a classification task must be of at least 2 classes"
        raise DataError(f"{source.train.name}: {words}. Received: {class_names[0]} alone.")
    warnings = [*source.warnings, *compare_groups(source)]
    drawn = draw_splits(source, config, class_names, seed)
    if config.unlabelled is not None and config.unlabelled.source != "rest":
        others = _unlabelled(config, config.unlabelled, source.train, allow_code)
        drawn["rest"] = Rows(others.train, np.arange(len(others.train.inputs)))
        warnings += others.warnings
    normal = normal_labels(config.normal, class_names) if config.normal else None

    def split(name: str, augment: schema.Augment | None = None) -> Split:
        part, rows = drawn[name].part, drawn[name].rows
        return Split(part.inputs, part.labels, rows, preprocess=config.prepared, target=task.target, augment=augment, normal=normal)

    num_columns = len(class_names) if source.train.has_classes else source.train.labels.shape[1]
    data = Data(
        train=split("train", config.augment), validation=split("validation"), test=split("test"), calibration=split("calibration"),
        input_shape=input_shape, num_outputs=math.prod(input_shape) if task.kind == "autoencoder" else num_columns,
        class_names=class_names, fingerprint=_fingerprint(source, drawn, config, task, seed, code), preprocess=config.prepared,
        batch_size=config.batch_size, source=config.source, augments=is_active(config.augment), warnings=tuple(warnings),
        unlabelled=None if config.unlabelled is None else split("rest"),
    )  # fmt: skip
    try_functions(task, data.validation, input_shape if task.kind == "autoencoder" else (num_columns,))
    return data


def _read(config: schema.Data, task: schema.Task, allow_code: bool) -> Source:
    """The source of a section."""
    try:
        return read_source(config, task, allow_code=allow_code)
    except OSError as error:
        raise DataError(f"{config.path}: must be readable. Received: {error}.") from error


def _unlabelled(config: schema.Data, unlabelled: schema.Unlabelled, train: Part, allow_code: bool) -> Source:
    """The source of samples without labels, read as an autoencoder's, which needs none."""
    task = schema.Task(loss="mean_squared_error", metrics=["mean_squared_error"], target="input")
    update = {"source": unlabelled.source, "path": unlabelled.path, "group_by": None, "exclude": None}
    source = _read(config.model_copy(update=update), task, allow_code)
    expected, received = (each(output_shape, part.inputs.sample_shape, config.prepared) for part in (train, source.train))
    if received != expected:
        expected, received = (each(list, shape) for shape in (expected, received))
        raise DataError(f"data.unlabelled: samples must have the shape {expected} as in train. Received: {received}.")
    return source


def _fingerprint(source: Source, drawn: dict[str, Rows], config: schema.Data, task: schema.Task, seed: int, code: list[str | None]) -> str:
    """Hash of everything that a training or an evaluation depends on, but for augmentation and batch size; not of the calibration."""
    settings = config.model_dump(mode="json", include={"validation", "test", "group_by", "limit", "preprocess", "inputs", "normal"})
    hasher = hashlib.sha256(json.dumps([settings, task.target, seed, *code], sort_keys=True).encode())
    for part in source.parts:
        hasher.update(part.inputs.content_hash)
        hasher.update(f"{part.labels.dtype} {part.labels.shape}".encode())
        hasher.update(np.ascontiguousarray(part.labels).data)
    unseen = {"calibration"} if config.unlabelled is not None else {"calibration", "rest"}
    if config.unlabelled is not None:
        hasher.update(drawn["rest"].part.inputs.content_hash)
    for name in sorted(drawn.keys() - unseen):
        hasher.update(f"{name} {len(drawn[name].rows)}".encode())
        hasher.update(np.ascontiguousarray(drawn[name].rows).data)
    return hasher.hexdigest()
