"""How much each part of a model matters: one part at a time is compressed, to several levels, and the metric measured.

A part may be a group of channels, the ranks of a layer or its bits: whoever knows how to compress it makes it a `Unit`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from edgecompress.progress import Progress
from edgecompress.store import content_key, storage_errors, write_atomic

if TYPE_CHECKING:
    from edgecompress.backend import keras

Floats = npt.NDArray[np.float64]
Of = Literal["channels", "parameters", "bits"]
KEY_CHARACTERS = 40  # of the sha256 in the name of a shared file; the whole key stands in it


@dataclass(frozen=True)
class Unit:
    """A part of a model that can be compressed alone.

    Attributes:
        name: unique among the units.
        levels: how far, rising, in (0, 1]; 0 stands for the model as it is.
        change: the model with only this part at a level.
    """

    name: str
    levels: tuple[float, ...]
    change: Callable[[float], keras.Model]


@dataclass(frozen=True)
class Curve:
    """What was measured of one unit: the metric at each of its levels."""

    name: str
    levels: tuple[float, ...]
    metrics: tuple[float, ...]


@dataclass(frozen=True)
class Sensitivity:
    """The curves of a model.

    Attributes:
        metric: name of the metric, on the validation split.
        rises: whether more of it is better.
        whole: its value for the model as it is.
        curves: one per unit.
        of: what of a unit goes, so that a level of bits is the part of float32's 32 that is gone; None: not said.
    """

    metric: str
    rises: bool
    whole: float
    curves: tuple[Curve, ...]
    of: Of | None = None

    def losses(self, curve: Curve) -> Floats:
        """What the metric loses at each level, in its own unit: at least 0, and never less at a higher level.

        A measured curve may fall by chance; a budget that is spread over it must not believe that.
        """
        worse = self.whole - np.asarray(curve.metrics) if self.rises else np.asarray(curve.metrics) - self.whole
        return np.maximum.accumulate(np.maximum(worse, 0.0))

    def to_dict(self) -> dict[str, Any]:
        """For reports and `--json`."""
        return asdict(self)

    def _repr_html_(self) -> str:
        """The drawing, for notebooks."""
        from edgecompress.report.sensitivity_page import sensitivity_figure

        return sensitivity_figure(self.to_dict())


def measure(
    units: Sequence[Unit], model: keras.Model, evaluate: Callable[[keras.Model], float], *, metric: str, rises: bool,
    file: Path, shared: Path | None = None, depends_on: Sequence[Any], progress: Progress, of: Of | None = None,
) -> Sensitivity:  # fmt: skip
    """Measures all units at all their levels, and keeps each result, so that a killed call goes on and a second one is done at once.

    Args:
        units: the parts.
        model: as it is; not changed.
        evaluate: the metric of a model.
        metric, rises: see `Sensitivity`.
        file: where results are kept; others than those of the same model, units and `depends_on` are replaced.
        shared: a folder in which they are kept instead, side by side with others', for whoever measures the same again.
        depends_on: what else decides the results, such as the data's fingerprint.
        progress: gets a bar.
        of: see `Sensitivity`.

    Raises:
        StorageError: the file cannot be written.
    """
    key = content_key(_digest(model), [(unit.name, unit.levels) for unit in units], list(depends_on))
    if shared is not None:
        file = shared / f"{key[:KEY_CHARACTERS]}.json"
    known = _read(file, key)
    total = 1 + sum(len(unit.levels) for unit in units)

    def value(name: str, level: float, make: Callable[[], keras.Model]) -> float:
        place = f"{name}@{level:g}"
        if place not in known:
            known[place] = float(evaluate(make()))
            with storage_errors(file):
                file.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(file, json.dumps({"key": key, "metric": metric, "measured": known}, indent=1))
        bar.advance()
        return known[place]

    with progress.task("measuring sensitivity", total=total) as bar:
        whole = value("", 0, lambda: model)
        curves = tuple(
            Curve(unit.name, unit.levels, tuple(value(unit.name, level, lambda u=unit, at=level: u.change(at)) for level in unit.levels))  # type: ignore[misc]
            for unit in units
        )
    return Sensitivity(metric, rises, whole, curves, of)


def _digest(model: keras.Model) -> str:
    """Of architecture and weights."""
    digest = hashlib.sha256(model.to_json().encode())
    for weight in model.get_weights():
        digest.update(f"{weight.dtype}{weight.shape}".encode())
        digest.update(np.ascontiguousarray(weight).data)
    return digest.hexdigest()


def _read(file: Path, key: str) -> dict[str, float]:
    """Results of the same measurement; none where the file is missing, damaged or of another one."""
    try:
        found = json.loads(file.read_text())
        return dict(found["measured"]) if found["key"] == key else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def losses_by_name(sensitivity: Sensitivity) -> Mapping[str, tuple[tuple[float, ...], Floats]]:
    """Unit -> its levels and losses."""
    return {curve.name: (curve.levels, sensitivity.losses(curve)) for curve in sensitivity.curves}
