"""Source `tfds`: a data set of TensorFlow Datasets, which is an extra."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgecompress.data.array_inputs import ArrayInputs
from edgecompress.data.labels import class_labels
from edgecompress.data.source import Part, Source
from edgecompress.errors import DataError
from edgecompress.recipe import schema
from edgecompress.recipe.suggestions import did_you_mean

PARTS = ("train", "validation", "test")
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
        builder.download_and_prepare()
        supervised = builder.info.supervised_keys is not None
        splits = {part: builder.as_dataset(split=part, as_supervised=supervised) for part in PARTS if part in builder.info.splits}
    except library.core.DatasetNotFoundError as error:
        near = did_you_mean(name, library.list_builders())
        raise DataError(f"data.name: must be a data set of TensorFlow Datasets. Received: {name!r}.{near}") from error
    except Exception as error:  # a builder runs its own code: downloads, checksums, decoders
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:MAX_REASON]
        raise DataError(f"data.name: {name} must be a data set that can be prepared here. Received: {reason}.") from error
    if "train" not in splits or not (supervised or task.target == "input"):
        received = f"splits {', '.join(splits) or 'none'}, {'with' if supervised else 'without'} labels"
        raise DataError(f"data.name: {name} must have a split train, and labels for a {task.kind} task. Received: {received}.")
    parts = {part: _read_part(dataset, f"{part} of {name}", supervised) for part, dataset in splits.items()}
    names = getattr(builder.info.features.get("label"), "names", None) if supervised else None
    return Source(parts["train"], parts.get("validation"), parts.get("test"), names)


def _read_part(dataset: Any, name: str, supervised: bool) -> Part:
    """One split in the library's own order."""
    elements = list(dataset.as_numpy_iterator())
    inputs = [element[0] if supervised else element for element in elements]
    if not all(isinstance(sample, np.ndarray) for sample in inputs):
        raise DataError(f"{name}: samples must be single arrays. Received: {type(inputs[0]).__name__}.")
    if len({sample.shape for sample in inputs}) > 1:
        raise DataError(f"{name}: samples must all have one shape. Received: {inputs[0].shape} and others.")
    labels = class_labels(np.asarray([element[1] for element in elements]), name) if supervised else np.zeros((len(inputs), 0), np.float32)
    return Part(ArrayInputs(np.stack(inputs), name), labels, name)
