"""What a table teaches: milliseconds of an operator from its shapes, and how far off whole networks are.

Time of a network = time of an invoke of next to nothing + sum of its operators, each = one-operator file less that same invoke.
Per family of operators: prices >= 0 of amounts (non-negative least squares of relative errors), times a correction that depends on where
an operator stands (a Gaussian process on the logarithm of what the prices are off). The networks of the table are not learned from: they
show the error.

Source: Lawson, Hanson, Solving Least Squares Problems (1974); Rasmussen, Williams, Gaussian Processes for Machine Learning (2006),
with one length scale per coordinate.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.optimize import minimize, nnls

from edgecompress.errors import DataError
from edgecompress.latency.amounts import Family, amounts, family_of, place
from edgecompress.latency.table import LatencyTable, Row
from edgecompress.latency.workload import Workload

LEAST_MS = 1e-5  # of an operator: some only give their input another name
LEAST_ROWS = 3  # of a family
LEAST_CORRECTED = 12  # rows of a family from which corrections can be learned
MOST_STEPS = 30  # in the search for the length scales of a family
LEAST_NETWORKS = 5  # that show an error
OWN_NETWORKS = 10  # from so many networks of one type on, the error is that of the type


@dataclass(frozen=True)
class Error:
    """Of networks that were not learned from.

    Attributes:
        median: of |predicted / measured - 1|.
        low, high: all were measured at times between these, as multiples of their prediction; at most 1, and at least 1.
    """

    median: float
    low: float
    high: float


class Curve:
    """One family of operators.

    Args:
        rows: operators and their milliseconds.
    """

    def __init__(self, rows: Sequence[tuple[Workload, float]]) -> None:
        self._rows = rows
        counted, times = np.array([amounts(work) for work, _ in rows]), np.array([ms for _, ms in rows])
        units = np.maximum(counted.max(axis=0), 1.0)  # so that no column is 1e7 times another
        self._prices = nnls(counted / units / times[:, None], np.ones(len(times)), maxiter=100 * counted.shape[1])[0] / units
        self._off = np.log(times / np.maximum(LEAST_MS, counted @ self._prices))

    def ms(self, work: Workload) -> float:
        """Milliseconds of an operator inside a network."""
        base = max(LEAST_MS, float(amounts(work) @ self._prices))
        if len(self._rows) < LEAST_CORRECTED:
            return base
        regression, center, width = self._correction
        return base * float(np.exp(regression.predict([(place(work) - center) / width])[0]))

    @property
    def left_out_error(self) -> float:
        """Median of |predicted / measured - 1| of rows whose correction is learned from all others.

        Source: Rasmussen, Williams (2006), equation 5.12.
        """
        off = self._off
        if len(self._rows) >= LEAST_CORRECTED:
            regression = self._correction[0]
            inverse = np.linalg.inv(regression.kernel_(regression.X_train_))
            off = inverse @ self._off / np.diag(inverse)
        return float(np.median(np.abs(np.expm1(-off))))

    @cached_property
    def _correction(self) -> tuple[Any, np.ndarray, np.ndarray]:
        """The Gaussian process, and how its coordinates are scaled."""
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel
        from threadpoolctl import threadpool_limits

        places = np.array([place(work) for work, _ in self._rows])
        center, width = places.mean(axis=0), places.std(axis=0)
        width = np.where(width < 1e-6, np.inf, width)  # a coordinate that never differs says nothing
        smooth = Matern(np.full(places.shape[1], 2.0), (0.3, 30.0), nu=1.5)
        kernel = ConstantKernel(0.05, (1e-4, 2.0)) * smooth + WhiteKernel(0.003, (1e-4, 0.1))
        regression = GaussianProcessRegressor(kernel, optimizer=_maximize, random_state=0)
        with warnings.catch_warnings(), threadpool_limits(1):  # matrices are small: threads cost more than they bring
            warnings.simplefilter("ignore")  # a length scale at its limit is as good as any
            regression.fit((places - center) / width, self._off)
        return regression, center, width


class Fitted:
    """What the rows of one number of threads teach.

    Raises:
        DataError: they are too few.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        singles = [(row.operators[0], row.p50_ms) for row in rows if row.kind == "operator" and row.p50_ms is not None]
        self._networks = [row for row in rows if row.kind == "network" and row.p50_ms is not None]
        if len(singles) < LEAST_CORRECTED or len(self._networks) < LEAST_NETWORKS:
            words = f"{len(singles)} operators and {len(self._networks)} networks"
            raise DataError(f"the latency table must hold more to predict from: go on with edgecompress learn-latency. Received: {words}.")
        self.invoke_ms = min(ms for _, ms in singles)  # of the smallest operator
        self._families: dict[Family, list[tuple[Workload, float]]] = defaultdict(list)
        for work, ms in singles:
            self._families[family_of(work)].append((work, max(LEAST_MS, ms - self.invoke_ms)))
        self._curves: dict[Family, Curve] = {}

    def operator_ms(self, work: Workload) -> tuple[float, bool]:
        """Milliseconds inside a network, and whether the table has operators of the kind; for others it is a guess."""
        curve = self._curve(family_of(work))
        if curve is not None:
            return curve.ms(work), True
        by_macs, by_bytes = self._usual_prices
        return LEAST_MS + work.macs * by_macs + (work.read_bytes + work.written_bytes) * by_bytes, False

    def _curve(self, family: Family) -> Curve | None:
        """Learned when it is first asked for."""
        if family not in self._curves and len(self._families.get(family, ())) >= LEAST_ROWS:
            self._curves[family] = Curve(self._families[family])
        return self._curves.get(family)

    def families(self) -> Iterator[tuple[Family, int, Curve]]:
        """Family, its number of rows, what was learned from them."""
        for family, found in self._families.items():
            curve = self._curve(family)
            if curve is not None:
                yield family, len(found), curve

    def network_ms(self, operators: Sequence[Workload]) -> float:
        """Milliseconds of one invoke."""
        return self.invoke_ms + sum(self.operator_ms(work)[0] for work in operators)

    def error(self, operators: Sequence[Workload]) -> Error:
        """Of networks that compute as this one does, or of all where these are few."""
        like = [row for row in self._networks if _computes(row.operators) == _computes(operators)]
        return self._errors(like if len(like) >= OWN_NETWORKS else self._networks)

    def _errors(self, networks: Sequence[Row]) -> Error:
        ratios = np.array([self._ratios[row.key] for row in networks])
        return Error(float(np.median(np.abs(1 / ratios - 1))), min(1.0, float(ratios.min())), max(1.0, float(ratios.max())))

    def errors(self) -> dict[str, tuple[int, Error]]:
        """Types of the heaviest operator -> number of networks and their error."""
        kinds: dict[str, list[Row]] = defaultdict(list)
        for row in self._networks:
            kinds[" x ".join(_computes(row.operators))].append(row)
        return {kind: (len(found), self._errors(found)) for kind, found in kinds.items()}

    @cached_property
    def _ratios(self) -> dict[str, float]:
        """Network -> measured / predicted."""
        return {row.key: row.p50_ms / self.network_ms(row.operators) for row in self._networks if row.p50_ms is not None}

    @cached_property
    def _usual_prices(self) -> tuple[float, float]:
        """Median ms of a multiply-accumulate, and of a byte moved, over operators with weights and without."""
        known = [one for found in self._families.values() for one in found]
        by_macs = [ms / work.macs for work, ms in known if work.weights and work.macs]
        by_bytes = [ms / (work.read_bytes + work.written_bytes) for work, ms in known if not work.weights]
        return float(np.median(by_macs or [0.0])), float(np.median(by_bytes or [0.0]))


def _maximize(objective: Any, start: np.ndarray, bounds: np.ndarray) -> tuple[np.ndarray, float]:
    """L-BFGS with few steps: after these the likelihood hardly grows, and predictions do not get better."""
    found = minimize(objective, start, method="L-BFGS-B", jac=True, bounds=bounds, options={"maxiter": MOST_STEPS})
    return found.x, float(found.fun)


def _computes(operators: Sequence[Workload]) -> tuple[str, str]:
    """Types of the operator that does most of the work."""
    most = max(operators, key=lambda work: work.macs, default=None)
    return ("", "") if most is None else (most.activations, most.weights)


def fit(table: LatencyTable, threads: int) -> Fitted:
    """What a table teaches about one number of threads; worked out again only when its rows have changed.

    Raises:
        DataError: too few rows.
    """
    rows = [row for row in table.rows if row.threads == threads]
    known, fitted = table.fits.get(threads, ([], None))
    if fitted is None or len(known) != len(rows) or any(old is not new for old, new in zip(known, rows, strict=True)):
        fitted = Fitted(rows)
        table.fits[threads] = rows, fitted
    found: Fitted = fitted
    return found
