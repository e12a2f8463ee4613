"""The `verdict` section of report.json: the baseline against the final model."""

from __future__ import annotations

from typing import Any, Literal

from edgecompress.report.section import Section


class Comparison(Section):
    """Baseline against final on the same test samples. `drop` > 0 means that the final model is worse.

    `confidence_interval` is that of the drop; `agreement` is the fraction of samples on which both say the same.
    """

    baseline: float | None
    final: float | None
    drop: float | None
    confidence_interval: tuple[float, float] | None = None
    p_value: float | None = None
    p_value_of: str | None = None  # the test: McNemar, ...
    agreement: float | None = None
    correlation: float | None = None  # of the two models' outputs, where they decide nothing


class RegressedClass(Section):
    """A class that the final model recognizes less often than the baseline, beyond noise (McNemar, Holm's correction)."""

    label: int
    num_samples: int
    num_lost: int  # only the baseline has them right
    num_won: int
    p_value: float


class Confusion(Section):
    """How often samples of class `label` are taken for class `predicted`."""

    label: int
    predicted: int
    num_baseline: int
    num_final: int


class ClassChanges(Section):
    """Classification: what happened to single classes of the test split."""

    regressed: list[RegressedClass] = []  # the worst first
    confusions: list[Confusion] = []  # the most frequent of the final model first


class Verdict(Section):
    """The statistical comparison of the deciding metric: baseline (float, Keras) against the final .tflite."""

    metric: str
    direction: Literal["rises", "falls"]  # rises: larger is better
    validation: dict[str, Any] = {}  # baseline, final, drop
    test: Comparison
    classes: ClassChanges | None = None
