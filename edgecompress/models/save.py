"""Saving a model so that a crash never leaves half of one."""

import io
import warnings
from pathlib import Path

import h5py

from edgecompress.backend import keras
from edgecompress.store import write_atomic


def save_model(model: keras.Model, path: str | Path) -> None:
    """Writes architecture and weights as .h5, whole or not at all; the optimizer's state is left out.

    TF-MOT's quantize-aware and pruning wrappers are saved too; `load_model` reads them back. The file is made in memory
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
