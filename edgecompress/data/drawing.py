"""Which samples of which part make train, validation, test and calibration."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from edgecompress.data import splits
from edgecompress.data.source import Part, Source
from edgecompress.errors import DataError
from edgecompress.recipe import schema
from edgecompress.recipe.suggestions import did_you_mean

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
    """Samples of train, validation, test and calibration; and of rest: what `limit` leaves out of train.

    Test, then validation are split off from the training part where the source has none of its own; then anomalies are taken
    out of what is left for training, `limit` thins it out, and calibration is chosen from that.

    Raises:
        DataError: a class, or the groups, have too few samples to be in each split.
    """

    def generator(stream: int) -> np.random.Generator:
        return np.random.default_rng([seed, stream])

    _check_sizes(source, class_names)
    train = Rows(source.train, np.arange(len(source.train.inputs)))
    drawn = {}
    for name, part, fraction, stream, num_left in (
        ("test", source.test, config.test, TEST_STREAM, 1 + (source.validation is None)),
        ("validation", source.validation, config.validation, VALIDATION_STREAM, 1),
    ):
        if part is not None:
            drawn[name] = Rows(part, np.arange(len(part.inputs)))
        else:
            train, drawn[name] = _split(train, fraction, generator(stream), num_left)
    trained = normal_labels(config.normal, class_names) if config.normal else list(range(len(class_names)))
    if config.normal:
        train = Rows(train.part, train.rows[np.isin(train.strata, trained)])
    rest = Rows(train.part, train.rows[:0])
    if config.limit is not None:
        chosen = splits.balanced_selection(train.strata, config.limit, generator(LIMIT_STREAM))
        train, rest = Rows(train.part, train.rows[chosen]), Rows(train.part, np.delete(train.rows, chosen))
    _check_classes_present(train, trained, class_names)

    def identity(position: int) -> bytes:
        return train.part.inputs.digest(int(train.rows[position]))

    chosen = splits.balanced_selection(train.strata, config.calibration, generator(CALIBRATION_STREAM), identity)
    return drawn | {"train": train, "calibration": Rows(train.part, train.rows[chosen]), "rest": rest}


def _split(whole: Rows, fraction: float, generator: np.random.Generator, num_left: int) -> tuple[Rows, Rows]:
    """(rest, taken), by groups where there are groups; the rest has `num_left` of them, or samples of each class, at least."""
    if whole.part.groups is None:
        positions = splits.stratified_split(whole.strata, fraction, generator, num_left=num_left)
    else:
        positions = splits.grouped_split(whole.strata, whole.part.groups[whole.rows], fraction, generator, num_left=num_left)
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


def _check_classes_present(train: Rows, wanted: list[int], class_names: list[str]) -> None:
    """Every class that is trained on must be left in train, whatever groups and `limit` have taken away."""
    if train.part.has_classes:
        counts = np.bincount(train.strata, minlength=len(class_names))
        if missing := [label for label in wanted if not counts[label]]:
            raise DataError(
                f"{train.part.name}: train must have samples of every class after data.group_by and data.limit."
                f" Received: none of {class_names[missing[0]]!r} (label {missing[0]})."
            )


def normal_labels(normal: list[str], class_names: list[str]) -> list[int]:
    """Labels of the classes that are no anomalies.

    Raises:
        DataError: a name that no class has, or no class that is left to be an anomaly.
    """
    for name in normal:
        if name not in class_names:
            known, near = ", ".join(class_names) or "no classes", did_you_mean(name, class_names)
            raise DataError(f"data.normal: must be names of classes, of {known}. Received: {name!r}.{near}")
    return [class_names.index(name) for name in normal]


def compare_groups(source: Source) -> list[str]:
    """Compares the groups of the parts that the source itself has.

    Returns: a warning for each part whose groups are not known.

    Raises:
        DataError: a group that is in two parts.
    """
    if source.train.groups is None:
        return []
    grouped = [(part.name, part.groups) for part in source.parts if part.groups is not None]
    for (name, groups), (other_name, other_groups) in itertools.combinations(grouped, 2):
        shared = np.intersect1d(groups, other_groups)
        if len(shared):
            received = f"{len(shared)} that are in {name} too, such as {shared[0].item()!r}"
            raise DataError(f"{other_name}: samples of one group must be in one part only, as data.group_by says. Received: {received}.")
    unknown = "its groups are not known, so whether train has samples of them could not be checked"
    return [f"{part.name}: {unknown}." for part in source.parts if part.groups is None]
