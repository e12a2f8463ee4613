"""A report like that of a real run: Fashion-MNIST on `cnn`, pruned, clustered, quantized."""

import copy
from typing import Any

import pytest

from edgecompress.report.schema import Report

CLASS_NAMES = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
LAYERS = [
    ("conv2d", "Conv2D", 288, 320), ("batch_normalization", "BatchNormalization", 128, 0), ("conv2d_1", "Conv2D", 9216, 9600),
    ("conv2d_2", "Conv2D", 18432, 19200), ("conv2d_3", "Conv2D", 36864, 37600), ("dense", "Dense", 803072, 806000),
    ("dense_1", "Dense", 2570, 2700),
]  # fmt: skip


def _epochs(num_epochs: int, loss: float, accuracy: float) -> list[dict[str, Any]]:
    return [
        {
            "epoch": epoch + 1, "loss": loss / (epoch + 1) ** 0.5, "accuracy": accuracy - 0.06 / (epoch + 1),
            "validation_loss": 1.1 * loss / (epoch + 1) ** 0.4, "validation_accuracy": accuracy - 0.04 / (epoch + 1),
            "learning_rate": 1e-3 / (epoch + 1),
        }
        for epoch in range(num_epochs)
    ]  # fmt: skip


def _stage(index: int, technique: str, nonzero: int, accuracy: float, **more: Any) -> dict[str, Any]:
    return {
        "index": index, "id": None, "technique": technique, "status": "done", "seconds": 61.2 * (index + 1), "cached": False,
        "parameters": 871210, "nonzero_parameters": nonzero, "macs": 18_700_000, "bytes_float32": 4 * 871210,
        "metrics": {"validation": {"accuracy": accuracy}}, "layers": [], "keeps": [], "training": [], "released": [], "reasons": [],
    } | more  # fmt: skip


def _prune_layers() -> list[dict[str, Any]]:
    changed = [
        {"name": name, "type": kind, "action": "changed", "reason": "its kernel is large enough", "before": {"sparsity": 0.0},
         "after": {"sparsity": 0.6, "nonzero_parameters": int(0.4 * number)}}
        for name, kind, number, _ in LAYERS if kind != "BatchNormalization"
    ]  # fmt: skip
    skipped = {"name": "batch_normalization", "type": "BatchNormalization", "action": "skipped", "reason": "it has no kernel"}
    return [*changed, skipped]


def _keeps(kind: str, what: str, on_model: float, on_tflite: float | None) -> list[dict[str, Any]]:
    return [
        {"layer": name, "kind": kind, "what": what, "on_model": on_model, "on_tflite": on_tflite, "held": True}
        for name, layer_type, _, _ in LAYERS if layer_type != "BatchNormalization"
    ]  # fmt: skip


def _entry(model: str, threads: int, p50_ms: float) -> dict[str, Any]:
    return {
        "model": model, "host": "local", "runtime": "ai-edge-litert", "runtime_version": "2.3.0", "kernels": "xnnpack", "delegate": None,
        "threads": threads, "runs": 200, "warmup": 41, "load_ms": 0.21, "allocate_ms": 1.1, "init_ms": 1.31,
        "first_ms": 3.2 * p50_ms, "mean_ms": 1.04 * p50_ms, "std_ms": 0.05 * p50_ms,
        "min_ms": 0.96 * p50_ms, "p50_ms": p50_ms, "p90_ms": 1.07 * p50_ms, "p95_ms": 1.16 * p50_ms,
        "p99_ms": None, "max_ms": 2.1 * p50_ms, "p50_interval_ms": [0.985 * p50_ms, 1.02 * p50_ms], "peak_rss_kb": 41_200.0,
        "cpu": {"model": "Intel(R) Xeon(R) Processor @ 2.90GHz", "cores": 2, "governor": None, "frequency_khz": None},
        "temperature_celsius": None, "throttled": None, "trusted": True, "distrust_reasons": [],
    }  # fmt: skip


