"""The table that a recipe names in `target:`, ready to predict."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from edgecompress.errors import DataError, RecipeError
from edgecompress.latency.fit import fit
from edgecompress.latency.predict import Prediction, predict
from edgecompress.latency.table import LatencyTable, load_table

if TYPE_CHECKING:
    from edgecompress.recipe.schema import Target


@dataclass(frozen=True)
class Forecast:
    """Predicts for a host and a number of threads.

    Attributes:
        threads: of the recipe's target.
        digest: of the table's file: another table may lead to another model.
    """

    table: LatencyTable
    threads: int
    digest: str

    def predict(self, content: bytes, threads: int | None = None) -> Prediction:
        """Of a .tflite; with the target's threads where none are named. See `latency.predict`."""
        return predict(content, self.table, threads=self.threads if threads is None else threads)


def forecast_of(target: Target) -> Forecast | None:
    """None where the recipe names no table.

    Raises:
        RecipeError: the file is no table, or one that was not learned with the target's threads, or with too little in it.
    """
    if target.latency_table is None:
        return None
    path = Path(target.latency_table)
    try:
        facts = path.stat() if path.exists() else None
        table, digest = _loaded(path, facts and (facts.st_mtime_ns, facts.st_size))
        if target.threads not in table.threads:
            words = f"{path}: threads must be one of the table's, {table.threads}, as target.threads wants it"
            raise DataError(f"{words}. Received: {target.threads}.")
        fit(table, target.threads)
    except DataError as error:
        raise RecipeError(f"target.latency_table: {error}") from error
    return Forecast(table, target.threads, digest)


@lru_cache(maxsize=4)
def _loaded(path: Path, facts: tuple[int, int] | None) -> tuple[LatencyTable, str]:
    """Read once, and again when the file has changed: `facts` are time and size."""
    table = load_table(path)
    return table, hashlib.sha256(path.read_bytes()).hexdigest()
