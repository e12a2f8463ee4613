"""The time of a .tflite from a latency table: the sum over its operators, with its error."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgecompress.errors import DataError
from edgecompress.latency.fit import fit
from edgecompress.latency.table import LatencyTable
from edgecompress.latency.workload import Workload, workloads


@dataclass(frozen=True)
class OperatorTime:
    """What one operator of a file will take."""

    workload: Workload
    ms: float
    covered: bool


@dataclass(frozen=True)
class Prediction:
    """What one invoke of a file will take on the host of a table.

    Attributes:
        p50_ms: median time.
        low_ms, high_ms: nine of ten networks that the table has measured, but not learned from, lay between these.
        relative_error: half of those lay nearer than this to their prediction, as a fraction of what was measured.
        uncovered: share of p50_ms, in [0, 1], of operators that the table has no rows of: a guess from the bytes that they move.
        uncovered_operators: their names.
        threads: of the runtime.
        operators: one by one, in the order of the file.
    """

    p50_ms: float
    low_ms: float
    high_ms: float
    relative_error: float
    uncovered: float
    uncovered_operators: tuple[str, ...]
    threads: int
    operators: tuple[OperatorTime, ...] = field(default=(), repr=False)

    def describe(self) -> str:
        """One sentence."""
        text = (
            f"p50 {self.p50_ms:.4f} ms predicted ({self.low_ms:.4f} to {self.high_ms:.4f}; median error {self.relative_error:.0%}), "
            f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        )
        if self.uncovered_operators:
            text += f"; {self.uncovered:.0%} of it guessed: the table has no {', '.join(self.uncovered_operators)}"
        return text


def predict(content: bytes, table: LatencyTable, *, threads: int = 1) -> Prediction:
    """Predicts the median time of one invoke. The same file and table always give the same number.

    Args:
        content: of a .tflite.
        table: of the host in question.
        threads: of the runtime; the table must have been learned with this number.

    Raises:
        ModelError: not a .tflite file, or a damaged one.
        DataError: a table without this number of threads, or with too few rows.
    """
    if threads not in table.threads:
        raise DataError(f"threads must be one of those of the latency table of {table.host}, {table.threads}. Received: {threads}.")
    fitted = fit(table, threads)
    operators = tuple(OperatorTime(work, *fitted.operator_ms(work)) for work in workloads(content))
    p50_ms = fitted.network_ms([(one.workload, one.ms) for one in operators])
    missing = [one for one in operators if not one.covered]
    whole = sum(one.ms for one in operators)
    return Prediction(
        p50_ms=p50_ms,
        low_ms=p50_ms * fitted.error.low,
        high_ms=p50_ms * fitted.error.high,
        relative_error=fitted.error.median,
        uncovered=sum(one.ms for one in missing) / whole if whole else 0.0,
        uncovered_operators=tuple(dict.fromkeys(one.workload.name for one in missing)),
        threads=threads,
        operators=operators,
    )
