"""What every source gives: samples that are drawn by row number, in the parts that the source itself has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np

from edgecompress.backend import tf

RawShape: TypeAlias = tuple[int | None, ...]  # of one sample before preprocessing; None where samples differ


class Inputs(Protocol):
    """The inputs of a part, in memory or on disk. Several of them by name are `NamedInputs`.

    Attributes:
        sample_shape: of one sample.
        content_hash: sha256 that changes when the samples change.
    """

    @property
    def sample_shape(self) -> RawShape | Mapping[str, RawShape]: ...
    @property
    def content_hash(self) -> bytes: ...

    def __len__(self) -> int: ...

    def batch(self, rows: tf.Tensor, preprocess: Any) -> Any:
        """Preprocessed samples, float32 [b, ...], for `rows`, int64 [b], with a `Preprocess`. Runs inside tf.data."""
        ...

    def digest(self, row: int) -> bytes:
        """Equal for two rows only if their samples are identical."""
        ...

    def fault(self, rows: np.ndarray) -> str | None:
        """Which of the samples at `rows`, int64 [b], can no longer be read, and why; None: all can."""
        ...


@dataclass(frozen=True)
class Part:
    """Samples as the source keeps them, before any split.

    Attributes:
        inputs: n samples.
        labels: int64 [n] classes, or float32 [n, columns] values; no columns where the samples have no labels.
        name: of the labels, for messages.
        groups: any type [n]; samples of one group must stay in one split.
    """

    inputs: Inputs
    labels: np.ndarray
    name: str
    groups: np.ndarray | None = None

    @property
    def has_classes(self) -> bool:
        """Whether labels are classes, not values or nothing."""
        return self.labels.ndim == 1


@dataclass(frozen=True)
class Source:
    """The parts of a source; None: the source has no such part, so it is split off from `train`."""

    train: Part
    validation: Part | None = None
    test: Part | None = None
    class_names: list[str] | None = None  # None: the labels alone say how many classes there are
    warnings: tuple[str, ...] = ()  # what is there and was not taken, or not whole; one sentence each

    @property
    def parts(self) -> list[Part]:
        """The parts that exist, `train` first."""
        return [part for part in (self.train, self.validation, self.test) if part is not None]
