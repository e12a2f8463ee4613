"""A step of a solve: how much goes, how the weights are kept, how it is trained; and the ordinary recipe that says so."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from edgecompress.recipe.schema import Export, Recipe
from edgecompress.recipe.stages import (
    CorrectBias,
    Equalize,
    Factorize,
    PruneChannels,
    PruneNeurons,
    QuantizeAware,
    RoundWeights,
    StageConfig,
    TrainStage,
)
from edgecompress.solving.question import Question

Format = Literal["float32", "float16", "dynamic", "int8"]
Finish = Literal["none", "ranges", "equalized", "rounded", "aware", "aware_longer"]
CALM = 0.1  # learning rate of a quantize-aware training, as a part of the recovery's
LONGER = 2  # times the epochs of the first recovery
DIGITS = 3  # of fractions in a recipe


@dataclass(frozen=True)
class Cuttable:
    """What a technique can cut: the largest fraction of its channels, of how many groups that lose theirs together."""

    most: float = 0.0
    groups: int = 0


@dataclass(frozen=True)
class Parts:
    """What of the model a solve can work on.

    Attributes:
        channels: of convolutions.
        neurons: of Dense layers.
        round_to: what is left of a layer is a multiple of it.
        low_rank: whether some layer can be factorized.
        low_bits: whether the file may hold weights of 4 bits.
        float_io: whether its in- and outputs may be float32.
        scale: what stands for "all of the metric": 1 for fractions, else its size at the baseline.
    """

    channels: Cuttable
    neurons: Cuttable
    round_to: int
    low_rank: bool
    low_bits: bool
    float_io: bool
    scale: float = 1.0

    @property
    def can_cut(self) -> bool:
        return self.channels.most > 0 or self.neurons.most > 0


@dataclass(frozen=True)
class Design:
    """One step.

    Attributes:
        format: of the export.
        cut: how far channels and neurons go, from 0 to 1: all that can.
        low_rank: what factorized layers may lose together of the metric, before any training, in its unit; 0: none is factorized.
        four_bits: layers whose weights have 4 bits.
        recovery: trainings after that: 1 with the task's own loss, 2 one more that the baseline teaches, 3 one more, twice as long.
        finish: how the model is made ready for integers.
    """

    format: Format = "int8"
    cut: float = 0.0
    low_rank: float = 0.0
    four_bits: tuple[str, ...] = ()
    recovery: int = 0
    finish: Finish = "none"

    @property
    def trains(self) -> bool:
        """Whether the step costs a training."""
        return self.recovery > 0 or self.finish.startswith("aware")

    def with_(self, **changes: Any) -> Design:
        return replace(self, **changes)

    def words(self) -> str:
        """The step in one line."""
        parts: list[str] = [self.format]
        if self.cut:
            parts.append(f"channels and neurons cut by {self.cut:.0%} of what can go")
        if self.low_rank:
            parts.append(f"low rank within a loss of {self.low_rank:.3g}")
        if self.four_bits:
            parts.append(f"{len(self.four_bits)} {'layer' if len(self.four_bits) == 1 else 'layers'} in 4 bits")
        parts += {0: [], 1: ["recovered"], 2: ["recovered, taught by the baseline"], 3: ["recovered for longer, taught by the baseline"]}[
            self.recovery
        ]
        finish = {
            "none": "", "ranges": "ranges of least squared error", "equalized": "equalized, biases corrected",
            "rounded": "weights rounded up or down", "aware": "trained quantization-aware",
            "aware_longer": "trained quantization-aware for longer",
        }  # fmt: skip
        return ", ".join([*parts, *([finish[self.finish]] if finish[self.finish] else [])])


def recipe_of(design: Design, question: Question, parts: Parts) -> Recipe:
    """The recipe of a step; it runs by itself.

    Args:
        design: the step.
        question: gives everything but stages and export.
        parts: of the model.
    """
    stages = [*_structure(design, parts), *_recovery(design, question), *_finish(design, question)]
    return question.recipe.model_copy(update={"stages": stages, "export": _export(design, question.recipe.export)})


def _structure(design: Design, parts: Parts) -> list[StageConfig]:
    """Stages that take something away; none of them trains."""
    stages: list[StageConfig] = []
    if design.low_rank:  # first: so its curves are those of the baseline, measured once for all steps
        drop = float(f"{design.low_rank:.{DIGITS}g}")
        stages.append(Factorize(method="svd", rank="sensitivity", metric_drop=drop, data_aware=True, timed_as=None))
    for config, own in ((PruneChannels, parts.channels), (PruneNeurons, parts.neurons)):
        if design.cut and own.most:
            stages.append(config.model_validate({"fraction": _share(design.cut, own.most), **_how(design, own, parts)}))
    return stages


def _how(design: Design, own: Cuttable, parts: Parts) -> dict[str, Any]:
    """Measured ratios where there is anything to choose; the multiple where it is not the default."""
    fields: dict[str, Any] = {"ratios": "sensitivity"} if own.groups > 1 and design.cut < 1 else {}
    usual = PruneChannels.model_fields["round_to"].default
    if parts.round_to != usual:  # where it is written, a layer narrower than it, as factors may be, is an error
        fields["round_to"] = 1 if design.low_rank else parts.round_to
    return fields


def _share(cut: float, most: float) -> float:
    """A fraction that a budget can meet, short enough to be read."""
    return int(cut * most * 10**DIGITS) / 10**DIGITS


def _recovery(design: Design, question: Question) -> list[StageConfig]:
    """Trainings one after the other, so that a longer recovery begins where a shorter one ended."""
    taught: list[dict[str, Any]] = [{}, {"distill": True}, {"distill": True, "epochs": LONGER * question.epochs}]
    return [TrainStage.model_validate({**_training(question, 1.0), **more}) for more in taught[: design.recovery]]


def _finish(design: Design, question: Question) -> list[StageConfig]:
    """What stands right before the export."""
    if design.finish == "equalized":
        return [Equalize(), CorrectBias()]
    if design.finish == "rounded":
        return [Equalize(), RoundWeights.model_validate({"bits": dict.fromkeys(design.four_bits, 4)})]
    if design.finish.startswith("aware"):
        # Weights on a grid of 15 values need the steps of a recovery; those on one of 255 only settle.
        train = _training(question, 1.0 if design.four_bits else CALM) | {"distill": True}
        if design.finish == "aware_longer":
            train["epochs"] = LONGER * question.epochs
        low = {"bits": 4, "layers": list(design.four_bits)} if design.four_bits else {}
        return [QuantizeAware.model_validate({**low, "train": train})]
    return []


def _training(question: Question, rate: float) -> dict[str, Any]:
    """The fields of a recovery: as the model's own training, down to nothing."""
    own = question.recipe.model.train
    kept = {} if own is None else {name: getattr(own, name) for name in ("optimizer", "class_weights", "freeze")}
    return {**kept, "epochs": question.epochs, "learning_rate": rate * question.learning_rate, "schedule": "cosine"}


def _export(design: Design, given: Export) -> Export:
    """The file's form: the user's in- and outputs, the design's format."""
    values = given.model_dump()
    if design.format != "int8":
        return Export(format=design.format, shrink=given.shrink, layers=dict.fromkeys(design.four_bits, "int4"))
    values["layers"] = dict.fromkeys(design.four_bits, "int4")
    if design.finish in ("ranges", "equalized", "rounded"):
        values["ranges"] = "mse"
    return Export.model_validate(values)


def patterns_of_factors(layers: Sequence[str]) -> tuple[str, ...]:
    """Layers and, of those in factors, the first link of svd too, whose name is theirs with `_in`."""
    return tuple(f"re:{re.escape(layer)}(_in_*)?" for layer in layers)
