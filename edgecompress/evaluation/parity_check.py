"""Do the last Keras model and its file say the same? If not, which layer is the first to differ?"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgecompress.backend import keras
from edgecompress.device import DeviceFault
from edgecompress.errors import ModelError
from edgecompress.evaluation.parity import compare_layers, first_departure, weakest
from edgecompress.evaluation.predict import Evaluation
from edgecompress.evaluation.verdict import verdict
from edgecompress.recipe.schema import Task
from edgecompress.samples import Samples, num_samples

SIGNIFICANT = 0.05  # two-sided, as everywhere in the report
LEAST_DIFFERENCE = 0.005  # of a fraction of right answers in its own unit; of an error or loss, as a part of it
LEAST_AGREEMENT = 0.95  # of samples on which both decide the same


def compare_outputs(model: Evaluation, file: Evaluation, task: Task, *, seed: int) -> dict[str, Any]:
    """Judges whether a Keras model and its file differ by more than noise, on the same samples.

    They do where the paired test of the deciding metric finds a difference (p < 0.05) that matters: half a percent point of right
    answers, half a percent of an error or loss. Or where they decide alike on fewer than 95 % of the samples.

    Args:
        model: of the Keras model.
        file: of the .tflite, on the same samples in the same order.
        seed: of the resampling.

    Returns:
        metric, keras, tflite, difference (positive: the file is worse), p_value, p_value_of, agreement; and `differs`.
    """
    found = verdict(model, file, task, seed=seed)
    is_fraction = found["agreement"] is not None and task.metrics[0] not in (*task.own_metrics, task.loss)
    unit = 1.0 if is_fraction else abs(found["baseline"])
    matters = found["p_value"] < SIGNIFICANT and abs(found["drop"]) >= LEAST_DIFFERENCE * unit
    unlike = found["agreement"] is not None and found["agreement"] < LEAST_AGREEMENT
    return {
        "metric": task.metrics[0], "keras": found["baseline"], "tflite": found["final"], "difference": found["drop"],
        "p_value": found["p_value"], "p_value_of": found["p_value_of"], "agreement": found["agreement"], "differs": matters or unlike,
    }  # fmt: skip


def check_parity(
    model: keras.Model, content: bytes, outputs: Mapping[str, Any], samples: Samples, tensors: Mapping[str, int]
) -> tuple[dict[str, Any], list[str]]:
    """The `parity` section of the report, and a warning that names the layer where they differ.

    Args:
        model: what was converted.
        content: the .tflite as the converter wrote it, with its names.
        outputs: of `compare_outputs`.
        samples: a few, for the comparison of layers, which is made only where the outputs differ.
        tensors: layer -> tensor of the file.
    """
    if not outputs["differs"]:
        return {**outputs, "layers": []}, []
    what = f"the Keras model and its .tflite differ by more than noise on validation ({_values(outputs)})"
    try:
        with tempfile.TemporaryDirectory(prefix="edgecompress-") as folder:
            path = Path(folder) / "model.tflite"
            path.write_bytes(content)
            parities = compare_layers(model, path, samples, tensors)
    except (DeviceFault, ModelError) as error:  # the run has its file; what is missing is an explanation
        return {**outputs, "layers": []}, [f"{what}: its layers cannot be compared: {error}"]
    first, least = first_departure(parities), weakest(parities)
    layers = [{**asdict(parity), "departs": parity.departs} for parity in parities]
    section = {
        **outputs, "num_samples": num_samples(samples), "layers": layers,
        "first_departure": first.name if first else None, "weakest": least.name if least else None,
    }  # fmt: skip
    if first is not None:
        return section, [f"{what}: the first layer that departs is {first.name}, {first.snr_db:.1f} dB by itself"]
    if least is not None:
        return section, [f"{what}: no layer departs by itself, {least.name} loses most ({least.snr_db:.1f} dB)"]
    return section, [f"{what}: no layer of the model was found in the file"]


def _values(outputs: Mapping[str, Any]) -> str:
    words = f"{outputs['metric']} {outputs['keras']:.4g} and {outputs['tflite']:.4g}"
    return words if outputs["agreement"] is None else f"{words}, alike on {outputs['agreement']:.1%} of the samples"
