"""What every source gives: samples that are drawn by row number, in the parts that the source itself has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from edgecompress.backend import tf
from edgecompress.recipe.schema import Preprocess


class Inputs(Protocol):
    """The inputs of a part, in memory or on disk.

    Attributes:
        sample_shape: of one sample before preprocessing, with channels; None where samples differ.
        content_hash: sha256 that changes when the samples change.
    """

    sample_shape: tuple[int | None, ...]
    content_hash: bytes

    def __len__(self) -> int: ...

    def batch(self, rows: tf.Tensor, preprocess: Preprocess) -> tf.Tensor:
        """Preprocessed samples, float32 [b, ...], for `rows`, int64 [b]. Runs inside tf.data."""
        ...

    def digest(self, row: int) -> bytes:
        """Equal for two rows only if their samples are identical."""
        ...


@dataclass(frozen=True)
class Part:
    """Samples as the source keeps them, before any split.

    Attributes:
        inputs: n samples.
        labels: int64 [n] classes, or float32 [n, columns] values.
        name: of the labels, for messages.
        groups: any type [n]; samples of one group must stay in one split.
    """

    inputs: Inputs
    labels: np.ndarray
    name: str
    groups: np.ndarray | None = None

    @property
    def has_classes(self) -> bool:
        """Whether labels are classes, not values."""
        return self.labels.ndim == 1


@dataclass(frozen=True)
class Source:
    """The parts of a source; None: the source has no such part, so it is split off from `train`."""

    train: Part
    validation: Part | None = None
    test: Part | None = None
    class_names: list[str] | None = None  # None: the labels alone say how many classes there are

    @property
    def parts(self) -> list[Part]:
        """The parts that exist, `train` first."""
        return [part for part in (self.train, self.validation, self.test) if part is not None]
