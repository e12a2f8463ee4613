"""What a stage is given and what it gives back: the two types that every technique shares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgecompress.keeps import Keep
from edgecompress.progress import Progress

if TYPE_CHECKING:
    from edgecompress.backend import keras
    from edgecompress.data import Data
    from edgecompress.recipe.schema import Task
    from edgecompress.rehearsal import Rehearsal


@dataclass(frozen=True)
class LayerRecord:
    """What a stage did to one layer, or would do (`plan`), and why."""

    name: str
    type: str
    action: Literal["changed", "skipped"]
    reason: str
    before: Mapping[str, Any] = field(default_factory=dict)  # measured facts, such as {"sparsity": 0.0}
    after: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StageResult:
    """The new model, one record per layer that was looked at, and what later stages must not undo."""

    model: keras.Model
    layers: list[LayerRecord] = field(default_factory=list)
    keeps: tuple[Keep, ...] = ()
    released: tuple[str, ...] = ()  # one sentence per keep that this stage had to break
    training: list[dict[str, float]] = field(default_factory=list)  # one dictionary per epoch: loss, learning_rate, validation_...
    notes: tuple[str, ...] = ()  # sentences about the stage as a whole that its reader should know


@dataclass(frozen=True)
class Context:
    """Read-only surroundings of a stage."""

    stage: str  # as shown to people: "02 prune_weights"
    data: Data
    task: Task
    seed: int  # of this stage; two stages never share one
    baseline: keras.Model | None  # the default teacher; None while the baseline itself is made
    keeps: tuple[Keep, ...]
    folder: Path  # the stage's own folder, for what a killed training continues from
    progress: Progress
    evaluate: Callable[[keras.Model], dict[str, float]]  # metrics on the validation split
    rehearsal: Rehearsal | None = None  # makes and times the file of a model; None: neither can be asked for
