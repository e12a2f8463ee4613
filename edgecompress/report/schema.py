"""What a run found out, as data: `report.json`. One class per section; the keys are a stable contract.

Every class takes more keys than it names (a newer edgecompress may have written the file), but misses none of its own.
A value that is not finite (NaN, infinity) becomes None, so that the file is JSON for every reader.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

from edgecompress.report.artifact_schema import Artifact, Conversion, LadderRung
from edgecompress.report.json_file import json_text, read_json
from edgecompress.report.layer_schema import LayerBytes, OperatorReport
from edgecompress.report.parity_schema import Parity
from edgecompress.report.section import Section
from edgecompress.report.verdict_schema import Verdict
from edgecompress.store import storage_errors, write_atomic

REPORT_FILE = "report.json"


class Environment(Section):
    """Versions and the machine. A version is None where the package is not installed."""

    python: str
    tensorflow: str | None = None
    tf_keras: str | None = None
    tfmot: str | None = None
    litert: str | None = None
    numpy: str | None = None
    cpu: str | None = None
    cores: int | None = None
    threads: int | None = None  # of training


class DataSummary(Section):
    """How much data there was. `fingerprint`: sha256 (hex) of content, splits and preprocessing."""

    source: str
    num_train: int
    num_validation: int
    num_test: int
    num_calibration: int
    num_unlabelled: int | None = None
    fingerprint: str
    class_names: list[str] = []  # names the entries of per_class metrics


class LayerReport(Section):
    """What a stage did to one layer and why; `before` and `after` are measured facts such as {"sparsity": 0.0}."""

    name: str
    type: str
    action: Literal["changed", "skipped"]
    reason: str = ""
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}


class KeepReport(Section):
    """Something that later stages had to keep, measured again on the last Keras model and on the .tflite."""

    layer: str
    kind: str  # mask | centroids
    what: str  # a few words, such as "sparsity 0.6000" or "16 distinct values"
    on_model: Any = None  # measured: fraction of zeros, or largest number of distinct values
    on_tflite: Any = None  # None: not found in the file, or of a stage before the last, whose keeps stand there again
    held: bool


class CurveReport(Section):
    """The metric with one part of the model compressed alone, at each level: the fraction of it that is gone."""

    name: str
    levels: list[float]
    metrics: list[float]


class SensitivityReport(Section):
    """What decided how much of each part goes. `whole`: the metric of the model before, on the validation split."""

    metric: str
    rises: bool
    whole: float
    curves: list[CurveReport]
    of: str | None = None  # channels | parameters | bits: what is gone; None in reports of earlier versions


class StageReport(Section):
    """One stage as measured after it; index 0 is the baseline."""

    index: int
    id: str | None = None
    technique: str
    status: Literal["done", "no_op"] = "done"
    seconds: float
    cached: bool = False
    parameters: int
    nonzero_parameters: int
    macs: int | None = None
    bytes_float32: int  # parameters x 4
    metrics: dict[str, Any]  # {"validation": {metric: value}}
    layers: list[LayerReport] = []
    keeps: list[KeepReport] = []
    training: list[dict[str, int | float | None]] = []  # per epoch: epoch, loss, loss_PART, METRIC, validation_METRIC, learning_rate
    released: list[str] = []  # one sentence per keep that this stage had to break
    reasons: list[str] = []  # why it left everything alone (no_op)
    warnings: list[str] = []  # said while it ran; all stages' stand under the report's `warnings` too
    notes: list[str] = []  # what else there is to say, such as how a model was brought in
    sensitivity: SensitivityReport | None = None


class ModelMetrics(TypedDict, total=False):
    """Test metrics of one model as {metric: value}; the first metric first; classification has "per_class" too."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]  # pydantic reads it, mypy wants fields only

    keras: dict[str, Any]
    tflite: dict[str, Any]


