"""The table that a recipe names in `target:`, ready to predict."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from edgecompress.destination import LOCAL
from edgecompress.device.doctor import describe_machine
from edgecompress.errors import DataError, RecipeError
from edgecompress.latency.fit import fit
from edgecompress.latency.predict import Prediction, predict
from edgecompress.latency.table import LatencyTable, Machine, load_table

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

    def check_threads(self, threads: int, field: str) -> None:
        """Refuses a number of threads that the table cannot predict with.

        Args:
            threads: of the runtime.
            field: of the recipe, that wants them.

        Raises:
            RecipeError: the table was not learned with so many, or holds too little of them.
        """
        if threads not in self.table.threads:
            raise RecipeError(f"{field} must be one of the latency table's, {self.table.threads}. Received: {threads}.")
        try:
            fit(self.table, threads)
        except DataError as error:
            raise RecipeError(f"{field}: {error}") from error

    @property
    def doubt(self) -> str:
        """A sentence where a table of `local` is used on another machine than it was learned on; "" elsewhere."""
        here = _this_machine() if self.table.host == LOCAL else None
        differences = [] if here is None else self.table.differences(here)
        if not differences:
            return ""
        cure = "Learn it here with edgecompress learn-latency to predict this one"
        return (
            f"The latency table of host {LOCAL} is of {self.table.machine.name}, not of this machine: {', '.join(differences)}. "
            f"Its times are those of {self.table.machine.name}. {cure}."
        )


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


@lru_cache(maxsize=1)
def _this_machine() -> Machine | None:
    """None where nothing can be timed here, so that no time of a table is taken for one of this machine."""
    found = describe_machine()
    return None if found["runtime"] is None else Machine(**{name: found[name] for name in Machine.model_fields})


@lru_cache(maxsize=4)
def _loaded(path: Path, facts: tuple[int, int] | None) -> tuple[LatencyTable, str]:
    """Read once, and again when the file has changed: `facts` are time and size."""
    table = load_table(path)
    return table, hashlib.sha256(path.read_bytes()).hexdigest()
