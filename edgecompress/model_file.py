"""What a model file is, told by its first bytes, not by its name. Free of TensorFlow."""

from pathlib import Path
from typing import Literal

from edgecompress.errors import ModelError
from edgecompress.recipe.suggestions import near_path

ModelFormat = Literal["h5", "keras", "saved_model", "tflite"]

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
ZIP_SIGNATURE = b"PK\x03\x04"
TFLITE_SIGNATURE = b"TFL3"  # at byte 4
SAVED_MODEL = "saved_model.pb"

# What other tools' files are called: their content has no signature.
FOREIGN = {".onnx": "an ONNX model", ".pt": "a PyTorch model", ".pth": "a PyTorch model", ".pb": "a TensorFlow graph without its folder"}


def model_format(path: Path, *, expected: str = "a model: .h5, .keras, .tflite or a SavedModel folder") -> ModelFormat:
    """The format of a file or folder.

    Args:
        path: of the file or folder.
        expected: what it must be, in the words of a message.

    Raises:
        ModelError: nothing is there, it cannot be read, or it is of another format.
    """
    try:
        if path.is_dir():
            if (path / SAVED_MODEL).is_file():
                return "saved_model"
            raise ModelError(f"{path}: must be {expected}. Received: a folder without {SAVED_MODEL}.")
        if path.exists() and not path.is_file():
            raise ModelError(f"{path}: must be a file. Received: a device or a pipe.")
        with open(path, "rb") as file:
            start = file.read(len(HDF5_SIGNATURE))
    except FileNotFoundError as error:
        raise ModelError(f"{path}: must be {expected}. Received: nothing is there.{near_path(path)}") from error
    except OSError as error:
        raise ModelError(f"{path}: model file cannot be read: {error.strerror}.") from error
    if start.startswith(HDF5_SIGNATURE):
        return "h5"
    if start.startswith(ZIP_SIGNATURE):
        return "keras"
    if start[4:] == TFLITE_SIGNATURE:
        return "tflite"
    other = FOREIGN.get(path.suffix.lower(), "a file of another or damaged format")
    raise ModelError(f"{path}: must be {expected}. Received: {other if start else 'an empty file'}.")
