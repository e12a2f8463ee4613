"""The layer lens: operators of the final file in order, with the Keras layers behind them, their bytes, and their times on devices."""

from __future__ import annotations

from edgecompress.device.operators import describe_operators
from edgecompress.report.document import Block, Table, make_table
from edgecompress.report.schema import BenchmarkEntry, Report
from edgecompress.report.words import NOT_KNOWN, count_text, ms_text, percent_text, threads_text

MEANING = (
    "Each operator was cut out of the file and timed as a model of its own: its weights lie in the cache then, and an interpreter "
    "is called for it alone. So the times tell where the work is; their sum is not the time of the whole."
)


def operators_block(report: Report) -> Block:
    """What each device took for each operator of the final file, and for each layer."""
    entries = [entry for entry in report.benchmark if entry.operators and entry.model == "final"]
    sentences = [f"{_place(entry)}: {describe_operators(entry.operators or {})}." for entry in entries]
    tables = (_layer_table(report, entries), _operator_table(report, entries))
    return Block("operators", "Time of operators and layers", (MEANING, *sentences), tables=tuple(table for table in tables if table.rows))


def _place(entry: BenchmarkEntry) -> str:
    return f"{entry.host}, {threads_text(entry.threads)}"


def _times(entry: BenchmarkEntry) -> dict[int, float]:
    """Number of the operator to ms."""
    return {one["index"]: one["p50_ms"] for one in (entry.operators or {})["timed"] if one["p50_ms"] is not None}


def _shares(milliseconds: float | None, entry: BenchmarkEntry) -> tuple[str, str]:
    """A time, and its share of the sum."""
    whole = (entry.operators or {})["sum_ms"]
    if milliseconds is None or not whole:
        return NOT_KNOWN, NOT_KNOWN
    return ms_text(milliseconds), percent_text(milliseconds / whole)


def _columns(entries: list[BenchmarkEntry]) -> list[str]:
    return [column for entry in entries for column in (f">ms, {_place(entry)}", ">Share")]


def _operator_table(report: Report, entries: list[BenchmarkEntry]) -> Table:
    """In the order in which they run."""
    rows = []
    for operator in report.operators:
        times = [cell for entry in entries for cell in _shares(_times(entry).get(operator.index), entry)]
        shape = " x ".join(map(str, operator.output))
        numbers = (count_text(operator.weight_bytes or None), count_text(operator.macs or None))
        rows.append((str(operator.index), operator.operator, operator.layer or NOT_KNOWN, shape, *numbers, *times))
    columns = (">No.", "Operator", "Keras layer", "Output", ">Weight bytes", ">MACs", *_columns(entries))
    return make_table(columns, rows, title="Operators, each alone", collapsed=True)


def _layer_table(report: Report, entries: list[BenchmarkEntry]) -> Table:
    """The same, added up for each Keras layer, in the order in which they come."""
    before = {layer.name: layer.baseline_bytes for layer in report.layer_bytes}
    rows = []
    for name in dict.fromkeys(operator.layer for operator in report.operators if operator.layer):
        own = [operator for operator in report.operators if operator.layer == name]
        times: list[str] = []
        for entry in entries:
            found = [_times(entry)[operator.index] for operator in own if operator.index in _times(entry)]
            times += _shares(sum(found) if found else None, entry)
        weights = sum(operator.weight_bytes for operator in own)
        names = ", ".join(dict.fromkeys(operator.operator for operator in own))
        rows.append((name, names, count_text(before.get(name)), count_text(weights or None), *times))
    columns = ("Keras layer", "Operators", ">Baseline bytes", ">Bytes", *_columns(entries))
    return make_table(columns, rows, title="Keras layers: the operators that compute them, added up")
