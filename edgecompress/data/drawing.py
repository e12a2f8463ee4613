"""Which samples of which part make train, validation, test and calibration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgecompress.data import splits
from edgecompress.data.source import Part, Source
from edgecompress.errors import DataError
from edgecompress.recipe import schema

# Each random decision has a stream of its own, so that one more of them would not change the others.
TEST_STREAM, VALIDATION_STREAM, LIMIT_STREAM, CALIBRATION_STREAM = range(4)


@dataclass(frozen=True)
class Rows:
    """Samples of one part that make a split; `rows`: int64, ascending."""

    part: Part
    rows: np.ndarray

    @property
    def strata(self) -> np.ndarray:
        """Classes of the samples; all 0 where labels are values."""
        return self.part.labels[self.rows] if self.part.has_classes else np.zeros(len(self.rows), np.int64)


def draw_splits(source: Source, config: schema.Data, class_names: list[str], seed: int) -> dict[str, Rows]:
    """Samples of train, validation, test and calibration.

    Test, then validation are split off from the training part where the source has none of its own; then `limit`
    thins out what is left for training, and calibration is chosen from that.

    Raises:
        DataError: a class, or the groups, have too few samples to be in each split.
    """

    def generator(stream: int) -> np.random.Generator:
        return np.random.default_rng([seed, stream])

    _check_sizes(source, class_names)
    train = Rows(source.train, np.arange(len(source.train.inputs)))
    drawn = {}
    for name, part, fraction, stream in (
        ("test", source.test, config.test, TEST_STREAM), ("validation", source.validation, config.validation, VALIDATION_STREAM),
    ):  # fmt: skip
        if part is not None:
            drawn[name] = Rows(part, np.arange(len(part.inputs)))
        else:
            train, drawn[name] = _split(train, fraction, generator(stream))
    if config.limit is not None:
        chosen = splits.balanced_selection(train.strata, config.limit, generator(LIMIT_STREAM))
        train = Rows(train.part, train.rows[chosen])
    _check_classes_present(train, class_names)

    def identity(position: int) -> bytes:
        return train.part.inputs.digest(int(train.rows[position]))

    chosen = splits.balanced_selection(train.strata, config.calibration, generator(CALIBRATION_STREAM), identity)
    return drawn | {"train": train, "calibration": Rows(train.part, train.rows[chosen])}


def _split(whole: Rows, fraction: float, generator: np.random.Generator) -> tuple[Rows, Rows]:
    """(rest, taken), by groups where there are groups."""
    if whole.part.groups is None:
        positions = splits.stratified_split(whole.strata, fraction, generator)
    else:
        positions = splits.grouped_split(whole.strata, whole.part.groups[whole.rows], fraction, generator)
    return Rows(whole.part, whole.rows[positions[0]]), Rows(whole.part, whole.rows[positions[1]])


def _check_sizes(source: Source, class_names: list[str]) -> None:
    """The training part must reach for every split that is drawn from it."""
    part = source.train
    num_splits = 1 + (source.validation is None) + (source.test is None)
    where = f"{part.name}: train and what is split off from it ({num_splits} splits)"
    if part.groups is not None and num_splits > 1:
        num_groups = len(np.unique(part.groups))
        if num_groups < num_splits:
            raise DataError(f"{where} must have at least one group each. Received: {num_groups} groups.")
        return
    counts = np.bincount(part.labels, minlength=len(class_names)) if part.has_classes else np.asarray([len(part.labels)])
    if counts.min() < num_splits:
        label = int(counts.argmin())
        of_class = f" of class {class_names[label]!r} (label {label})" if part.has_classes else ""
        raise DataError(f"{where} must have at least one sample{of_class} each. Received: {counts[label]} samples.")


def _check_classes_present(train: Rows, class_names: list[str]) -> None:
    """Every class must be left in train, whatever groups and `limit` have taken away."""
    if train.part.has_classes:
        counts = np.bincount(train.strata, minlength=len(class_names))
        if not counts.min():
            label = int(counts.argmin())
            raise DataError(
                f"{train.part.name}: train must have samples of every class after data.group_by and data.limit."
                f" Received: none of {class_names[label]!r} (label {label})."
            )
