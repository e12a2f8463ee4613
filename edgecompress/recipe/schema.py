"""What a user may write in a recipe. Free of TensorFlow, so that checking is instant."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from edgecompress.destination import DESTINATION_PATTERN
from edgecompress.recipe.data import Data, Unlabelled
from edgecompress.recipe.model import ApplicationModel, BuilderModel, FileModel, Model, PythonModel
from edgecompress.recipe.preprocess import Augment, Mfcc, Preprocess
from edgecompress.recipe.search import Search
from edgecompress.recipe.section import LAYER_PATTERN, Section, Threads, parse_number
from edgecompress.recipe.stages import Stage
from edgecompress.recipe.task import METRIC_RISES, Metric, Task

__all__ = [
    "METRIC_RISES", "ApplicationModel", "Augment", "Benchmark", "BuilderModel", "Data", "Export", "FileModel", "Goal", "LatencyGoal",
    "Metric", "Mfcc", "Model", "Preprocess", "PythonModel", "Recipe", "Search", "Section", "Target", "Task", "Unlabelled",
    "parse_number",
]  # fmt: skip


class Export(Section):
    """How the last Keras model becomes a .tflite."""

    format: Literal["float32", "float16", "dynamic", "int8", "int16x8"] = Field(
        default="int8",
        description="dynamic: int8 weights, float activations; int8: all integer, calibrated; int16x8: int16 activations, int8 weights",
    )
    io: Literal["int8", "uint8", "float32"] | None = Field(
        default=None, description="type of the in- and outputs; absent: int8 for format int8, else float32"
    )
    shrink: bool = Field(default=True, description="make the file smaller without changing one bit of its outputs")
    also: Literal["c_array"] | None = Field(
        default=None, description="c_array: the model as C++ source for TensorFlow Lite Micro too, with its operators and arena size"
    )
    edgetpu: bool = Field(
        default=False, description="judge the int8 file by the rules of Coral's Edge TPU, and compile it where its compiler is"
    )
    only: list[str] = Field(default=[], description=f"dynamic: quantize only these layers; each {LAYER_PATTERN}")

    @property
    def io_type(self) -> str:
        return self.io or ("int8" if self.format == "int8" else "float32")

    @model_validator(mode="after")
    def _fields_fit(self) -> "Export":
        if self.only and self.format != "dynamic":
            raise ValueError(f"only must be absent for format {self.format}; it works with dynamic. Received: {self.only}")
        if self.io_type != "float32" and self.format != "int8":
            raise ValueError(f"io must be float32 for format {self.format}; other types need int8. Received: {self.io_type!r}")
        if self.edgetpu and (self.format != "int8" or self.io_type == "float32"):
            raise ValueError(f"format must be int8, io int8 or uint8 for edgetpu. Received: {self.format!r}, {self.io_type!r}")
        if self.also == "c_array" and self.format not in ("float32", "int8", "int16x8"):
            raise ValueError(f"format must be float32, int8 or int16x8 for a c_array. Received: {self.format!r}")
        return self


class Target(Section):
    """What the file must run on."""

    device: str | None = Field(default=None, description="a name for the report, such as pi4")
    runtime: str | None = Field(
        default=None,
        pattern=r"^(ai-edge-litert|tflite-runtime|tensorflow)==[0-9]+\.[0-9]+(\.[0-9]+)?$",
        examples=["tflite-runtime==2.14.0"],
        json_schema_extra={"$comment": "ai-edge-litert, tflite-runtime or tensorflow, then == and a version"},
        description="the file is refused when this runtime is too old for one of its operators",
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
    hosts: list[Host] = Field(
        default=["local"], min_length=1, max_length=100, description="local: this machine; else a destination of ssh, see `--ssh-config`"
    )

    @model_validator(mode="after")
    def _no_host_twice(self) -> "Benchmark":
        if len(set(self.hosts)) < len(self.hosts):
            raise ValueError(f"hosts must each be named once. Received: {self.hosts}")
        return self


class LatencyGoal(Section):
    """A limit on a time, on one host and number of threads that the benchmark measures."""

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
    peak_rss_kb: float | None = Field(default=None, gt=0, description="largest resident memory of the benchmark process / 1000 bytes")


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
    search: Search | None = Field(default=None, description="what `edgecompress search` varies; a run ignores it")
