"""What a user may write in a recipe. Free of TensorFlow, so that checking is instant."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from edgecompress.destination import DESTINATION_PATTERN
from edgecompress.recipe.data import Data, Unlabelled
from edgecompress.recipe.model import ApplicationModel, BuilderModel, FileModel, Model, PythonModel
from edgecompress.recipe.preprocess import Augment, Mfcc, Preprocess
from edgecompress.recipe.search import Search
from edgecompress.recipe.section import LAYER_PATTERN, FilePath, Section, Threads, parse_number
from edgecompress.recipe.stages import Stage
from edgecompress.recipe.stages.post_training import Kernels
from edgecompress.recipe.task import OwnMetric, Task
from edgecompress.recipe.weight_types import BLOCK_FORMATS, LOW_BIT_FORMATS, MIXABLE, WeightType

__all__ = [
    "ApplicationModel", "Augment", "Benchmark", "BuilderModel", "Data", "Export", "FileModel", "Goal", "LatencyGoal",
    "Mfcc", "Model", "OwnMetric", "Preprocess", "PythonModel", "Recipe", "Search", "Section", "Target", "Task", "Unlabelled",
    "parse_number",
]  # fmt: skip


DEFAULT_DROP = 0.005  # of `export: {format: auto}`
SELECTABLE = ("dynamic", *LOW_BIT_FORMATS)  # formats that can leave layers in float32
INTEGER = ("int8", "auto")  # formats whose in- and outputs may be integers


class Export(Section):
    """How the last Keras model becomes a .tflite."""

    format: Literal[
        "auto",
        "float32",
        "float16",
        "dynamic",
        "int8",
        "int16x8",
        "int4",
        "int2",
        "weight_only_int8",
        "weight_only_int4",
        "weight_only_int2",
    ] = Field(
        default="int8",
        description="auto: int8 in the cheapest way that loses at most metric_drop on validation, or dynamic with io float32; dynamic: "
        "int8 weights, float activations; int8: all integer, calibrated; int16x8: int16 activations, int8 weights; int4, int2: like "
        "dynamic with packed weights; weight_only_...: weights are decoded, and computed with in float32",
    )
    io: Literal["int8", "uint8", "float32"] | None = Field(
        default=None, description="type of the in- and outputs; absent: int8 for format int8, else float32"
    )
    ranges: Literal["min_max", "percentile", "mse", "kl"] = Field(
        default="min_max",
        description="int8: what the integers of activations cover, on the calibration samples. min_max: all values; percentile: all but a "
        "few; mse: least squared error; kl: least change of the distribution, which clips most",
    )
    percentile: float = Field(default=99.99, gt=50, le=100, description="ranges percentile: percent of the values below the upper limit")
    kernels: Kernels = "per_channel"
    shrink: bool = Field(default=True, description="make the file smaller without changing one bit of its outputs")
    also: Literal["c_array"] | None = Field(
        default=None, description="c_array: the model as C++ source for TensorFlow Lite Micro too, with its operators and arena size"
    )
    edgetpu: bool = Field(
        default=False, description="judge the int8 file by the rules of Coral's Edge TPU, and compile it where its compiler is"
    )
    only: list[str] = Field(default=[], description=f"dynamic and formats below it: quantize only these layers; each {LAYER_PATTERN}")
    layers: dict[str, WeightType] = Field(
        default={},
        description=f"type of the weights of single layers, by {LAYER_PATTERN}; of several patterns that match, the last counts. "
        "In the format int8, a layer in float32 computes in float32 too",
        examples=[{"conv1": "float32", "re:block_.*": "int4"}],
    )
    block: Literal[32, 64, 128, 256] | None = Field(
        default=None,
        description="int4 weights of Dense layers: so many inputs of a unit share a scale, instead of all of them. Formats int4, dynamic "
        "and int2; a layer that cannot be stored so keeps a scale per unit, and the report says why",
    )
    metric_drop: float | None = Field(
        default=None, ge=0, description="auto: largest loss of the first metric on validation, in its own unit; absent: 0.005"
    )

    @property
    def start(self) -> "Export":
        """The export itself; for auto, the int8 that the ladder starts from."""
        return self if self.format != "auto" else self.model_copy(update={"format": "int8", "metric_drop": None})

    @property
    def limit(self) -> float:
        """Of auto."""
        return DEFAULT_DROP if self.metric_drop is None else self.metric_drop

    @property
    def io_type(self) -> str:
        return self.io or ("int8" if self.format in INTEGER else "float32")

    @model_validator(mode="after")
    def _fields_fit(self) -> "Export":
        if self.only and self.format not in SELECTABLE:
            raise ValueError(f"only must be absent for format {self.format}; it works with {', '.join(SELECTABLE)}. Received: {self.only}")
        if self.format == "auto" and self.layers:
            raise ValueError(f"layers must be absent for format auto, which chooses them. Received: {self.layers}")
        if self.layers and self.format not in MIXABLE:
            raise ValueError(f"layers must be absent for format {self.format}; it works with {', '.join(MIXABLE)}. Received: {self.layers}")
        if self.layers and (self.only or self.edgetpu or self.also is not None):
            other = "only" if self.only else "edgetpu" if self.edgetpu else "also"
            raise ValueError(f"layers must be absent beside {other}. Received: {self.layers}")
        if self.block is not None:
            self._check_block()
        if self.metric_drop is not None and self.format != "auto":
            raise ValueError(f"metric_drop must be absent for format {self.format}; it works with auto. Received: {self.metric_drop}")
        if self.io_type != "float32" and self.format not in INTEGER:
            raise ValueError(f"io must be float32 for format {self.format}; other types need int8. Received: {self.io_type!r}")
        if self.ranges != "min_max" and self.format != "int8":
            raise ValueError(f"ranges must be min_max for format {self.format}; others need int8. Received: {self.ranges!r}")
        if self.kernels != "per_channel" and self.format not in INTEGER:
            raise ValueError(f"kernels must be per_channel for format {self.format}; others need int8. Received: {self.kernels!r}")
        if self.edgetpu and (self.format not in INTEGER or self.io_type == "float32"):
            raise ValueError(f"format must be int8, io int8 or uint8 for edgetpu. Received: {self.format!r}, {self.io_type!r}")
        if self.also == "c_array" and self.format not in ("float32", "int16x8", *INTEGER):
            raise ValueError(f"format must be float32, int8 or int16x8 for a c_array. Received: {self.format!r}")
        return self

    def _check_block(self) -> None:
        """Scales of blocks need the runtime's kernels for them: see `export.weight_probe` for what was tried."""
        if self.format.startswith("weight_only"):
            why = "whose weights a DEQUANTIZE decodes, which reads no block-wise scales; it works with int4"
        elif self.format not in BLOCK_FORMATS:
            why = "no kernel of which reads block-wise scales; it works with int4, and with dynamic or int2 where layers name int4"
        elif "int4" not in (MIXABLE[self.format], *self.layers.values()):
            raise ValueError(
                f"layers must name int4 for some layer beside block in format {self.format}: only 4-bit weights have block-wise scales. "
                f"Received: {self.layers}"
            )
        else:
            return
        raise ValueError(f"block must be absent for format {self.format}, {why}. Received: {self.block}")


