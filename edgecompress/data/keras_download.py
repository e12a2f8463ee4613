"""Data sets that Keras' own downloader keeps, for files that are not where the recipe says."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout

import numpy as np

from edgecompress.backend import keras
from edgecompress.data.array_inputs import ArrayInputs
from edgecompress.data.source import Part, Source


def download(family: str, class_names: list[str]) -> Source | None:
    """A data set with its train and test part; None where Keras does not have it, or there is no network.

    Args:
        family: name of a module of `keras.datasets`.
        class_names: of its classes.
    """
    loader = getattr(keras.datasets, family, None)
    if loader is None:
        return None
    try:
        with redirect_stdout(sys.stderr):  # Keras prints a bar where only results may stand
            train, test = loader.load_data()
    except Exception:  # Keras raises a bare Exception when it cannot reach the files
        return None
    parts = [Part(ArrayInputs(images, family), labels.reshape(-1).astype(np.int64), family) for images, labels in (train, test)]
    return Source(train=parts[0], test=parts[1], class_names=class_names)