def report_values() -> dict[str, Any]:
    """A fresh copy of the report as plain data, to be changed at will."""
    masks = _keeps("mask", "sparsity 0.6000", 0.6, None)
    all_keeps = _keeps("mask", "sparsity 0.6000", 0.6, 0.6021) + _keeps("centroids", "16 distinct values", 16, 9)
    unmeasured = [keep | {"on_tflite": None} for keep in all_keeps]  # only the last stage's keeps are looked for in the file
    stages = [
        _stage(0, "baseline", 871210, 0.9252, training=_epochs(8, 0.6, 0.93), cached=True),
        _stage(1, "prune_weights", 349100, 0.9268, id="cut", training=_epochs(4, 0.22, 0.935), layers=_prune_layers(),
               keeps=masks),
        _stage(2, "cluster_weights", 349100, 0.9205, training=_epochs(1, 0.2, 0.93), keeps=unmeasured,
               released=["conv2d: its sharing of values could not be kept"]),
        _stage(3, "train", 349100, 0.9205, status="no_op", reasons=["all layers are frozen"], seconds=0.2, keeps=unmeasured),
        _stage(4, "quantize_aware", 349100, 0.9247, training=_epochs(2, 0.19, 0.94), keeps=all_keeps),
    ]  # fmt: skip
    per_class = {
        "precision": [0.86, 0.99, 0.87, 0.91, 0.86, 0.98, 0.78, 0.96, 0.98, 0.97],
        "recall": [0.87, 0.98, 0.88, 0.92, 0.87, 0.98, 0.75, 0.97, 0.98, 0.96],
    }
    medians_ms = {"baseline": 1.3042, "plain": 0.4127, "final": 0.4093}
    values = {
        "name": "fashion_mnist_pruned_int8", "seed": 0, "started_at": "2026-01-31T09:12:44+00:00", "seconds": 1432.8,
        "edgecompress_version": "0.1.0", "status": "done",
        "environment": {
            "python": "3.11.9", "tensorflow": "2.21.0", "tf_keras": "2.21.0", "tfmot": "0.8.1", "litert": "2.3.0", "numpy": "2.4.6",
            "cpu": "Intel(R) Xeon(R) Processor @ 2.90GHz", "cores": 2, "threads": 2,
        },
        "recipe": {
            "name": "fashion_mnist_pruned_int8", "seed": 0, "data": {"source": "fashion_mnist", "path": "data/fashion_mnist"},
            "stages": [{"prune_weights": {"id": "cut", "sparsity": 0.6, "train": {"epochs": 4}}}], "export": {"format": "int8"},
        },
        "data": {
            "source": "fashion_mnist", "num_train": 54000, "num_validation": 6000, "num_test": 10000, "num_calibration": 200,
            "fingerprint": "9f" * 32, "class_names": CLASS_NAMES,
        },
        "stages": stages,
        "metrics": {
            "baseline": {"keras": {"accuracy": 0.9231, "per_class": per_class}, "tflite": {"accuracy": 0.9231, "per_class": per_class}},
            "plain": {"tflite": {"accuracy": 0.9224, "per_class": per_class}},
            "final": {"keras": {"accuracy": 0.9221}, "tflite": {"accuracy": 0.9219, "per_class": per_class}},
        },
        "verdict": {
            "metric": "accuracy", "direction": "rises", "validation": {"baseline": 0.9252, "final": 0.9245, "drop": 0.0007},
            "test": {
                "baseline": 0.9231, "final": 0.9219, "drop": 0.0012, "confidence_interval": [-0.0005, 0.0029], "p_value": 0.21,
                "p_value_of": "McNemar", "agreement": 0.9712,
            },
            "classes": {
                "regressed": [{"label": 6, "num_samples": 1000, "num_lost": 61, "num_won": 12, "p_value": 0.00001}],
                "confusions": [{"label": 6, "predicted": 0, "num_baseline": 98, "num_final": 131}],
            },
        },
        "artifact": _artifact(),
        "conversion": {"rung": "concrete function", "refused": []},
        "layer_bytes": [{"name": name, "baseline_bytes": 4 * number, "final_bytes": final or None} for name, _, number, final in LAYERS],
        "benchmark": [_entry(model, threads, p50_ms / threads**0.6) for threads in (1, 2) for model, p50_ms in medians_ms.items()],
        "goals": [
            {"name": "metric_drop", "limit": 0.005, "value": 0.0012, "met": True},
            {"name": "size_kb", "limit": 900, "value": 886.12, "met": True},
            {"name": "p95_ms", "limit": 0.4, "value": 0.4748, "met": False},
        ],
        "warnings": ["The data set's test part holds 12 samples that are also in its training part."],
    }  # fmt: skip
    return copy.deepcopy(values)


def _artifact() -> dict[str, Any]:
    return {
        "path": "model.tflite", "format": "int8", "bytes": 886_120, "gzip_bytes": 402_300, "sha256": "0123456789abcdef" * 4,
        "baseline_bytes": 3_488_900, "plain_bytes": 886_320, "ratio": 3_488_900 / 886_120, "arena_bytes": 57_600,
        "bytes_by_type": {"int8": 870_912, "int32": 1_832, "other": 13_376},
        "ops": {"CONV_2D": 4, "MAX_POOL_2D": 2, "RESHAPE": 1, "FULLY_CONNECTED": 2},
        "op_versions": {"CONV_2D": 3, "MAX_POOL_2D": 2, "RESHAPE": 1, "FULLY_CONNECTED": 4}, "min_runtime_version": "2.3.0",
        "inputs": [{"name": "serving_default_input:0", "shape": [1, 28, 28, 1], "dtype": "int8", "scale": 0.0039, "zero_point": -128}],
        "outputs": [{"name": "StatefulPartitionedCall:0", "shape": [1, 10], "dtype": "int8", "scale": 0.1871, "zero_point": 22}],
    }  # fmt: skip


@pytest.fixture
def values() -> dict[str, Any]:
    """The report as plain data."""
    return report_values()


@pytest.fixture
def report() -> Report:
    return Report.model_validate(report_values())
