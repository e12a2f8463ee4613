"""A sample is one array, or, for a model of several inputs, a mapping of their names to arrays. All that knows this is here.

Whatever describes a sample (its arrays, shapes, preprocessing) has the same form: one value, or a mapping of names to values.
Free of TensorFlow.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from edgecompress.errors import ModelError
from edgecompress.tflite import Tflite, parse

if TYPE_CHECKING:
    from edgecompress.backend import tf
    from edgecompress.data.source import Inputs

Shape: TypeAlias = tuple[int, ...]
Shapes: TypeAlias = Shape | Mapping[str, Shape]
Samples: TypeAlias = np.ndarray | Mapping[str, np.ndarray]  # [n, ...] each, the same n


def each(function: Callable[..., Any], value: Any, *others: Any) -> Any:
    """`function` of the value; of a mapping, the mapping of names to `function` of the values that have this name."""
    if isinstance(value, Mapping):
        return {name: function(part, *(other[name] for other in others)) for name, part in value.items()}
    return function(value, *others)


def num_samples(samples: Samples) -> int:
    """How many samples there are."""
    return len(next(iter(samples.values())) if isinstance(samples, Mapping) else samples)


def ordered(value: Any, names: Sequence[str]) -> list[Any]:
    """The one value, or the values by name in the order of `names`: what a model of these inputs takes."""
    return [value[name] for name in names] if isinstance(value, Mapping) else [value]


class NamedInputs:
    """Samples of several inputs: a mapping of names to `Inputs`, which is `Inputs` itself.

    Args:
        parts: the same number of samples each.
    """

    def __init__(self, parts: Mapping[str, Inputs]) -> None:
        self._parts = dict(parts)
        self.sample_shape: Mapping[str, Any] = {name: part.sample_shape for name, part in parts.items()}
        self.content_hash = hashlib.sha256(b"".join(name.encode() + part.content_hash for name, part in parts.items())).digest()

    def __len__(self) -> int:
        return len(next(iter(self._parts.values())))

    def batch(self, rows: tf.Tensor, preprocess: Mapping[str, Any]) -> dict[str, tf.Tensor]:
        """Preprocessed samples by name, float32 [b, ...] each, for `rows`, int64 [b]."""
        return {name: part.batch(rows, preprocess[name]) for name, part in self._parts.items()}

    def digest(self, row: int) -> bytes:
        """Hash of one sample."""
        return hashlib.sha256(b"".join(part.digest(row) for part in self._parts.values())).digest()

    def fault(self, rows: np.ndarray) -> str | None:
        """The first fault of a part."""
        return next((fault for part in self._parts.values() if (fault := part.fault(rows)) is not None), None)


def check_inputs(samples: Shapes, names: Sequence[str], shapes: Sequence[tuple[int | None, ...]], model: str) -> None:
    """Raises ModelError unless a model's inputs are those of the samples.

    Args:
        samples: shape of a sample.
        names: of the model's inputs.
        shapes: of the model's inputs, without the batch; None fits any size.
        model: for messages.
    """
    if not isinstance(samples, Mapping):
        if len(names) != 1:
            cure = "data.inputs must name the array of each"
            raise ModelError(f"{model}: the model must have one input; for a model of several, {cure}. Received: {', '.join(names)}.")
        samples = {names[0]: samples}
    if set(samples) != set(names):
        raise ModelError(
            f"{model}: data.inputs must have the names of the model's inputs, {', '.join(names)}. Received: {', '.join(samples)}."
        )
    for name, shape in zip(names, shapes, strict=True):
        given = samples[name]
        if len(given) != len(shape) or any(wanted not in (None, size) for wanted, size in zip(shape, given, strict=True)):
            of_input = f" {name}" if len(names) > 1 else ""
            raise ModelError(
                f"{model}: samples must have the shape of the model's input{of_input}, {list(shape)}. Received: {list(given)}; "
                "see data.preprocess (channel_axis, resize, channels)."
            )


def names_in_file(path: Path, samples: Shapes) -> list[str]:
    """`names_of_inputs` of a file at a path."""
    return names_of_inputs(parse(path.read_bytes(), path), samples, str(path)) if isinstance(samples, Mapping) else [""]


def names_of_inputs(file: Tflite, samples: Shapes, model: str) -> list[str]:
    """Names of the samples' arrays in the order of a .tflite file's inputs, which is the converter's own.

    Inputs are known by the names of a signature or of their tensors, which converters take from the model's inputs. A file
    that has lost them still tells its inputs apart if their shapes differ.

    Args:
        file: the file.
        samples: shape of a sample.
        model: for messages.

    Returns:
        One name per input; an array without a name is called "".

    Raises:
        ModelError: another number of inputs, or inputs that cannot be told apart.
    """
    if not isinstance(samples, Mapping):
        return [""]
    shapes = [file.subgraphs[0].tensors[index].shape[1:] for index in file.subgraphs[0].inputs]
    names = file.input_names()
    by_name = [_matches(name, list(samples)) for name in names]
    by_shape = [[name for name, wanted in samples.items() if tuple(wanted) == shape] for shape in shapes]
    for found in (by_name, by_shape):
        chosen = [matches[0] for matches in found if len(matches) == 1]
        if set(chosen) == set(samples) and len(chosen) == len(names):
            return chosen
    given = ", ".join(f"{name!r} {list(shape)}" for name, shape in zip(names, shapes, strict=True))
    raise ModelError(f"{model}: inputs must have the names or shapes of data.inputs, {', '.join(samples)}. Received: {given}.")


def _matches(tensor: str, names: Sequence[str]) -> list[str]:
    """The name that a tensor's name stands for, such as `serving_default_image:0` for image; [] where there is none."""
    plain = re.sub(r"^serving_default_|:\d+$", "", tensor)
    spelled = {name: re.sub(r"\W", "_", name) for name in names}  # as the converter spells x/y
    same = [name for name in names if plain in (name, spelled[name])]
    endings = sorted((name for name in names if plain.endswith(f"_{spelled[name]}")), key=len)
    return same or endings[-1:]
