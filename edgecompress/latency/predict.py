"""The time of a .tflite from a latency table: the sum over its operators, with its error."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgecompress.errors import DataError, ModelError
from edgecompress.latency.fit import fit
from edgecompress.latency.table import LatencyTable, load_table
from edgecompress.latency.workload import Workload, workloads
from edgecompress.recipe.suggestions import near_path


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
        low_ms, high_ms: all networks of the table, which it does not learn from, lay between such limits. What is uncovered may be
            nothing, or three times as much as guessed.
        relative_error: half of those networks were predicted nearer than this, as a fraction of what was measured.
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

    def to_dict(self) -> dict[str, Any]:
        """For JSON: the figures, and name and milliseconds of each operator."""
        values = {name: value for name, value in vars(self).items() if name != "operators"}
        times = [{"name": one.workload.name, "ms": one.ms, "covered": one.covered} for one in self.operators]
        return {**values, "uncovered_operators": list(self.uncovered_operators), "operators": times}

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
    fitted, work_list = fit(table, threads), workloads(content)
    operators = tuple(OperatorTime(work, *fitted.operator_ms(work)) for work in work_list)
    p50_ms, error = fitted.network_ms(work_list), fitted.error(work_list)
    guesses = [one for one in operators if not one.covered]
    guessed_ms = sum(one.ms for one in guesses)
    return Prediction(
        p50_ms=p50_ms,
        low_ms=error.low * (p50_ms - guessed_ms),
        high_ms=error.high * (p50_ms + 2 * guessed_ms),
        relative_error=error.median,
        uncovered=guessed_ms / p50_ms,
        uncovered_operators=tuple(dict.fromkeys(one.workload.name for one in guesses)),
        threads=threads,
        operators=operators,
    )


def predict_latency(model: str | Path, table: str | Path, *, threads: int = 1) -> Prediction:
    """`predict` from paths: of a .tflite, and of a table.

    Raises:
        ModelError: `model` is not there, or no .tflite file.
        DataError: `table` is none, or has no such number of threads.
    """
    path = Path(model)
    try:
        content = path.read_bytes()
    except OSError as error:
        meant = "" if path.exists() else near_path(path)
        raise ModelError(f"{path}: must be a .tflite file. Received: {error.strerror or error}.{meant}") from error
    return predict(content, load_table(table), threads=threads)
