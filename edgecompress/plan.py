"""What a recipe would do, layer by layer, in seconds: the model is built or loaded, nothing is trained."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from importlib import import_module
from math import prod
from typing import TYPE_CHECKING, Any

from edgecompress.backend import keras
from edgecompress.data import Data, load_data
from edgecompress.errors import EdgeCompressError
from edgecompress.export import convert
from edgecompress.export.chosen_layers import choose_kernels
from edgecompress.export.compatibility import check_model
from edgecompress.export.weight_types import is_mixed, wanted_types
from edgecompress.graph.channels import channel_graph
from edgecompress.graph.layers import ModelTotals, describe_layers, layer_variables, total
from edgecompress.graph.selection import select_layers
from edgecompress.latency.forecast import Forecast, forecast_of
from edgecompress.latency.predict import Prediction
from edgecompress.progress import Progress
from edgecompress.recipe.schema import Export, Recipe
from edgecompress.recipe.stages import TECHNIQUES, QuantizeAware
from edgecompress.recipe.stages.prune_channels import Removal
from edgecompress.recipe.training import Training
from edgecompress.recipe.weight_types import BITS, LOW_BIT_FORMATS
from edgecompress.samples import each
from edgecompress.stage import LayerRecord, Outlook
from edgecompress.techniques.baseline import make_model
from edgecompress.techniques.distill import plan_lesson
from edgecompress.training import check_class_weights

if TYPE_CHECKING:
    from rich.console import RenderableType

# Bytes of a kernel's weights and of its biases in a .tflite. BatchNormalization folds into them.
WEIGHT_BYTES = {
    "float32": (4, 4), "float16": (2, 2), "dynamic": (1, 4), "int8": (1, 4), "int16x8": (1, 8),
    **{name: (BITS[weight_type] / 8, 4) for name, weight_type in LOW_BIT_FORMATS.items()},
}  # fmt: skip
SCALE_BYTES = 2  # of a block of weights
NUM_SAMPLES = 4  # that calibrate the file which shows the operators


@dataclass(frozen=True)
class StagePlan:
    """One stage as it would be: what it does to each layer, and the model's totals after it.

    `groups`: of a stage that removes channels or neurons, a line for each group of channels that can only be cut together.
    """

    index: int
    technique: str
    totals: ModelTotals
    layers: list[LayerRecord]
    groups: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class PlannedLatency:
    """Times that a latency table predicts: of the baseline as float32, and of the final file in the export format."""

    host: str
    baseline: Prediction
    final: Prediction
    doubt: str = ""  # where the table is not of this machine, as `local` says

    def describe(self) -> str:
        """One sentence."""
        times = f"the baseline p50 {self.baseline.p50_ms:.4f} ms in float32; the final file {self.final.describe()}"
        return f"Predicted for {self.host}: {times}.{f' {self.doubt}' if self.doubt else ''}"

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {"host": self.host, "baseline": self.baseline.to_dict(), "final": self.final.to_dict(), "doubt": self.doubt}


@dataclass(frozen=True)
class Plan:
    """A recipe as it would run.

    Attributes:
        baseline_weight_bytes, final_weight_bytes: predicted bytes of weights in baseline and final file; a file adds a few kB.
        latency: where the recipe's target names a table.
        export_notes: a line for each layer that cannot have what `export` asks for.
    """

    name: str
    stages: list[StagePlan]
    baseline_weight_bytes: int
    final_weight_bytes: int
    export_format: str
    export_notes: list[str] = field(default_factory=list)
    latency: PlannedLatency | None = None

    def to_dict(self) -> dict[str, Any]:
        """For `--json`. `macs` is None where a layer has no formula."""
        values = {**asdict(replace(self, latency=None)), "latency": None if self.latency is None else self.latency.to_dict()}
        for stage in values["stages"]:
            if not stage["totals"].pop("macs_known"):
                stage["totals"]["macs"] = None
        return values


def plan(recipe: Recipe, *, allow_code: bool = False) -> Plan:
    """Predicts what each stage would do.

    Weights of an untrained model are random, so counts are right and which single weights go is not.

    Raises:
        EdgeCompressError: what a run would refuse before its first training: data, model, patterns that match nothing.
    """
    data = load_data(recipe.data, recipe.task, seed=recipe.seed, allow_code=allow_code)
    model = make_model(recipe.model, recipe.task, data, seed=recipe.seed, allow_code=allow_code)
    return plan_stages(recipe, model, data, allow_code=allow_code, forecast=forecast_of(recipe.target))


def plan_stages(
    recipe: Recipe, model: keras.Model, data: Data, *, allow_code: bool = False, forecast: Forecast | None = None
) -> Plan:  # fmt: skip
    """What each stage would do to `model`, which is not changed. A run calls it before it trains anything.

    Args:
        recipe: the stages.
        model: the baseline.
        data: of the recipe.
        allow_code: as for a run.
        forecast: predicts times, for which two files are made.

    Raises:
        EdgeCompressError: a pattern of `layers`, `skip`, `freeze`, `export.only` or `export.layers` that matches nothing, a class to
            be weighted that the data do not have, a model that a stage or the export cannot take, or a target runtime that is too old
            for the file.
    """
    check_class_weights(recipe, data)
    check_model(model, Export(format="float32"))  # the baseline's own file
    baseline, baseline_bytes = model, _weight_bytes(model, "float32")
    outlook = Outlook(data, recipe.task, model, allow_code)
    stages = [StagePlan(0, "baseline", total(describe_layers(model)), [])]
    with _named_errors("model.train"):
        _check_frozen(model, recipe.model.train)
    for index, config in enumerate(recipe.stages, start=1):
        groups = channel_graph(model).describe().splitlines() if isinstance(config, Removal) else []
        with _named_errors(f"stages.{index - 1}: {config.technique}"):
            _check_frozen(model, config.train)
            model, records = _plan_stage(model, config, outlook)
        stages.append(StagePlan(index, config.technique, total(describe_layers(model)), records, groups))
    export = recipe.export.start
    check_model(model, export)
    notes = []
    if is_mixed(export):
        wanted = wanted_types(model, export)
        notes = [f"{one.layer}: a scale per output channel, not per block: {why}" for one in wanted if (why := one.not_in_blocks)]
    elif export.only:
        choose_kernels(model, export.only)
    if recipe.target.runtime is not None:
        _check_target(recipe, model, data)
    final_bytes = _weight_bytes(model, export.format) + _exceptions_bytes(model, export)
    latency = None
    if forecast is not None:
        before, after = (forecast.predict(_file(one, form, data)) for one, form in ((baseline, Export(format="float32")), (model, export)))
        latency = PlannedLatency(forecast.table.host, before, after, forecast.doubt)
    return Plan(recipe.name, stages, baseline_bytes, final_bytes, export.format, notes, latency)


@contextmanager
def _named_errors(place: str) -> Iterator[None]:
    """Says which part of the recipe a fault is of."""
    try:
        yield
    except EdgeCompressError as error:
        raise type(error)(f"{place}: {error}") from error


def _check_target(recipe: Recipe, model: keras.Model, data: Data) -> None:
    """Makes the file of the untrained model: its operators do not depend on the values of the weights.

    Which operators a quantize-aware model keeps in float shows only when it is converted itself; one whose float form is too new for
    the runtime is too new in any form.
    """
    quantize_aware = any(isinstance(stage, QuantizeAware) and stage.bits == 8 for stage in recipe.stages)
    export = Export(format="float32") if quantize_aware else recipe.export.start
    _file(model, export, data, recipe.target.runtime)


def _file(model: keras.Model, export: Export, data: Data, runtime: str | None = None) -> bytes:
    """The file of a model, with the right operators; its ranges come from few samples."""
    samples = each(lambda values: values[:NUM_SAMPLES], data.calibration.arrays()[0])
    return convert(model, export, calibration=samples, progress=Progress(), runtime=runtime).content


def _check_frozen(model: keras.Model, train: Training | None) -> None:
    """The patterns of `freeze` must match; nothing is frozen."""
    if train is not None and train.freeze:
        select_layers([(layer.name, type(layer).__name__) for layer in model.layers], train.freeze, field="freeze")


def _plan_stage(model: keras.Model, config: Any, outlook: Outlook) -> tuple[keras.Model, list[LayerRecord]]:
    """What one technique says of itself, and who teaches in its training."""
    technique = TECHNIQUES[config.technique]
    planned = import_module(technique.module).plan(model, config, *([outlook] if technique.plans_with_outlook else []))
    model, records = planned
    distillation = getattr(config.train, "distill", None)
    return model, records if distillation is None else records + plan_lesson(model, distillation, outlook)


def _weight_bytes(model: keras.Model, export_format: str) -> int:
    """Bytes of all weights in a file of this format; a BatchNormalization counts as one bias per channel."""
    weight, bias = WEIGHT_BYTES[export_format]
    num_bytes = 0.0
    for layer in model._flatten_layers(include_self=False):
        for variable in layer_variables(layer) if not hasattr(layer, "layers") else []:
            num_bytes += (weight if variable.shape.rank > 1 else bias) * variable.shape.num_elements()
        if isinstance(layer, keras.layers.BatchNormalization):
            num_bytes -= 3 * bias * int(layer.moving_mean.shape[0])
    return round(num_bytes)


def _exceptions_bytes(model: keras.Model, export: Export) -> int:
    """What the layers of another type than the format's take more, and block-wise scales."""
    if not is_mixed(export):
        return 0
    default, num_bytes = WEIGHT_BYTES[export.format][0], 0.0
    for one in wanted_types(model, export):
        if one.kernel is not None:
            scale = SCALE_BYTES / one.block if one.block and one.not_in_blocks is None else 0
            num_bytes += (one.bits / 8 - default + scale) * prod(one.kernel.shape)
    return round(num_bytes)


