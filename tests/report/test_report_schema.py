"""`report.json`: the stable keys, a round trip, and what a broken file gets."""

import json
import math

import numpy as np
import pytest

from edgecompress.errors import DataError, StorageError
from edgecompress.report.schema import Report

# The contract of recipe.md. More keys may be added, none may go.
STABLE_KEYS = {
    "": "name seed started_at seconds edgecompress_version environment recipe data stages metrics verdict artifact benchmark goals",
    "environment": "python tensorflow tf_keras tfmot litert numpy cpu cores threads",
    "data": "source num_train num_validation num_test num_calibration fingerprint",
    "stages.0": "index id technique status seconds cached parameters nonzero_parameters macs metrics layers keeps",
    "stages.1.layers.0": "name type action reason before after",
    "stages.1.keeps.0": "layer kind what on_model on_tflite held",
    "metrics": "baseline plain final",
    "verdict": "metric direction validation test",
    "verdict.test": "baseline final drop confidence_interval p_value agreement",
    "artifact": "path format bytes gzip_bytes sha256 baseline_bytes plain_bytes ratio arena_bytes bytes_by_type ops op_versions "
    "min_runtime_version inputs outputs",
    "benchmark.0": "model host runtime runtime_version kernels delegate threads runs warmup init_ms first_ms mean_ms std_ms min_ms p50_ms "
    "p90_ms p95_ms p99_ms max_ms p50_interval_ms peak_rss_kb cpu temperature_celsius throttled trusted distrust_reasons",
    "goals.0": "name limit value met",
}


def section(values, path):
    for part in filter(None, path.split(".")):
        values = values[int(part)] if part.isdigit() else values[part]
    return values


@pytest.mark.parametrize("path", STABLE_KEYS)
def test_json_has_the_stable_keys(report, path):
    assert set(STABLE_KEYS[path].split()) <= set(section(json.loads(report.to_json()), path))


def test_round_trip_gives_the_same_report_and_the_same_bytes(report, tmp_path):
    report.save(tmp_path)
    read = Report.load(tmp_path)
    assert read == report
    assert read.to_json() == (tmp_path / "report.json").read_text(encoding="utf-8")


def test_metrics_can_be_read_as_the_documentation_says(report):
    assert report.metrics["final"]["tflite"]["accuracy"] == 0.9219
    assert next(iter(report.metrics["baseline"]["keras"])) == "accuracy"


def test_keys_of_a_newer_version_survive(values, tmp_path):
    values["pareto_front"] = [1, 2]
    values["stages"][0]["robustness"] = {"a": 1}
    values["metrics"]["teacher"] = {"keras": {"accuracy": 0.95}}
    values["metrics"]["final"]["on_device"] = {"accuracy": 0.92}
    Report.model_validate(values).save(tmp_path)
    read = json.loads(Report.load(tmp_path).to_json())
    assert read["pareto_front"] == [1, 2]
    assert read["stages"][0]["robustness"] == {"a": 1}
    assert read["metrics"]["teacher"] == {"keras": {"accuracy": 0.95}}
    assert read["metrics"]["final"]["on_device"] == {"accuracy": 0.92}


def test_values_that_are_not_finite_become_null(values):
    values["metrics"]["final"]["tflite"]["auc"] = math.nan
    values["stages"][0]["training"][0]["loss"] = np.float32("inf")
    values["verdict"]["test"]["p_value"] = math.nan
    text = Report.model_validate(values).to_json()
    assert "NaN" not in text
    assert "Infinity" not in text
    read = json.loads(text)
    assert read["metrics"]["final"]["tflite"]["auc"] is None
    assert read["stages"][0]["training"][0]["loss"] is None
    assert read["verdict"]["test"]["p_value"] is None


def test_numpy_values_become_plain_json(values):
    values["stages"][1]["keeps"][0]["on_model"] = np.float64(0.6)
    values["stages"][1]["layers"][0]["after"] = {"sparsity": np.float32(0.5), "shape": np.array([3, 3])}
    values["artifact"]["ops"] = {"CONV_2D": np.int64(4)}
    values["metrics"]["final"]["tflite"]["per_class"] = {"recall": np.array([0.5, np.nan])}
    read = json.loads(Report.model_validate(values).to_json())
    assert read["stages"][1]["layers"][0]["after"] == {"sparsity": 0.5, "shape": [3, 3]}
    assert read["artifact"]["ops"] == {"CONV_2D": 4}
    assert read["metrics"]["final"]["tflite"]["per_class"] == {"recall": [0.5, None]}


def test_epochs_stay_whole_numbers(report):
    assert '"epoch": 1,' in report.to_json()


@pytest.mark.parametrize(
    "path", ["name", "artifact.bytes", "stages.0.parameters", "metrics.plain", "benchmark.0.threads", "verdict.test.drop"]
)
def test_missing_key_is_named(values, tmp_path, path):
    *parents, last = path.split(".")
    del section(values, ".".join(parents))[last]
    (tmp_path / "report.json").write_text(json.dumps(values))
    with pytest.raises(DataError, match=rf"report\.json: {path} must be .* Received: nothing"):
        Report.load(tmp_path)


def test_wrong_type_is_named(values, tmp_path):
    values["stages"][0]["parameters"] = "many"
    (tmp_path / "report.json").write_text(json.dumps(values))
    with pytest.raises(DataError, match=r"report\.json: stages\.0\.parameters must be .* Received: 'many'"):
        Report.load(tmp_path)


def test_missing_report_is_an_error_with_its_path(tmp_path):
    with pytest.raises(DataError, match=r"report\.json: a run folder must hold a readable report\. Received: No such file"):
        Report.load(tmp_path)


@pytest.mark.parametrize("content", [b'{"name": "x"', b"\xff\xfe", b"[" * 100_000], ids=["truncated", "not UTF-8", "nested without end"])
def test_damaged_report_is_an_error_with_its_path(tmp_path, content):
    (tmp_path / "report.json").write_bytes(content)
    with pytest.raises(DataError, match=r"report\.json: the report must be JSON\. Received: "):
        Report.load(tmp_path)


def test_other_json_is_an_error(tmp_path):
    (tmp_path / "report.json").write_text("[1]")
    with pytest.raises(DataError, match=r"the report must be "):
        Report.load(tmp_path)


def test_folder_that_cannot_be_made_is_a_storage_error(report, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="a part of the path is a file"):
        report.save(tmp_path / "file" / "run")


def test_report_does_not_change_after_it_was_made(report):
    with pytest.raises(ValueError, match="frozen"):
        report.name = "other"
