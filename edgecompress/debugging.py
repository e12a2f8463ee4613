"""`edgecompress debug`: which layers of a finished run's file do harm, what kind of error they make, and what to change in the recipe."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from edgecompress.backend import keras
from edgecompress.data import load_data
from edgecompress.errors import DataError, ModelError, RecipeError
from edgecompress.evaluation.layer_harm import LayerHarm, file_harms
from edgecompress.evaluation.layer_walk import record, walk
from edgecompress.evaluation.parity import snr_db
from edgecompress.export import Conversion, convert
from edgecompress.export.chosen_layers import choosable_layers
from edgecompress.graph.layers import wrapped_layer
from edgecompress.models import load_model
from edgecompress.progress import Progress
from edgecompress.recipe import load_recipe
from edgecompress.recipe.rules import check_recipe
from edgecompress.recipe.schema import Recipe
from edgecompress.report import Report
from edgecompress.report.schema import StageReport
from edgecompress.samples import Samples, num_samples
from edgecompress.store import STAGES, stage_name

LEAST_SHARE = 0.1  # of the output's noise, for a layer to be worth advice
MUCH_SHIFT, MUCH_CLIPPED, LITTLE_RANGE = 0.3, 0.005, 0.5
GOOD_SNR_DB = 40.0  # of the output: 8 bits rarely do better


@dataclass(frozen=True)
class Debugged:
    """What `debug` found.

    Attributes:
        name: of the run.
        format: of the file.
        num_samples: of the validation split, that all figures are taken on.
        output_snr_db: of the file's output against the Keras model's; infinite where both are equal.
        harms: per layer, the most harmful first.
        trained: layer -> signal-to-noise ratio in dB of its output in the quantize-aware model against the float model before it; empty
            without such a stage.
        from_float: the same of its output in the file, so that all three are compared: float, fake-quantized, file.
        advice: what to change in the recipe, the most promising first.
    """

    name: str
    format: str
    num_samples: int
    output_snr_db: float
    harms: tuple[LayerHarm, ...]
    trained: dict[str, float]
    from_float: dict[str, float]
    advice: tuple[str, ...]

    def _repr_html_(self) -> str:
        """The drawing, for notebooks."""
        from edgecompress.report.debug_page import debug_figure

        return debug_figure(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        layers = [
            {"name": harm.name, **{key: value for key, value in asdict(harm).items() if key != "parity"}}
            | ({} if harm.parity is None else {key: value for key, value in asdict(harm.parity).items() if key != "layers"})
            for harm in self.harms
        ]
        return {
            "name": self.name, "format": self.format, "num_samples": self.num_samples, "output_snr_db": self.output_snr_db,
            "layers": layers, "trained": self.trained, "from_float": self.from_float, "advice": list(self.advice),
        }  # fmt: skip


def debug_run(folder: str | Path, *, most_samples: int = 32, allow_code: bool = False, progress: Progress | None = None) -> Debugged:
    """Compares the last Keras model of a run with its file, layer by layer, on samples of the validation split.

    The file is converted again, with the names that the run's own has lost; both compute the same.

    Args:
        folder: of a finished run.
        most_samples: how many samples to look at; all outputs of all layers are held for them.
        allow_code: the recipe's own code may run.
        progress: where bars go.

    Raises:
        DataError: no finished run is there, or its data have changed.
        ModelError: the layers cannot be compared.
    """
    progress, folder = progress or Progress(), Path(folder)
    report = Report.load(folder)
    recipe = load_recipe(folder / "recipe.lock.yaml")
    with progress.task("loading data and model"):
        data = load_data(recipe.data, recipe.task, seed=recipe.seed, allow_code=allow_code)
        if data.fingerprint != report.data.fingerprint:
            raise DataError(f"{folder}: the data must be those of the run. Received: others, since the run was made.")
        model = _stage_model(folder, report.stages[-1], allow_code)
    conversion = convert(
        model, recipe.export, calibration=data.calibration.arrays()[0], progress=progress, runtime=recipe.target.runtime
    )  # fmt: skip
    samples = data.validation.some(most_samples)
    with progress.task("comparing layers", total=len(conversion.tensors)) as bar:
        harms = file_harms(model, conversion.content, samples, conversion.tensors, bar.advance)
    output = next((harm.parity.snr_from_input_db for harm in harms if harm.parity and harm.parity.layers[-1] == _last_layer(model)), None)
    if output is None:
        raise ModelError(f"{folder}: the layers cannot be compared: the output of the model was not found in the file.")
    known = {layer: conversion.tensors[layer] for harm in harms if harm.parity and (layer := harm.parity.layers[-1]) in conversion.tensors}
    trained, from_float = _against_float(folder, report, model, replace(conversion, tensors=known), samples, allow_code)
    return Debugged(
        recipe.name, recipe.export.format, num_samples(samples), output, tuple(harms), trained, from_float,
        advise(harms, output, recipe, choosable_layers(model)),
    )  # fmt: skip


def _stage_model(folder: Path, stage: StageReport, allow_code: bool) -> keras.Model:
    """What a stage left."""
    return load_model(folder / STAGES / stage_name(stage.index, stage.technique) / "model.h5", allow_code=allow_code)


def _last_layer(model: keras.Model) -> str:
    return str(wrapped_layer(model.outputs[0]._keras_history.layer).name)


def _against_float(
    folder: Path, report: Report, model: keras.Model, conversion: Conversion, samples: Samples, allow_code: bool
) -> tuple[dict[str, float], dict[str, float]]:
    """How far each layer's output is from the float model's before quantize-aware training: in the trained model, and in its file."""
    index = next((stage.index for stage in report.stages if stage.technique == "quantize_aware"), None)
    if index is None:
        return {}, {}
    before = _stage_model(folder, report.stages[index - 1], allow_code)
    outputs = {layer: output for layer, output, _ in walk(before, samples, {})}

    def ratios(others: Iterable[tuple[str, np.ndarray]]) -> dict[str, float]:
        same = ((layer, output) for layer, output in others if layer in outputs and outputs[layer].size == output.size)
        return {layer: snr_db(outputs[layer], outputs[layer] - output.reshape(outputs[layer].shape)) for layer, output in same}

    with TemporaryDirectory(prefix="edgecompress-") as temporary:
        path = Path(temporary, "model.tflite")
        path.write_bytes(conversion.content)
        in_file = record(path, samples, conversion.tensors).of_layers(conversion.tensors)
    return ratios((layer, output) for layer, output, _ in walk(model, samples, {})), ratios(in_file.items())


def advise(harms: Sequence[LayerHarm], output_snr_db: float, recipe: Recipe, choosable: Collection[str]) -> tuple[str, ...]:
    """What to change in a recipe, for layers that make a tenth of the output's noise or more.

    Args:
        harms: the most harmful first.
        output_snr_db: of the file.
        recipe: what it has already is not said again.
        choosable: names of the layers that `export.layers` can leave in float32, where the recipe may have it.
    """
    if output_snr_db >= GOOD_SNR_DB:
        return (f"nothing: the output has {output_snr_db:.1f} dB, which 8 bits seldom pass",)
    outstanding = [harm for harm in harms if harm.share >= LEAST_SHARE]
    advice = [words for harm in outstanding if harm.parity is not None for words in _cures(harm, recipe)]
    if not advice:
        advice = [_without_cure(harm, recipe, choosable) for harm in outstanding] or ["no layer stands out: all of them round alike"]
    trained = {"technique": "quantize_aware", "train": {"epochs": 2, "distill": True}}
    if recipe.export.format == "int8" and _is_possible(recipe, stage=trained):
        advice.append("- quantize_aware: {train: {epochs: 2, distill: true}} as the last stage: training makes up for rounding everywhere")
    return tuple(dict.fromkeys(advice))


def _is_possible(recipe: Recipe, *, stage: Mapping[str, Any] | None = None, **export: Any) -> bool:
    """Whether the recipe is right with one more stage, or with other settings of its export, and is not so already."""
    settings = recipe.model_dump()
    changed = settings | {
        "stages": [*settings["stages"], *([] if stage is None else [stage])],
        "export": settings["export"] | export,
    }
    try:
        check_recipe(Recipe.model_validate(changed))
    except (ValueError, RecipeError):
        return False
    return stage is not None or changed["export"] != settings["export"]


def _without_cure(harm: LayerHarm, recipe: Recipe, choosable: Collection[str]) -> str:
    """Of a layer that only rounds, or of the samples."""
    finer = _is_possible(recipe, format="int16x8")
    if harm.parity is None:
        words = f"the rounding of the samples themselves makes {harm.share:.0%} of the output's noise"
        return f"{words}: int16x8 rounds them less" if finer else words
    words = f"{harm.name} makes {harm.share:.0%} of the output's noise by its rounding"
    names = [name for name in harm.parity.layers if name in choosable]
    layers = recipe.export.layers | dict.fromkeys(names, "float32")
    if _is_possible(recipe, layers=layers):
        return f"export.layers: {words}: leave {' and '.join(names)} in float32"
    return f"{words}: int16x8 rounds it less" if finer else words


def _cures(harm: LayerHarm, recipe: Recipe) -> list[str]:
    """Of one layer, by the kind of its error."""
    share = f"{harm.name} makes {harm.share:.0%} of the output's noise"
    found = []
    has_it = any(stage.technique == "correct_bias" for stage in recipe.stages)
    if harm.shift > MUCH_SHIFT and not has_it and _is_possible(recipe, stage={"technique": "correct_bias"}):
        found.append(f"- correct_bias: {share}, {harm.shift:.0%} of it a constant per channel, which a bias takes away")
    if harm.clipped > MUCH_CLIPPED:
        found.append(f"data.calibration: {share}, and {harm.clipped:.1%} of its values lie outside its range: calibrate on more samples")
    is_wide = harm.range_used is not None and harm.range_used < LITTLE_RANGE
    if is_wide and recipe.export.ranges == "min_max" and _is_possible(recipe, ranges="mse"):
        found.append(
            f"export.ranges: {share}, and all but a few outliers use {harm.range_used:.0%} of its range: percentile or mse cut them off"
        )
    return found
