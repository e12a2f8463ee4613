"""A classification class by class: which became worse, what is taken for what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edgecompress.report.document import Block, Table, make_table
from edgecompress.report.schema import Report
from edgecompress.report.summary import metrics_on_test
from edgecompress.report.verdict_schema import ClassChanges
from edgecompress.report.words import count_text, metric_text


def classes_blocks(report: Report) -> Iterator[Block]:
    """What is known of single classes; nothing for other tasks."""
    changes = report.verdict.classes if report.verdict else None
    tables = [*_confusions_tables(report, changes), *_per_class_tables(report)]
    if changes is not None or tables:
        yield Block("classes", "Classes", tuple(_sentences(report, changes)), tables=tuple(tables))


def _sentences(report: Report, changes: ClassChanges | None) -> Iterator[str]:
    """Which classes the final model recognizes less often, if that is more than noise."""
    if changes is None:
        return
    basis = "McNemar's test for each class, with Holm's correction for their number"
    if not changes.regressed:
        yield f"No class is recognized less often than by the baseline beyond noise ({basis})."
        return
    worse = [
        f"{class_name(report, one.label)} ({one.num_lost:,} of {one.num_samples:,} lost, {one.num_won:,} won)" for one in changes.regressed
    ]
    yield f"Recognized less often than by the baseline, beyond noise ({basis}): {', '.join(worse)}."


def _confusions_tables(report: Report, changes: ClassChanges | None) -> Iterator[Table]:
    """The most frequent mistakes, baseline beside final."""
    if changes is None or not changes.confusions:
        return
    rows = [
        (class_name(report, one.label), class_name(report, one.predicted), count_text(one.num_baseline), count_text(one.num_final))
        for one in changes.confusions
    ]
    columns = ("Class", "Taken for", ">Samples, baseline", ">Samples, final")
    yield make_table(columns, rows, title="Most frequent mistakes of the final model", collapsed=True)


def _per_class_tables(report: Report) -> Iterator[Table]:
    """Precision and recall of every class, baseline beside final; folded away."""
    baseline = metrics_on_test(report, "baseline", "tflite").get("per_class") or {}
    final = metrics_on_test(report, "final", "tflite").get("per_class") or {}
    rows = []
    for number in range(max((len(values) for values in final.values()), default=0)):
        row = [class_name(report, number)]
        for metric in ("precision", "recall"):
            row += [metric_text(metric, _at(values.get(metric), number)) for values in (baseline, final)]
        rows.append(row)
    if rows:
        columns = ("Class", ">Precision, baseline", ">Precision, final", ">Recall, baseline", ">Recall, final")
        yield make_table(columns, rows, title="Precision and recall of each class", collapsed=True)


def class_name(report: Report, label: int) -> str:
    """The name of a class, its number where it has none."""
    names = report.data.class_names
    return names[label] if label < len(names) else str(label)


def _at(values: Any, index: int) -> float | None:
    """`values[index]`, None where there is none."""
    return values[index] if isinstance(values, list) and index < len(values) else None
