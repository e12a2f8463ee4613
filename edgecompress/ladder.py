"""`export: {format: auto}`: climbs from the cheapest way to int8 to the costliest, until the loss on validation is small enough.

Each rung is a few stages after those of the recipe, and an export; the same would be reached by a recipe that names them, which is what
the run folder gets. Stages that rungs share are done once.

The worst layers go to float, not to int16 activations. Tried with TensorFlow 2.21, ai-edge-quantizer 0.10 and ai-edge-litert 2.3 on a small
convolutional network: the converter makes all layers int16x8 or none, also when it is allowed both; ai-edge-quantizer mixes them with a
QUANTIZE before and behind, and the runtime computes such a file under both kernel families. But a layer of int16 between layers of int8
reads what is rounded to 8 bits, has a kernel of 8 bits, and what it gives is rounded to 8 bits again: for each of three layers the
network's outputs stayed within one step of the plain int8 file's, at the same SNR. In float its kernel is not rounded, and nothing is
between neighbours.

int8 weights with float activations (dynamic) lose little without any training, but run slowest: 145 us against 24 on MLPerf Tiny's keyword
network. As the first rung it would end most climbs, with a slow file. So it stands right before the training, and only where the recipe
asks for float32 in- and outputs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from edgecompress.errors import EdgeCompressError, ModelError
from edgecompress.evaluation.layer_harm import LayerHarm
from edgecompress.export import Conversion
from edgecompress.export.chosen_layers import choosable_layers
from edgecompress.recipe.schema import Export, Recipe
from edgecompress.recipe.stages import CorrectBias, Equalize, QuantizeAware, RoundWeights, StageConfig
from edgecompress.report.artifact_schema import LadderRung
from edgecompress.report.schema import StageReport
from edgecompress.stage import State

HALF = 0.5  # of the noise that layers with a kernel make: so much those of the float rung make together, at least
MOST_FLOAT = 4  # layers that it leaves in float


@dataclass(frozen=True)
class Rung:
    """A way to 8 bits.

    Attributes:
        name: in words.
        stages: after those of the recipe.
        export: fields that differ from the first rung's.
        worst_in_float: the layers that do most harm on the best rung before stay in float; its stages and export hold for this one.
        float_ends: the file has float32 in- and outputs; only for recipes that want them.
    """

    name: str
    stages: tuple[StageConfig, ...] = ()
    export: Mapping[str, Any] = field(default_factory=dict)
    worst_in_float: bool = False
    float_ends: bool = False


RUNGS = (
    Rung("int8 by the converter"),
    Rung("ranges of least squared error", export={"ranges": "mse"}),
    Rung("equalized, biases corrected", (Equalize(), CorrectBias()), {"ranges": "mse"}),
    Rung("weights rounded up or down (AdaRound)", (Equalize(), RoundWeights()), {"ranges": "mse"}),
    Rung("worst layers in float", worst_in_float=True),
    Rung("int8 weights, float activations", export={"format": "dynamic", "ranges": "min_max"}, float_ends=True),
    Rung(
        "trained quantization-aware, the baseline teaches",
        (QuantizeAware.model_validate({"train": {"epochs": 3, "learning_rate": 1e-4, "schedule": "cosine", "distill": True}}),),
    ),
)


@dataclass(frozen=True)
class Step:
    """Where a rung stands: the model, the stages that led there and what they report, the export, the converted file."""

    rung: Rung
    state: State
    configs: tuple[StageConfig, ...]
    reports: tuple[StageReport, ...]
    export: Export
    content: bytes
    conversion: Conversion
    metric: float
    drop: float


@dataclass(frozen=True)
class Means:
    """What the ladder needs of a run.

    Attributes:
        run: (index, config, state) -> the state after a stage, and its report.
        convert: (state, export) -> the file of a model, and as it is stored.
        judge: file -> metric on validation and its loss against the baseline.
        worst: (state, conversion) -> the harm that each layer does, the most harmful first.
        time: files by name -> p50 in ms, all in turns; {} where nothing is timed.
        say: gets a line for each rung.
    """

    run: Callable[[int, StageConfig, State], tuple[State, StageReport]]
    convert: Callable[[State, Export], tuple[Conversion, bytes]]
    judge: Callable[[bytes], tuple[float, float]]
    worst: Callable[[State, Conversion], list[LayerHarm]]
    time: Callable[[Mapping[str, bytes]], dict[str, float]]
    say: Callable[[str], None]


@dataclass(frozen=True)
class Climbed:
    """Where the ladder ended: the chosen step, all rungs that were tried, and whether the limit was kept."""

    step: Step
    tried: tuple[LadderRung, ...]
    met: bool

    def recipe(self, recipe: Recipe) -> Recipe:
        """The recipe that does the same without a ladder."""
        return recipe.model_copy(update={"export": self.step.export, "stages": [*recipe.stages, *self.step.configs]})


def rungs_for(start: Export) -> list[Rung]:
    """The rungs that fit what the recipe asks of the file.

    Args:
        start: the export of the first rung. Other formats than int8 take neither one scale per kernel nor TensorFlow Lite Micro;
            neither that nor the Edge TPU takes layers in float.
    """
    is_plain = start.also is None
    takes_dynamic = start.io_type == "float32" and start.kernels == "per_channel" and is_plain
    takes_float_layers = is_plain and not start.edgetpu
    return [rung for rung in RUNGS if (takes_dynamic or not rung.float_ends) and (takes_float_layers or not rung.worst_in_float)]


def climb(start: Export, limit: float, state: State, first_index: int, means: Means) -> Climbed:
    """Tries the rungs in turn, until one loses at most `limit`; else takes the one that loses least.

    Args:
        start: the export of the first rung.
        limit: loss of the first metric on validation, in its own unit.
        state: what the stages of the recipe left.
        first_index: of the stages that the ladder adds.
        means: how to run, convert, judge.

    Raises:
        EdgeCompressError: of the first rung; a later one that fails is left out, with the reason.
    """
    steps: list[Step] = []
    tried: list[LadderRung] = []
    for rung in rungs_for(start):
        started = time.monotonic()
        try:
            step = _take(rung, start, state, first_index, steps, means)
        except EdgeCompressError as error:
            if not steps:
                raise
            seconds = time.monotonic() - started
            tried.append(
                LadderRung(name=rung.name, stages=_names(rung.stages), export=dict(rung.export), seconds=seconds, error=str(error))
            )
            means.say(f"ladder: {rung.name}: left out: {error}")
            continue
        steps.append(step)
        tried.append(_tried(step, limit, time.monotonic() - started))
        means.say(f"ladder: {rung.name}: {tried[-1].metric:.4f}, {len(step.content):,} bytes")
        if step.drop <= limit:
            break
    best = min(steps, key=lambda step: step.drop if step.drop > limit else -1.0)
    times = means.time({step.rung.name: step.content for step in steps})
    shown = tuple(rung.model_copy(update={"p50_ms": times.get(rung.name), "chosen": rung.name == best.rung.name}) for rung in tried)
    return Climbed(best, shown, best.drop <= limit)


def _take(rung: Rung, start: Export, state: State, first_index: int, before: list[Step], means: Means) -> Step:
    """Goes to one rung."""
    configs, changes = rung.stages, dict(rung.export)
    if rung.worst_in_float:
        best = min(before, key=lambda step: step.drop)
        configs = best.configs
        changes = dict(best.rung.export) | {"layers": dict.fromkeys(_worst(best, means), "float32")}
    export = Export.model_validate(start.model_dump() | changes)
    reports = []
    for index, config in enumerate(configs, start=first_index):
        state, report = means.run(index, config, state)
        reports.append(report)
    conversion, content = means.convert(state, export)
    metric, drop = means.judge(content)
    return Step(replace(rung, export=changes), state, tuple(configs), tuple(reports), export, content, conversion, metric, drop)


def _worst(step: Step, means: Means) -> list[str]:
    """The layers with a kernel that make half of the noise that such layers make, at most four.

    Raises:
        ModelError: none of them makes any.
    """
    choosable = choosable_layers(step.state.model)
    named = [(harm.share, _kernels(harm, choosable)) for harm in means.worst(step.state, step.conversion)]
    harmful = [(share, names) for share, names in named if names and share]  # an input, an addition: nothing there to leave in float
    half = HALF * sum(share for share, _ in harmful)
    chosen: list[str] = []
    total = 0.0
    for share, names in harmful:
        if total >= half or len(chosen) >= MOST_FLOAT:
            break
        chosen += names[: MOST_FLOAT - len(chosen)]
        total += share
    if not chosen:
        raise ModelError("no layer with a kernel stands out: none is worth leaving in float")
    return chosen


def _kernels(harm: LayerHarm, choosable: Collection[str]) -> list[str]:
    """Those of the layers in one operator that can be left in float."""
    return [name for name in (harm.parity.layers if harm.parity else ()) if name in choosable]


def _tried(step: Step, limit: float, seconds: float) -> LadderRung:
    return LadderRung(
        name=step.rung.name, stages=_names(step.configs), export=dict(step.rung.export), seconds=seconds, num_bytes=len(step.content),
        metric=step.metric, drop=step.drop, met=step.drop <= limit,
    )  # fmt: skip


def _names(configs: Sequence[StageConfig]) -> list[str]:
    return [config.technique for config in configs]
