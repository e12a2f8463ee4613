"""Saving a model so that a crash never leaves half of one."""

import io
import sys
import warnings
from pathlib import Path
from typing import Any

import h5py

from edgecompress.backend import keras, keras_3
from edgecompress.store import storage_errors, write_atomic


def save_model(model: keras.Model, path: str | Path) -> None:
    """Writes architecture and weights as .h5, whole or not at all; the optimizer's state is left out.

    TF-MOT's quantize-aware wrappers are saved too; `load_model` reads them back. The file is made in memory
    first, so that a disk that fills up is one clear error.

    Args:
        model: a Functional or Sequential model.
        path: the final name; a file there is replaced.

    Raises:
        StorageError: the disk is full or read-only.
    """
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file, warnings.catch_warnings():
        # Keras calls .h5 legacy. It is chosen: it has no zip container to rewrite and holds TF-MOT's wrappers.
        warnings.filterwarnings("ignore", message="You are saving your model as an HDF5 file")
        keras.models.save_model(model, file, save_format="h5", include_optimizer=False)
    write_atomic(Path(path), buffer.getbuffer())


def is_keras_3_model(model: Any) -> bool:
    """Whether a model is of Keras 3, which then was imported before."""
    return "keras" in sys.modules and isinstance(model, keras_3().Model)


def save_given_model(model: Any, folder: Path) -> Path:
    """Writes a user's model into `folder` as its own Keras does: `model.h5`, of Keras 3 `model.keras`.

    Raises:
        StorageError: the disk is full or read-only.
    """
    if not is_keras_3_model(model):
        save_model(model, folder / "model.h5")
        return folder / "model.h5"
    path = folder / "model.keras"
    with storage_errors(path), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="You are saving a model that has not yet been built")
        model.save(path)
    return path
