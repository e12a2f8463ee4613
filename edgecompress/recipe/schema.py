"""What a user may write in a recipe. Free of TensorFlow, so that checking is instant."""

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from edgecompress.recipe.stages import Stage, Train

Threads = Annotated[int, Field(gt=0, le=1024)]
LAYER_PATTERN = "a layer name, a glob (conv*), re:REGEX or type:LayerClass"


class Section(BaseModel):
    """Common rules: unknown keys are errors, values are not coerced, numbers are finite, nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


_FRACTION = r"^\s*-?([0-9]+\.?[0-9]*|\.[0-9]+)\s*/\s*([0-9]+\.?[0-9]*|\.[0-9]+)\s*$"


def parse_number(value: Any) -> Any:
    """Accepts fractions such as `1/255` where a number is expected: the one arithmetic of a recipe."""
    if isinstance(value, str) and re.fullmatch(_FRACTION, value):
        numerator, denominator = (float(part) for part in value.split("/"))
        if denominator:
            return numerator / denominator
    return value


_Fraction = Annotated[str, Field(pattern=_FRACTION, json_schema_extra={"$comment": "a fraction such as 1/255"})]
Number = Annotated[float, BeforeValidator(parse_number, json_schema_input_type=float | _Fraction)]
PositiveNumber = Annotated[
    float, Field(gt=0), BeforeValidator(parse_number, json_schema_input_type=Annotated[float, Field(gt=0)] | _Fraction)
]


class Preprocess(Section):
    """What the model expects: `(resized * scale - mean) / std`, the same for training, calibration and the device."""

    resize: Annotated[list[Annotated[int, Field(gt=0, le=10_000)]], Field(min_length=2, max_length=2)] | None = Field(
        default=None, description="[height, width] in pixels, bilinear", examples=[[96, 96]]
    )
    scale: Number = Field(default=1.0, description="factor on the raw value; fractions such as 1/255 are allowed")
    mean: list[Number] = Field(default=[0.0], description="subtracted after `scale`; one number, or one per channel")
    std: list[PositiveNumber] = Field(default=[1.0], description="divided by, after `mean`; one or one per channel")
    channels: Literal["keep", "rgb", "grayscale"] = Field(default="keep", description="colour channels of images")


class Augment(Section):
    """Random changes to training samples only."""

    shift: float = Field(default=0.0, ge=0, lt=1, description="largest shift, as a fraction of height and width")
    flip: Literal["none", "horizontal"] = Field(default="none", description="mirrors half of the images")


class Data(Section):
    """Where samples come from and how they are split."""

    source: Literal["digits", "mnist", "fashion_mnist", "kmnist", "npz", "image_folder"] = Field(
        description="digits: scikit-learn's handwritten digits (embedded); mnist, fashion_mnist, kmnist: the official idx files; "
        "npz: arrays x_train, y_train [x_validation, y_validation, x_test, y_test], or x, y; image_folder: one folder per class"
    )
    path: str | None = Field(default=None, description="folder or file of the source; not needed for digits")
    validation: float = Field(default=0.1, gt=0, lt=1, description="fraction of train, stratified")
    test: float = Field(default=0.2, gt=0, lt=1, description="fraction of all; only for sources without a test part of their own")
    group_by: str | None = Field(default=None, description="npz: name of an array of group labels; samples of one group stay in one split")
    limit: int | None = Field(default=None, gt=0, le=10**9, description="use at most so many training samples, class-balanced (for trials)")
    calibration: int = Field(default=200, gt=0, le=10**6, description="training samples for calibration: class-balanced, no duplicates")
    batch_size: int = Field(default=128, gt=0, le=10**6, description="samples per training step")
    preprocess: Preprocess = Preprocess()
    labels: str | None = Field(default=None, description="text file with one class name per line")
    augment: Augment = Augment()

    @model_validator(mode="after")
    def _path_where_needed(self) -> "Data":
        if self.path is None and self.source != "digits":
            raise ValueError(f"path must be given for source {self.source}. Received: nothing")
        if self.group_by is not None and self.source != "npz":
            raise ValueError(f"group_by must be absent for source {self.source}; it works with npz. Received: {self.group_by!r}")
        return self


class BuilderModel(Section):
    """A model built by edgecompress; outputs are logits."""

    source: Literal["builder"]
    name: Literal["cnn", "ds_cnn", "mobilenet_v1", "resnet8", "mlp", "autoencoder"] = Field(description="the architecture")
    width: int | None = Field(default=None, gt=0, le=4096, description="channels of the first layer; absent: the builder's own")
    train: Train | None = Field(default=None, description="absent: the model is used as it is")


class FileModel(Section):
    """A model of the user's own: .h5, .keras (Keras 2), or a SavedModel folder (--allow-code)."""

    source: Literal["file"]
    path: str = Field(min_length=1, description="file, or SavedModel folder")
    train: Train | None = Field(default=None, description="absent: the model is used as it is")


