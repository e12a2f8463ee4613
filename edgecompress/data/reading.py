"""Which module reads which source."""

from __future__ import annotations

from pathlib import Path

from edgecompress.data import cifar10, csv_file, digits, idx, image_folder, npz, python_function, speech_commands, tfds
from edgecompress.data.source import Source
from edgecompress.errors import DataError
from edgecompress.recipe import schema

VALUE_SOURCES = ("npz", "csv", "python")  # whose labels may be values; those of all others are classes


def read_source(config: schema.Data, task: schema.Task, *, allow_code: bool) -> Source:
    """Reads the parts of a recipe's source.

    Raises:
        DataError: missing, damaged or unfit data, or a source that runs code where none is allowed.
        OSError: a file that cannot be read.
    """
    path = Path(config.path or "").expanduser()
    if task.kind in ("multi_label", "regression") and config.source not in VALUE_SOURCES:
        needed = f"must have labels that are values, from {', '.join(VALUE_SOURCES)}"
        raise DataError(f"data.source: a {task.kind} task {needed}. Received: {config.source!r}, whose labels are classes.")
    match config.source:
        case "digits":
            return digits.read()
        case "cifar10":
            return cifar10.read(path)
        case "speech_commands":
            return speech_commands.read(path, config, task)
        case "npz":
            return npz.read(path, config, task)
        case "csv":
            return csv_file.read(path, config, task)
        case "image_folder":
            return image_folder.read(path, config.preprocess, needs_labels=task.target == "label")
        case "tfds":
            return tfds.read(config, task)
        case "python":
            return python_function.read(config, task, allow_code=allow_code)
        case family:
            return idx.read(path, family)
