"""A benchmark in sentences, for terminal and report."""

from __future__ import annotations

from collections.abc import Sequence

from edgecompress.device.scaling import describe_scaling
from edgecompress.device.sustained import describe_sustained
from edgecompress.device.table import describe_closer
from edgecompress.report.schema import BenchmarkEntry
from edgecompress.report.words import threads_text


def benchmark_sentences(entries: Sequence[BenchmarkEntry]) -> list[str]:
    """What there is to say beside the table: threads, XNNPACK, golden outputs of hosts, right answers, operators, minutes."""
    closer: dict[tuple[str, str, str], list[int]] = {}  # what is true with several numbers of threads is said once
    for entry in entries:
        for words in describe_closer(entry.model_dump()):
            closer.setdefault((entry.model, entry.host, words), []).append(entry.threads)
    return [
        *describe_scaling([entry.model_dump() for entry in entries]),
        *(f"{model} on {host}, {_threads_text(numbers)}: {words}" for (model, host, words), numbers in closer.items()),
        *(f"{entry.model} on {entry.host}, {describe_sustained(entry.sustained)}" for entry in entries if entry.sustained),
    ]


def _threads_text(numbers: Sequence[int]) -> str:
    """`1, 2 and 4 threads`."""
    *first, last = dict.fromkeys(numbers)
    return " and ".join(filter(None, (", ".join(map(str, first)), threads_text(last))))