Model = Annotated[BuilderModel | FileModel, Field(discriminator="source")]

Metric = Literal[
    "accuracy", "top_5_accuracy", "auc", "mean_squared_error", "mean_absolute_error", "binary_crossentropy",
    "sparse_categorical_crossentropy",
]  # fmt: skip
METRIC_RISES: dict[str, bool] = {
    "accuracy": True, "top_5_accuracy": True, "auc": True, "mean_squared_error": False, "mean_absolute_error": False,
    "binary_crossentropy": False, "sparse_categorical_crossentropy": False,
}  # fmt: skip


class Task(Section):
    """What the model is for. The first metric decides; its direction is known."""

    loss: Literal["sparse_categorical_crossentropy", "binary_crossentropy", "mean_squared_error", "mean_absolute_error"] = Field(
        default="sparse_categorical_crossentropy", description="Keras name of what training minimizes; it also tells the kind of task"
    )
    from_logits: bool = Field(default=True, description="the model's outputs are logits, not probabilities")
    metrics: list[Metric] = Field(default=["accuracy"], min_length=1, description="Keras names; the first one decides")
    target: Literal["label", "input"] = Field(default="label", description="input: an autoencoder, trained to give its input back")

    @property
    def kind(self) -> Literal["classification", "multi_label", "regression", "autoencoder"]:
        """classification: one class per sample; multi_label: independent probabilities (one of them: binary)."""
        if self.target == "input":
            return "autoencoder"
        if self.loss == "sparse_categorical_crossentropy":
            return "classification"
        return "multi_label" if self.loss == "binary_crossentropy" else "regression"

    @model_validator(mode="after")
    def _metrics_fit(self) -> "Task":
        allowed = {
            "classification": {"accuracy", "top_5_accuracy", "sparse_categorical_crossentropy"},
            "multi_label": {"accuracy", "auc", "binary_crossentropy"},
            "regression": {"mean_squared_error", "mean_absolute_error"},
            "autoencoder": {"mean_squared_error", "mean_absolute_error"},
        }[self.kind]
        if bad := [metric for metric in self.metrics if metric not in allowed]:
            raise ValueError(f"metrics of a {self.kind} task must be among {', '.join(sorted(allowed))}. Received: {', '.join(bad)}")
        if self.kind == "autoencoder" and self.loss not in ("mean_squared_error", "mean_absolute_error"):
            raise ValueError(f"loss must be mean_squared_error or mean_absolute_error for target: input. Received: {self.loss}")
        return self


class Export(Section):
    """How the last Keras model becomes a .tflite."""

    format: Literal["float32", "float16", "dynamic", "int8", "int16x8"] = Field(
        default="int8",
        description="dynamic: int8 weights, float activations; int8: all integer, calibrated; int16x8: int16 activations, int8 weights",
    )
    io: Literal["int8", "uint8", "float32"] | None = Field(
        default=None, description="type of the in- and outputs; absent: int8 for format int8, else float32"
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


class Benchmark(Section):
    """How latency is measured. `benchmark: null` leaves it out."""

    threads: list[Threads] = Field(default=[1], min_length=1, max_length=20, description="each number is measured")
    runs: int = Field(default=200, ge=50, le=10**6, description="timed invokes of each model; p95 needs 200, p99 needs 1000")
    hosts: list[Literal["local"]] = Field(default=["local"], min_length=1, description="local: this machine")


class LatencyGoal(Section):
    """A limit on a time, on one host and number of threads that the benchmark measures."""

    limit: float = Field(gt=0, description="milliseconds")
    host: Literal["local"] = Field(default="local", description="one of benchmark.hosts")
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
