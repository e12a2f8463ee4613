"""Keys of stages: equal keys, equal results. What a stage depends on is in its key, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

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


def technique_key(surroundings: Surroundings, index: int, config: StageConfig, state: State) -> str:
    """Hash of all that a stage depends on, the state before it included."""
    name = config.technique  # type: ignore[attr-defined]  # each Config declares its own
    return content_key(
        state.key, index, name, TECHNIQUES[name].version, config.model_dump(mode="json", exclude={"id"}), file_hashes(config),
        surroundings.recipe.data.calibration,  # a stage may look at the calibration samples, which the data's fingerprint leaves out
        *_of_file(config, surroundings.recipe), *_weighed_classes(config, surroundings.data.class_names),
    )  # fmt: skip


def file_hashes(config: Any) -> list[str | None]:
    """Of the model files that a stage names, at any depth: another file under the same name is another stage."""
    if isinstance(config, AnyModel):
        return [baseline_stage.file_hash(config)]
    return [digest for part in _parts(config) for digest in file_hashes(part)]


def _of_file(config: StageConfig, recipe: Recipe) -> list[Any]:
    """What a stage that asks for bytes or times depends on besides: the form of the file, and the table of times."""
    rehearses = isinstance(config, Removal) and config.kind in ("size_kb", "latency_ms")
    forecast = forecast_of(recipe.target) if isinstance(config, Removal) or getattr(config, "timed_as", None) is not None else None
    found: list[Any] = [recipe.export.model_dump(mode="json"), recipe.target.runtime] if rehearses else []
    return found if forecast is None else [*found, forecast.digest, forecast.threads]


def _weighed_classes(config: Any, class_names: Sequence[str]) -> list[Any]:
    """The names of the classes, where a training, at any depth, weighs some by name: in another order, others are meant."""
    if isinstance(config, Training) and isinstance(config.class_weights, dict):
        return [list(class_names)]
    return [names for part in _parts(config) for names in _weighed_classes(part, class_names)]


def _parts(config: Any) -> list[Any]:
    """What a section or a list is made of."""
    return config if isinstance(config, list) else [part for _, part in config] if isinstance(config, BaseModel) else []