class Target(Section):
    """What the file must run on."""

    device: str | None = Field(default=None, description="what the file is for, such as pi4: a note for readers of the recipe")
    runtime: str | None = Field(
        default=None,
        pattern=r"^(ai-edge-litert|tflite-runtime|tensorflow)==[0-9]+\.[0-9]+(\.[0-9]+)?$",
        examples=["tflite-runtime==2.14.0"],
        json_schema_extra={"$comment": "ai-edge-litert, tflite-runtime or tensorflow, then == and a version"},
        description="the file is refused when this runtime is too old for one of its operators",
    )
    threads: Threads = Field(default=1, description="with which the file will run there: what latencies are predicted for")
    latency_table: FilePath | None = Field(
        default=None,
        min_length=1,
        examples=["latency-pi4.json"],
        description="file of edgecompress learn-latency: plans, budgets, judgements of layers and searches go by times predicted from it",
    )


Host = Annotated[
    str,
    Field(
        pattern=DESTINATION_PATTERN,
        examples=["pi@raspberrypi.local"],
        json_schema_extra={"$comment": "local, or a destination of ssh such as pi@raspberrypi.local"},
    ),
]


class Benchmark(Section):
    """How latency is measured. `benchmark: null` leaves it out."""

    threads: list[Threads] = Field(default=[1], min_length=1, max_length=20, description="each number is measured")
    runs: int = Field(default=200, ge=50, le=10**6, description="timed invokes of each model; p95 needs 200, p99 needs 1000")
    kernels: list[Literal["xnnpack", "builtin"]] = Field(
        default=["xnnpack"], min_length=1, max_length=2,
        description="xnnpack: the runtime's default; both: timed in turns, which shows what XNNPACK brings",
    )  # fmt: skip
    operators: bool = Field(default=False, description="then time each operator of the final file alone, as a one-operator model")
    hosts: list[Host] = Field(
        default=["local"], min_length=1, max_length=100, description="local: this machine; else a destination of ssh, see `--ssh-config`"
    )

    @model_validator(mode="after")
    def _nothing_twice(self) -> "Benchmark":
        for name in ("hosts", "kernels"):
            if len(set(getattr(self, name))) < len(getattr(self, name)):
                raise ValueError(f"{name} must each be named once. Received: {getattr(self, name)}")
        return self