def plan_table(planned: Plan) -> "RenderableType":
    """A plan for the terminal: one row per stage and per layer that it looks at."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    before, after = planned.baseline_weight_bytes, planned.final_weight_bytes
    ratio = f" ({before / after:.1f} times smaller)" if after else ""
    title = f"{planned.name}: weights {before:,} bytes in float32, about {after:,} in {planned.export_format}{ratio}"
    table = Table()
    for header in ("stage", "layer", "what"):
        table.add_column(header, overflow="fold")
    for header in ("parameters", "zeros", "MACs"):
        table.add_column(header, justify="right")
    for stage in planned.stages:
        totals = stage.totals
        zeros = f"{1 - totals.nonzero_parameters / totals.parameters:.1%}" if totals.parameters else ""
        macs = f"{totals.macs:,}" if totals.macs_known else "unknown"
        table.add_row(f"{stage.index:02d} {stage.technique}", "", "", f"{totals.parameters:,}", zeros, macs)
        for record in stage.layers:
            style = None if record.action == "changed" else "dim"
            table.add_row("", Text(f"{record.name} ({record.type})"), Text(f"{record.action}: {record.reason}"), style=style)
    groups = [
        Text(line, style="bold" if line is heading else "")
        for stage in planned.stages
        if stage.groups
        for heading in [f"Channels that stage {stage.index:02d} {stage.technique} can only cut together:"]
        for line in (heading, *stage.groups)
    ]
    latency = [] if planned.latency is None else [Text(planned.latency.describe())]
    return Group(Text(title, style="bold"), *latency, table, *groups, *(Text(note) for note in planned.export_notes))