class Metrics(TypedDict):
    """Test metrics of the three models: `report.metrics["final"]["tflite"]["accuracy"]`."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]  # pydantic reads it, mypy wants fields only

    baseline: ModelMetrics
    plain: ModelMetrics
    final: ModelMetrics


class BenchmarkEntry(Section):
    """Latency of one model with one number of threads. A percentile p is None where runs < 10 / (1 - p)."""

    model: str  # final | plain | baseline
    host: str
    runtime: str | None = None
    runtime_version: str | None = None
    kernels: str | None = None  # xnnpack | builtin: what ran; builtin where XNNPACK took no operator
    requested_kernels: str | None = None  # what the benchmark asked for; None in reports of earlier versions
    delegate: str | None = None
    threads: int
    runs: int | None = None
    warmup: int | None = None
    load_ms: float | None = None
    allocate_ms: float | None = None  # a delegate's packing of weights included
    init_ms: float | None = None  # both
    first_ms: float | None = None
    mean_ms: float | None = None
    std_ms: float | None = None
    min_ms: float | None = None
    p50_ms: float | None = None
    p90_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    p999_ms: float | None = None  # p99.9
    max_ms: float | None = None
    p50_interval_ms: tuple[float, float] | None = None
    peak_rss_kb: float | None = None
    machine_id: str | None = None  # tells boards of one name and processor apart; None in reports of earlier versions
    cpu: dict[str, Any] = {}  # model, cores, governor, frequency_khz, emulated
    temperature_celsius: dict[str, float | None] | None = None  # before, after
    frequency_khz: dict[str, int | None] | None = None  # before, after: of the first core
    throttled: bool | None = None
    golden: dict[str, Any] | None = None  # samples, kernels, largest_difference (1: what is allowed), across{kernels, snr_db, agreement}
    accuracy: dict[str, Any] | None = None  # samples, right, accuracy, kernels: counted there; or error
    operators: dict[str, Any] | None = None  # threads, whole_ms, sum_ms, timed[]{index, p50_ms, kernels, error}: each alone
    trusted: bool = False
    distrust_reasons: list[str] = []
    sustained: dict[str, Any] | None = None  # minutes, threads, windows[], slowdown; of `benchmark --minutes`
    error: str | None = None  # of a model that crashed or timed out: it has no times


class GoalResult(Section):
    """One limit of the recipe. `value` is None where it could not be measured: then it is not met."""

    name: str
    limit: float
    value: float | None
    met: bool


class Report(Section):
    """A whole run."""

    name: str
    seed: int
    started_at: str  # ISO 8601 with time zone
    seconds: float
    edgecompress_version: str
    status: str = "done"
    environment: Environment
    recipe: dict[str, Any]
    data: DataSummary
    stages: list[StageReport] = Field(min_length=1)
    metrics: Metrics
    verdict: Verdict | None = None
    artifact: Artifact
    conversion: Conversion | None = None
    ladder: list[LadderRung] = []
    parity: Parity | None = None
    layer_bytes: list[LayerBytes] = []
    operators: list[OperatorReport] = []
    benchmark: list[BenchmarkEntry] = []
    goals: list[GoalResult] = []
    warnings: list[str] = []

    def to_json(self) -> str:
        """The text of `report.json`."""
        return json_text(self)

    def save(self, folder: Path | str) -> Path:
        """Writes `report.json` into `folder` (made if missing) atomically and returns its path.

        Raises:
            StorageError: when the folder cannot be written.
        """
        path = Path(folder) / REPORT_FILE
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, self.to_json())
        return path

    @classmethod
    def load(cls, folder: Path | str) -> Report:
        """Reads the `report.json` of a run folder, of this version or a newer one.

        Raises:
            DataError: when it is missing, is not JSON, or misses something that every report has.
        """
        return read_json(Path(folder) / REPORT_FILE, cls)

    def _repr_html_(self) -> str:
        """A small table for notebooks."""
        from edgecompress.report.table import notebook_table

        return notebook_table(self)
