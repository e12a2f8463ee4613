"""Keys of a report that say what the file is and how it was made."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from edgecompress.report.section import Section


class Tensor(Section):
    """An input or output of the file: real = scale * (q - zero_point)."""

    name: str
    shape: list[int]
    dtype: str
    scale: float | None = None
    zero_point: int | None = None


class Shrink(Section):
    """What the lossless shrink did to the converter's file, and how it was proved."""

    bytes_before: int
    passes: list[dict[str, Any]] = []  # name, changes, bytes_saved
    left_out: dict[str, str] = {}  # pass -> why it did not count
    notes: list[str] = []  # channels that stay for their place only
    proof: dict[str, Any] = {}  # runs{kernel family: inputs}, refused{}, operators_left{}, largest_difference


class Artifact(Section):
    """The final .tflite. `bytes` is the file that runs; `gzip_bytes` matters for transport only."""

    path: str
    format: str
    bytes: int = Field(gt=0)
    gzip_bytes: int = Field(gt=0)
    sha256: str
    baseline_bytes: int
    plain_bytes: int
    ratio: float = Field(gt=0)  # baseline_bytes / bytes
    shrink: Shrink | None = None
    edgetpu: dict[str, Any] | None = None  # num_operators, num_mapped, left[], compiled{}; of `export: {edgetpu: true}`
    arena_bytes: int | None = None
    bytes_by_type: dict[str, int] = {}
    ops: dict[str, int] = {}
    op_versions: dict[str, int] = {}
    min_runtime_version: str | None = None
    inputs: list[Tensor] = []
    outputs: list[Tensor] = []


class KernelWeights(Section):
    """The weights of one kernel in the converter's file. None: not found there."""

    name: str
    type: str
    wanted: str
    stored: str | None
    num_bytes: int | None  # with block-wise scales
    reason: str = ""
    wanted_block: int = 0  # weights that share a scale; 0: all of an output channel
    block: int = 0


class Conversion(Section):
    """Which rung of the converter ladder made the file, and what the rungs before it answered."""

    rung: str
    refused: list[str] = []
    weights: list[KernelWeights] = []  # where the recipe chooses types by layer or below 8 bits


class LadderRung(Section):
    """One way to 8 bits that `export: {format: auto}` tried; `drop` on validation, positive where something is lost."""

    name: str
    stages: list[str] = []
    export: dict[str, Any] = {}
    seconds: float
    num_bytes: int | None = None
    metric: float | None = None
    drop: float | None = None
    p50_ms: float | None = None
    met: bool = False
    chosen: bool = False
    error: str = ""
