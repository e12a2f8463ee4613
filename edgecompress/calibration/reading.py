"""Samples for `edgecompress convert --data`: they fix the ranges of int8 and int16x8, and need no labels and no splits."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgecompress.backend import tf
from edgecompress.data.array_inputs import INPUT_TYPES, check_finite
from edgecompress.data.image_folder import SUFFIXES, check_image, decode
from edgecompress.data.npz import opened
from edgecompress.data.preprocess import output_shape, preprocess_batch
from edgecompress.errors import DataError
from edgecompress.recipe.load import make_section
from edgecompress.recipe.schema import Data, Preprocess
from edgecompress.samples import Samples, Shapes, num_samples

MAX_SAMPLES = 200
FOLDER_SCALE = "1/255"  # pixels are whole numbers up to 255, and most models take them as fractions of it
COLOURS = {1: "grayscale", 3: "rgb"}  # by number of channels


@dataclass(frozen=True)
class Calibration:
    """Samples as the model takes them.

    Attributes:
        samples: float32 [n, ...], at most 200; by name for a model of several inputs.
        words: what they are and what was done to them, such as "200 samples of photos, scaled by 1/255".
    """

    samples: Samples
    words: str


def read_calibration(path: Path, input_shape: Shapes, preprocess: Mapping[str, Any]) -> Calibration:
    """Reads up to 200 samples, spread evenly over the file or folder.

    Args:
        path: an .npz file with an array x_train or x [n, ...], or one of each input's name; or a folder of images, or of folders of
            images.
        input_shape: of the model, without the batch; by name for a model of several inputs. Images get its size and channels.
        preprocess: `scale`, `mean` and `std` as in a recipe, for a model of one input; the scale of images is 1/255 if it is absent.

    Raises:
        DataError: missing, damaged, NaN, or of another shape than the model's input.
        RecipeError: a value of `preprocess`.
    """
    settings = {"scale": FOLDER_SCALE, **preprocess} if path.is_dir() else dict(preprocess)
    samples: Samples
    if isinstance(input_shape, Mapping) and (path.is_dir() or preprocess):
        received = f"{'a folder' if path.is_dir() else 'scale, mean or std'} for {', '.join(input_shape)}"
        raise DataError(f"{path}: samples of several inputs must be arrays of an .npz, preprocessed. Received: {received}.")
    if path.is_dir() and not isinstance(input_shape, Mapping):
        samples = _read_images(path, _checked(path, {**settings, **_image_settings(path, input_shape)}))
    else:
        samples = _read_npz(path, input_shape, _checked(path, settings))
    number = num_samples(samples)
    return Calibration(samples, f"{number} {'sample' if number == 1 else 'samples'} of {path}, {_treatment(settings)}")


def _checked(path: Path, settings: Mapping[str, Any]) -> Preprocess:
    """The settings as a recipe would have them."""
    source = "image_folder" if path.is_dir() else "npz"
    return make_section(Data, "data", {"source": source, "path": str(path), "preprocess": settings}).preprocess


def _treatment(settings: Mapping[str, Any]) -> str:
    """The settings in words."""
    words = {"scale": "scaled by", "mean": "minus", "std": "divided by"}
    return ", ".join(f"{words[key]} {_listed(value)}" for key, value in settings.items()) or "taken as they are"


def _listed(value: Any) -> str:
    """One value, or one per channel."""
    return " ".join(str(item) for item in value) if isinstance(value, list) else str(value)


def _spread(num_samples: int) -> np.ndarray:
    """Evenly spaced rows: where samples lie sorted by class, each class gives its share."""
    num_chosen = min(num_samples, MAX_SAMPLES)
    return np.arange(num_chosen) * num_samples // num_chosen


def _read_npz(path: Path, input_shapes: Shapes, settings: Preprocess) -> Samples:
    """Samples of the array, or of each named array, that fits the model, preprocessed."""
    with opened(path) as arrays:
        if not isinstance(input_shapes, Mapping):
            return _read_array(path, arrays, "x", input_shapes, settings)
        samples = {name: _read_array(path, arrays, name, shape, settings) for name, shape in input_shapes.items()}
    if len(lengths := {len(values) for values in samples.values()}) > 1:
        raise DataError(f"{path}: arrays of several inputs must have the same number of samples. Received: {sorted(lengths)}.")
    return samples


def _read_array(path: Path, arrays: Mapping[str, np.ndarray], name: str, input_shape: tuple[int, ...], settings: Preprocess) -> np.ndarray:
    """Samples of one input."""
    found = next((each for each in (f"{name}_train", name) if each in arrays), None)
    if found is None:
        raise DataError(f"{path}: must hold the array {name} or {name}_train. Received: {', '.join(arrays) or 'no arrays'}.")
    array, where = arrays[found], f"{found} in {path}"
    if array.dtype.name not in INPUT_TYPES:
        raise DataError(f"{where}: samples must be numbers of at most 64 bits. Received: {array.dtype}.")
    if array.ndim < 2 or 0 in array.shape:
        raise DataError(f"{where}: samples must be an array [samples, ...] that is not empty. Received: shape {list(array.shape)}.")
    if (*array.shape[1:], 1) == input_shape:
        array = array[..., np.newaxis]
    if array.shape[1:] != input_shape:
        raise DataError(f"{where}: samples must have the model's input shape {list(input_shape)}. Received: {list(array.shape[1:])}.")
    check_finite(array, where)
    settings = settings.model_copy(update={"channel_axis": "none"})  # the model has said which axes there are
    output_shape(input_shape, settings)  # refuses a mean or std that does not fit the channels
    return preprocess_batch(tf.constant(array[_spread(len(array))].astype(np.float32)), settings).numpy()


def _image_settings(folder: Path, input_shape: tuple[int, ...]) -> dict[str, Any]:
    """Size and colours that the model takes."""
    if len(input_shape) != 3 or input_shape[-1] not in COLOURS:
        expected = "for a model whose input is an image [height, width, 1 or 3]; give other models an .npz file"
        raise DataError(f"{folder}: a folder must be {expected}. Received: a model with the input shape {list(input_shape)}.")
    return {"resize": list(input_shape[:2]), "channels": COLOURS[input_shape[-1]]}


def _read_images(folder: Path, settings: Preprocess) -> np.ndarray:
    """Images, preprocessed."""
    output_shape((None, None, None), settings)  # refuses a mean or std that does not fit the channels
    paths = _list_images(folder)
    if not paths:
        raise DataError(f"{folder}: must hold images ({', '.join(SUFFIXES)}) or folders of images. Received: none.")
    return np.concatenate([_read_image(paths[row], settings) for row in _spread(len(paths))])


def _list_images(folder: Path) -> list[Path]:
    """Images in the folder and in the folders inside, sorted; those for training alone where the folder has a part for it."""
    root = folder / "train" if (folder / "train").is_dir() else folder
    found = (path for pattern in ("[!.]*", "[!.]*/[!.]*") for path in root.glob(pattern))
    return sorted(path for path in found if path.suffix.lower() in SUFFIXES and path.is_file())


def _read_image(path: Path, settings: Preprocess) -> np.ndarray:
    """One image as a batch of 1."""
    check_image(path)
    return preprocess_batch(decode(tf.constant(os.fsencode(path)))[tf.newaxis], settings).numpy()
