"""The `data:` section of a recipe: where samples come from and how they are split."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from edgecompress.recipe.preprocess import Augment, Preprocess
from edgecompress.recipe.section import FilePath, Section
from edgecompress.recipe.suggestions import received

# The sources that a field works with; it must be absent for all others.
FIELD_SOURCES: dict[str, tuple[str, ...]] = {
    "name": ("tfds",),
    "label": ("csv",),
    "words": ("speech_commands",),
    "silence": ("speech_commands",),
    "clip_ms": ("speech_commands",),
    "inputs": ("npz", "python"),
    "group_by": ("npz", "csv", "python", "speech_commands"),
    "exclude": ("npz", "python", "speech_commands"),
}
HAVE_NO_PATH = ("digits", "rest")
NEED_NO_PATH = (*HAVE_NO_PATH, "tfds")


def _named(value: Any) -> Any:
    """`inputs: [image, weather]` is short for `inputs: {image: {}, weather: {}}`."""
    return {name: {} for name in value} if isinstance(value, list) and all(isinstance(name, str) for name in value) else value


Inputs = Annotated[
    Annotated[dict[str, Preprocess], Field(min_length=1)] | None,
    BeforeValidator(_named, json_schema_input_type=dict[str, Preprocess] | list[str] | None),
]
Column = str | int


SourceName = Literal[
    "digits", "mnist", "fashion_mnist", "kmnist", "cifar10", "speech_commands", "npz", "image_folder", "csv", "tfds", "python"
]


def _check_path(source: str, path: str | None) -> None:
    """Some sources have no path, most need one."""
    if path is None and source not in NEED_NO_PATH:
        raise ValueError(f"path must be given for source {source}. Received: nothing")
    if path is not None and source in HAVE_NO_PATH:
        raise ValueError(f"path must be absent for source {source}, which has none.{received(path)}")


class Unlabelled(Section):
    """Samples whose labels nobody knows, or nobody is to look at; all else is as for the samples with labels."""

    source: Literal["rest"] | SourceName = Field(
        description="rest: training samples that `limit` leaves out, without their labels; else as in `data`: the whole training part"
    )
    path: FilePath | None = Field(default=None, description="folder or file of the source, as in `data`; rest: none")

    @model_validator(mode="after")
    def _path_fits(self) -> "Unlabelled":
        _check_path(self.source, self.path)
        return self


def _rest(value: Any) -> Any:
    """`rest` is short for its mapping."""
    return {"source": "rest"} if value == "rest" else value


class Data(Section):
    """Where samples come from and how they are split."""

    source: SourceName = Field(
        description="digits: scikit-learn's handwritten digits (embedded); mnist, fashion_mnist, kmnist: the official idx files; "
        "cifar10: the official Python batches; speech_commands: one folder of .wav files per word, or an .npz of features; "
        "npz: arrays x_train, y_train [x_validation, y_validation, x_test, y_test], or x, y; image_folder: one folder per class; "
        "csv: a file, or a folder with train.csv [, validation.csv, test.csv]; tfds: TensorFlow Datasets, by `name`; "
        "python: what a function of your own gives (--allow-code)"
    )
    path: FilePath | None = Field(
        default=None, description="folder or file of the source; python: file.py:function; tfds: where its data are kept; digits: none"
    )
    name: str | None = Field(default=None, min_length=1, description="tfds: name of the data set", examples=["cifar10:3.0.2"])
    inputs: Inputs = Field(
        default=None,
        description="models of several inputs: name of each input, which is the name of its array in place of x, and its `preprocess`",
    )
    label: Column | list[Column] | None = Field(
        default=None,
        description="csv: column of the labels, by name or number from 0; several for values; absent: the last one, for target input none",
    )
    words: list[str] = Field(default=[], description="speech_commands: folders that are classes; all others are one, _unknown_; empty: all")
    silence: bool = Field(
        default=False, description="speech_commands: clips of the recordings in _background_noise_, side by side, are a class _silence_"
    )
    clip_ms: int = Field(default=1000, gt=0, le=100_000, description="speech_commands: every sound is cut or padded to so long")
    validation: float = Field(default=0.1, gt=0, lt=1, description="fraction of train, stratified")
    test: float = Field(default=0.2, gt=0, lt=1, description="fraction of all; only for sources without a test part of their own")
    group_by: str | None = Field(
        default=None,
        description="samples of one group stay in one split; npz, python: array of group labels; csv: column; speech_commands: speaker",
    )
    exclude: str | None = Field(default=None, description="name of an array of true and false; samples where it is true are left out")
    normal: list[str] = Field(
        default=[], description="anomaly detection (target input): only these classes are trained on, the others are anomalies to detect"
    )
    limit: int | None = Field(default=None, gt=0, le=10**9, description="use at most so many training samples, class-balanced (for trials)")
    unlabelled: Annotated[
        Unlabelled | None, BeforeValidator(_rest, json_schema_input_type=Literal["rest"] | Unlabelled | None)
    ] = Field(
        default=None, description="samples without labels, on which teachers teach too: rest (what `limit` leaves out), or {source, path}"
    )  # fmt: skip
    calibration: int = Field(default=200, gt=0, le=10**6, description="training samples for calibration: class-balanced, no duplicates")
    batch_size: int = Field(default=128, gt=0, le=10**6, description="samples per training step")
    preprocess: Preprocess = Preprocess()
    labels: FilePath | None = Field(
        default=None, description="text file with one class name per line, in the order of the labels, or of the folders' names"
    )
    augment: Augment = Augment()

    @property
    def prepared(self) -> Preprocess | dict[str, Preprocess]:
        """Preprocessing of the samples, by name where they have several inputs."""
        return self.inputs or self.preprocess

    @model_validator(mode="after")
    def _fields_fit(self) -> "Data":
        _check_path(self.source, self.path)
        if self.name is None and self.source == "tfds":
            raise ValueError("name must be given for source tfds. Received: nothing")
        if self.unlabelled is not None and self.unlabelled.source == "rest" and self.limit is None:
            raise ValueError("limit must be given with unlabelled: rest. Received: nothing")
        for field, sources in FIELD_SOURCES.items():
            value = getattr(self, field)
            if self.source not in sources and value != type(self).model_fields[field].default:
                works = ", ".join(sources)
                raise ValueError(f"{field} must be absent for source {self.source}; it works with {works}. Received: {value!r}")
        if self.inputs and self.preprocess != Preprocess():
            raise ValueError(f"preprocess must stand under each name of inputs ({', '.join(self.inputs)}). Received: one for all")
        if self.source == "speech_commands" and self.group_by not in (None, "speaker"):
            raise ValueError(f"group_by must be speaker for source speech_commands. Received: {self.group_by!r}")
        return self
