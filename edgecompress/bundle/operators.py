"""The operators of a model as one-operator files in a .zip, which a device times one by one."""

from __future__ import annotations

from edgecompress.bundle.archive import archive
from edgecompress.tflite.cut import cut_operators

OPERATORS = "operators.zip"


def operators_archive(content: bytes) -> bytes:
    """NUMBER.tflite of each operator of a .tflite that can stand alone.

    Raises:
        ModelError: a damaged file.
    """
    return archive({f"{number}.tflite": piece for number, piece in cut_operators(content).items()})