class LatencyGoal(Section):
    """A limit on a time, on one host and number of threads that the benchmark measures; with XNNPACK where it measures that."""

    limit: float = Field(gt=0, description="milliseconds")
    host: Host = Field(default="local", description="one of benchmark.hosts")
    threads: Threads = Field(default=1, description="one of benchmark.threads")


def _plain_limit(value: Any) -> Any:
    """`p95_ms: 2.0` is short for `p95_ms: {limit: 2.0}`."""
    return {"limit": value} if isinstance(value, int | float) and not isinstance(value, bool) else value


Latency = Annotated[LatencyGoal, BeforeValidator(_plain_limit, json_schema_input_type=Annotated[float, Field(gt=0)] | LatencyGoal)]


class Goal(Section):
    """Limits that the final file must keep; a missed one gives exit code 3."""

    metric_drop: float | None = Field(
        default=None, description="largest loss of the first metric against the float baseline, in its own unit"
    )
    size_kb: float | None = Field(default=None, gt=0, description="bytes of the running .tflite / 1000")
    p50_ms: Latency | None = Field(default=None, description="median time of one invoke; a number, or {limit, host, threads}")
    p95_ms: Latency | None = Field(default=None, description="95th percentile of the times, like p50_ms; needs benchmark.runs >= 200")
    arena_kb: float | None = Field(default=None, gt=0, description="memory that the file's tensors take when they share it / 1000 bytes")
    macs: float | None = Field(default=None, gt=0, description="multiply-accumulates of the last Keras model")
    peak_rss_kb: float | None = Field(
        default=None, gt=0, description="largest resident memory of the benchmark process / 1000 bytes, on any host"
    )


class Recipe(Section):
    """A whole recipe, after `extends`, `vars` and `--set` are resolved."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$",
        description="names the run folder",
        json_schema_extra={"$comment": "at most 100 letters, digits, '_', '.' and '-', the first a letter or digit"},
    )
    seed: int = Field(default=0, ge=0, lt=2**32, description="of splits, initial weights, order of samples and augmentation")
    threads: Threads | None = Field(default=None, description="threads of training; absent: all cores. Bits repeat for one number only")
    data: Data
    model: Model
    task: Task = Task()
    stages: list[Stage] = Field(default=[], max_length=100, description="in the order in which they are applied")
    export: Export = Export()
    target: Target = Target()
    benchmark: Benchmark | None = Benchmark()
    goal: Goal = Goal()
    track: Literal["mlflow"] | None = Field(
        default=None,
        description="mlflow: log parameters, metrics and files of runs and trials to MLFLOW_TRACKING_URI, or without it to runs/mlflow.db",
    )
    search: Search | None = Field(default=None, description="what `edgecompress search` varies; a run ignores it")
