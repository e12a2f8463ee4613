"""What a stage is given and what it gives back: the two types that every technique shares."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from edgecompress.errors import ModelError
from edgecompress.keeps import Keep
from edgecompress.progress import Progress
from edgecompress.store import CURVES, WORK_FOLDER

if TYPE_CHECKING:
    from edgecompress.backend import keras
    from edgecompress.data import Data, Split
    from edgecompress.recipe.distillation import Distillation
    from edgecompress.recipe.schema import Task
    from edgecompress.recipe.training import Training
    from edgecompress.rehearsal import Rehearsal
    from edgecompress.sensitivity import Sensitivity


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
    notes: tuple[str, ...] = ()  # what else there is to say, one sentence each
    sensitivity: Sensitivity | None = None  # where it decided how much of each part goes


@dataclass(frozen=True)
class State:
    """What flows from stage to stage. `key` stands for everything that led here."""

    model: keras.Model
    keeps: tuple[Keep, ...]
    key: str


@dataclass(frozen=True)
class Outlook:
    """What is known before anything trains: a plan may look at it."""

    data: Data
    task: Task
    baseline: keras.Model
    allow_code: bool


@dataclass(frozen=True)
class Lesson:
    """What a training with a teacher trains in place of the bare model, and on what."""

    trainee: keras.Model  # its `call` is the model's
    samples: Split


def _nobody_teaches(model: keras.Model, distillation: Distillation, context: Context) -> Lesson:
    """Where a context was made without a way to teach."""
    raise ModelError(f"stage {context.stage}: train.distill must be absent where nobody teaches. Received: {distillation}.")


class Share(Protocol):
    """Trains a model in place on all workers, and returns the epochs, as `fit` does."""

    def __call__(self, model: keras.Model, train: Training, context: Context, keeps: Sequence[Keep], /) -> list[dict[str, float]]: ...


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
    allow_code: bool = False  # SavedModels, which run code, may be loaded
    teach: Callable[[keras.Model, Distillation, Context], Lesson] = _nobody_teaches  # for `train.distill`: training knows no technique
    warn: Callable[[str], None] = lambda warning: None  # a sentence for the terminal and the report
    rehearsal: Rehearsal | None = None  # makes and times the file of a model; None: neither can be asked for
    sensitivities: Path | None = None  # a folder of measured sensitivities that several lines share; None: they stay in the stage's own
    share: Share | None = None  # a training with strategy multi_worker, on all workers; None: there are none
    logs: Path | None = None  # where the curves of this training go; None: beside `folder`'s other files
    parts: Path | None = None  # where models that are trained beside the stage's own are kept for all of its trainings; None: in `folder`

    @property
    def curves(self) -> Path:
        """Folder of the curves that TensorBoard reads."""
        return self.folder / CURVES if self.logs is None else self.logs

    @property
    def parts_folder(self) -> Path:
        """Folder of the models that are trained beside the stage's own, such as teachers; a finished stage has no need of it."""
        return self.folder / WORK_FOLDER if self.parts is None else self.parts

    @property
    def outlook(self) -> Outlook:
        """What was known before anything trained.

        Raises:
            ModelError: while the baseline itself is made.
        """
        if self.baseline is None:
            raise ModelError(f"stage {self.stage}: must have a baseline before it. Received: none.")
        return Outlook(self.data, self.task, self.baseline, self.allow_code)
