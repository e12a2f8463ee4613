"""What a table teaches: per type of operator, milliseconds from shapes, and how far off that is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from edgecompress.errors import DataError
from edgecompress.latency.table import LatencyTable, Row
from edgecompress.latency.workload import Workload

Family = tuple[str, ...]
LEAST_ROWS = 4  # of a family, to learn from
NEIGHBOURS = 4
LEAST_MS = 1e-5  # what an operator costs that only renames its input


@dataclass(frozen=True)
class Error:
    """Of networks that were not learned from: predicted times lie `low` to `high` around 1 in nine of ten cases."""

    median: float
    low: float
    high: float


def family_of(work: Workload) -> Family:
    """What is learned together."""
    return (work.name, work.activations, work.weights, "pointwise" if work.kernel[1:3] == (1, 1) else "")


def features(work: Workload) -> np.ndarray:
    """Amounts that each cost time: one, multiply-accumulates, bytes."""
    return np.array([1.0, work.macs, work.read_bytes, work.written_bytes, work.weight_bytes])


def _place(work: Workload) -> np.ndarray:
    """Where an operator stands among others of its family, in octaves."""
    shape = (*work.inputs[0][1:], *work.output[1:], *work.kernel) if work.inputs else work.output
    return np.log2(np.maximum(1.0, np.array([*features(work)[1:], *shape])))


class _Curve:
    """One family: amounts times prices, corrected by what the nearest rows were off."""

    def __init__(self, rows: Sequence[tuple[Workload, float]]) -> None:
        amounts, times = np.array([features(work) for work, _ in rows]), np.array([ms for _, ms in rows])
        self.prices = nnls(amounts / times[:, None], np.ones(len(times)))[0]
        self.places = [_place(work) for work, _ in rows]
        self.off = np.log(times / np.maximum(LEAST_MS, amounts @ self.prices))

    def __call__(self, work: Workload) -> float:
        here, base = _place(work), max(LEAST_MS, float(features(work) @ self.prices))
        far = np.array([np.linalg.norm(here - place) if len(here) == len(place) else np.inf for place in self.places])
        near = np.argsort(far, kind="stable")[:NEIGHBOURS]
        weights = 1 / (0.1 + far[near]) ** 2
        return base * float(np.exp((weights * self.off[near]).sum() / max(weights.sum(), 1.0)))


class Fitted:
    """Predicts from the rows of one number of threads."""

    def __init__(self, rows: Sequence[Row]) -> None:
        singles = [(row.operators[0], row.p50_ms) for row in rows if len(row.operators) == 1 and row.p50_ms]
        if not singles:
            raise DataError("the latency table must have rows of single operators. Received: none; go on with edgecompress learn-latency.")
        self.overhead_ms = 0.9 * min(ms for _, ms in singles)
        families: dict[Family, list[tuple[Workload, float]]] = defaultdict(list)
        for work, ms in singles:
            families[family_of(work)].append((work, max(LEAST_MS, ms - self.overhead_ms)))
        self._curves = {family: _Curve(found) for family, found in families.items() if len(found) >= LEAST_ROWS}
        self._any = _Curve([one for found in families.values() for one in found])
        self.error = self._measured_error([row for row in rows if len(row.operators) > 1 and row.p50_ms])

    def operator_ms(self, work: Workload) -> tuple[float, bool]:
        """Milliseconds inside a network, and whether the table has rows of its kind."""
        curve = self._curves.get(family_of(work))
        return (curve or self._any)(work), curve is not None

    def network_ms(self, parts: Sequence[tuple[Workload, float]]) -> float:
        """Milliseconds of one invoke from those of the operators."""
        return self.overhead_ms + sum(ms for _, ms in parts)

    def _measured_error(self, networks: Sequence[Row]) -> Error:
        if not networks:
            return Error(1.0, 0.0, 3.0)
        ratios = [row.p50_ms / self.network_ms([(work, self.operator_ms(work)[0]) for work in row.operators]) for row in networks]  # type: ignore[operator]
        low, high = np.percentile(ratios, [5, 95])
        return Error(float(np.median([abs(1 / ratio - 1) for ratio in ratios])), float(low), float(high))


def fit(table: LatencyTable, threads: int) -> Fitted:
    """What a table teaches about one number of threads."""
    return Fitted([row for row in table.rows if row.threads == threads and row.error is None])
