"""A benchmark in sentences, for terminal and report."""

from __future__ import annotations

from collections.abc import Sequence

from edgecompress.device.scaling import describe_scaling
from edgecompress.device.sustained import describe_sustained
from edgecompress.device.table import describe_closer
from edgecompress.report.schema import BenchmarkEntry


def benchmark_sentences(entries: Sequence[BenchmarkEntry]) -> list[str]:
    """What there is to say beside the table: threads, XNNPACK, golden outputs of hosts, right answers, operators, minutes."""
    sentences = describe_scaling([entry.model_dump() for entry in entries])
    for entry in entries:
        sentences += [f"{entry.model} on {entry.host}, threads {entry.threads}: {words}" for words in describe_closer(entry.model_dump())]
        sentences += [f"{entry.model} on {entry.host}, {describe_sustained(entry.sustained)}"] if entry.sustained else []
    return sentences
