"""Source `tfds`: a data set of TensorFlow Datasets, which is an extra."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from typing import Any

import numpy as np

from edgecompress.data.array_inputs import ArrayInputs
from edgecompress.data.labels import class_labels
from edgecompress.data.source import Part, Source
from edgecompress.errors import DataError
from edgecompress.recipe import schema
from edgecompress.recipe.suggestions import did_you_mean

PARTS = ("train", "validation", "test")
LABEL = "label"  # of data sets that do not say what they are for
MAX_REASON = 300  # characters of what TensorFlow Datasets says


def read(config: schema.Data, task: schema.Task) -> Source:
    """The splits train, validation and test that the data set has, in memory.

    Args:
        config: `name`, such as mnist or cifar10:3.0.2; `path`: where prepared data are kept and downloads go; absent: the
            library's own place.
        task: an autoencoder takes data sets without labels, too.

    Raises:
        DataError: the library is not installed, has no such data set, cannot get it, or its samples are not of one shape.
    """
    try:
        import tensorflow_datasets as library
    except ImportError as error:
        expected = "TensorFlow Datasets must be installed: pip install 'edgecompress[tfds]'"
        raise DataError(f"data.source tfds: {expected}. Received: {error}.") from error
    name = config.name or ""
    try:
        builder = library.builder(name, data_dir=config.path)
        with redirect_stdout(sys.stderr):  # it says what it downloads where only results may stand
            builder.download_and_prepare()
        datasets = {part: builder.as_dataset(split=part) for part in PARTS if part in builder.info.splits}
    except library.core.DatasetNotFoundError as error:
        near = did_you_mean(name, library.list_builders())
        raise DataError(f"data.name: must be a data set of TensorFlow Datasets. Received: {name!r}.{near}") from error
    except Exception as error:  # a builder runs its own code: downloads, checksums, decoders
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:MAX_REASON]
        raise DataError(f"data.name: {name} must be a data set that can be prepared here. Received: {reason}.") from error
    if "train" not in datasets:
        raise DataError(f"data.name: {name} must have a split train. Received: {', '.join(builder.info.splits) or 'none'}.")
    inputs, labels = _keys(name, builder.info, task)
    parts = {part: _read_part(dataset, f"{part} of {name}", inputs, labels) for part, dataset in datasets.items()}
    class_names = getattr(builder.info.features[labels], "names", None) if labels is not None else None
    return Source(parts["train"], parts.get("validation"), parts.get("test"), class_names)


def _keys(name: str, info: Any, task: schema.Task) -> tuple[str, str | None]:
    """Names of the features that are inputs and labels: those that the data set is for, else the label and the one beside it."""
    features, supervised = list(info.features), info.supervised_keys
    if supervised is not None and len(supervised) == 2 and all(isinstance(key, str) for key in supervised):
        return supervised[0], supervised[1]
    label = LABEL if LABEL in features else None
    others = [key for key in features if key != label]
    if len(others) != 1 or (label is None and task.target == "label"):
        wanted = "one feature" if task.target == "input" else f"one feature beside {LABEL!r}"
        raise DataError(f"data.name: {name} must have {wanted} for a {task.kind} task. Received: {', '.join(features)}.")
    return others[0], label


def _read_part(dataset: Any, name: str, inputs: str, labels: str | None) -> Part:
    """One split in the library's own order."""
    elements = list(dataset.as_numpy_iterator())
    samples = [element[inputs] for element in elements]
    if not all(isinstance(sample, np.ndarray) for sample in samples):
        raise DataError(f"{name}: samples must be arrays. Received: {type(samples[0]).__name__}.")
    if len({sample.shape for sample in samples}) > 1:
        raise DataError(f"{name}: samples must all have one shape. Received: {samples[0].shape} and others.")
    classes = np.zeros((len(samples), 0), np.float32)
    if labels is not None:
        classes = class_labels(np.asarray([element[labels] for element in elements]), name)
    return Part(ArrayInputs(np.stack(samples), name), classes, name)
