"""Keys of stages: equal keys, equal results. What a stage depends on is in its key, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel

from edgecompress import versions
from edgecompress.latency.forecast import forecast_of
from edgecompress.recipe.model import AnyModel
from edgecompress.recipe.schema import Recipe
from edgecompress.recipe.stages import TECHNIQUES, StageConfig
from edgecompress.recipe.stages.prune_channels import Removal
from edgecompress.recipe.training import Training
from edgecompress.stage import State
from edgecompress.store import content_key
from edgecompress.techniques import baseline as baseline_stage

if TYPE_CHECKING:
    from edgecompress.pipeline import Surroundings

Times = Literal["known", "unknown", "known in a trial", "unknown in a trial"]


def baseline_key(surroundings: Surroundings) -> str:
    """Hash of all that the baseline depends on."""
    recipe, data = surroundings.recipe, surroundings.data
    # The content of a file counts, not where it lies; of a Python file the function's name too.
    model = recipe.model.model_dump(mode="json", exclude={"path"} if recipe.model.source == "file" else None)
    return content_key(
        "baseline", baseline_stage.VERSION, model, baseline_stage.file_hash(recipe.model),
        recipe.task.model_dump(mode="json"), recipe.data.batch_size, recipe.data.augment.model_dump(), data.fingerprint,
        recipe.seed, surroundings.threads, versions.of_training(), *_weighed_classes(recipe.model, data.class_names),
    )  # fmt: skip


def technique_key(surroundings: Surroundings, index: int, config: StageConfig, state: State, times: Times | None = None) -> str:
    """Hash of all that a stage depends on, the state before it included.

    Args:
        surroundings: of the stage.
        index: its place in the line.
        config: its settings.
        state: what it is given.
        times: whether it knows how fast a file is; None: as the surroundings say.
    """
    name = config.technique
    times = times or times_of(surroundings.recipe, is_trial=surroundings.is_trial)
    return content_key(
        state.key, index, name, TECHNIQUES[name].version, config.model_dump(mode="json", exclude={"id"}), file_hashes(config),
        surroundings.recipe.data.calibration,  # a stage may look at the calibration samples, which the data's fingerprint leaves out
        *_of_file(config, surroundings.recipe, times), *_weighed_classes(config, surroundings.data.class_names),
    )  # fmt: skip


def lent_keys(surroundings: Surroundings, index: int, config: StageConfig, state: State) -> list[str]:
    """Keys of stages that stand for this one where they lie beside it: a search lends those of a trial to its last run, and a run
    lends its own to the lines of its ablation. A search times no cut while others may train, a run does; neither trains it again."""
    others: tuple[Times, ...] = ("known", "unknown") if surroundings.is_trial else ("known in a trial", "unknown in a trial")
    return [technique_key(surroundings, index, config, state, times) for times in others]


def times_of(recipe: Recipe, *, is_trial: bool) -> Times:
    """What the stages of a recipe know of times."""
    if recipe.benchmark is not None or forecast_of(recipe.target) is not None:
        return "known in a trial" if is_trial else "known"
    return "unknown in a trial" if is_trial else "unknown"


def file_hashes(config: Any) -> list[str | None]:
    """Of the model files that a stage names, at any depth: another file under the same name is another stage."""
    if isinstance(config, AnyModel):
        return [baseline_stage.file_hash(config)]
    return [digest for part in _parts(config) for digest in file_hashes(part)]


def _of_file(config: StageConfig, recipe: Recipe, times: Times) -> list[Any]:
    """What a stage that asks for bytes or times depends on besides: the form of the file, and the table of times.

    A cut is timed against what was there before, whatever its budget is.
    """
    forecast = forecast_of(recipe.target) if isinstance(config, Removal) or getattr(config, "timed_as", None) is not None else None
    found: list[Any] = []
    if isinstance(config, Removal):
        found = [times]
        if times in ("known", "known in a trial") or config.kind in ("size_kb", "latency_ms"):
            found += [recipe.export.model_dump(mode="json"), recipe.target.runtime]
    return found if forecast is None else [*found, forecast.digest, forecast.threads]


def _weighed_classes(config: Any, class_names: Sequence[str]) -> list[Any]:
    """The names of the classes, where a training, at any depth, weighs some by name: in another order, others are meant."""
    if isinstance(config, Training) and isinstance(config.class_weights, dict):
        return [list(class_names)]
    return [names for part in _parts(config) for names in _weighed_classes(part, class_names)]


def _parts(config: Any) -> list[Any]:
    """What a section or a list is made of."""
    return config if isinstance(config, list) else [part for _, part in config] if isinstance(config, BaseModel) else []
