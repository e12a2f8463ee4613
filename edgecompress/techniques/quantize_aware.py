"""`quantize_aware`: training with 8-bit quantization simulated, by TF-MOT.

The model that comes out carries fake-quantization, so it must stay the last but for `train`, and must be exported as int8.
TF-MOT's collaborative schemes are not used: they lose zeros (tensorflow/model-optimization#979, #720). Our keeps are bound
to the kernels instead.
"""

from functools import cache
from typing import Any

from edgecompress.backend import keras, model_optimization
from edgecompress.errors import ModelError
from edgecompress.graph.selection import select_layers
from edgecompress.keeps import find_variable
from edgecompress.models.copying import copy_model
from edgecompress.recipe.stages import QuantizeAware
from edgecompress.stage import Context, LayerRecord, StageResult
from edgecompress.training import fit

FOLDS_BATCH_NORMALIZATION = {"Conv2D", "DepthwiseConv2D", "SeparableConv2D", "Dense"}


def apply(model: keras.Model, config: QuantizeAware, context: Context) -> StageResult:
    """Wraps the layers that TF-MOT can quantize, trains the result; other layers stay float and are named with the reason."""
    records = _choose(model, config)
    chosen = {record.name for record in records if record.action == "changed"}
    if not chosen:
        raise ModelError(
            "quantize_aware: no layer of the model can be quantized by TF-MOT. Received: " + "; ".join(r.reason for r in records)
        )
    quantization = model_optimization().quantization.keras

    def annotate(layer: keras.layers.Layer) -> keras.layers.Layer:
        return quantization.quantize_annotate_layer(layer) if layer.name in chosen else layer

    annotated = keras.models.clone_model(copy_model(model), clone_function=annotate)
    with quantization.quantize_scope():
        quantized = quantization.quantize_apply(annotated)
    present = [keep for keep in context.keeps if find_variable(quantized, keep.layer, keep.weight) is not None]
    released = tuple(f"{keep.layer}: {keep.describe()}, TF-MOT replaced the layer" for keep in context.keeps if keep not in present)
    epochs = fit(quantized, config.train, context, keeps=present)
    return StageResult(quantized, records, tuple(present), released, epochs)


def plan(model: keras.Model, config: QuantizeAware) -> tuple[keras.Model, list[LayerRecord]]:
    """The model as it is: fake-quantization changes no shape; and what would be quantized or stay float, and why."""
    return model, _choose(model, config)


def _choose(model: keras.Model, config: QuantizeAware) -> list[LayerRecord]:
    """One record per layer: quantized, or left float with the reason."""
    names = [(layer.name, type(layer).__name__) for layer in model.layers]
    skipped = set(select_layers(names, config.skip, field="skip")) if config.skip else set()
    records: list[LayerRecord] = []
    quantized: set[str] = set()
    for layer in model.layers:
        kind = type(layer).__name__
        if kind == "InputLayer":
            continue
        reason = "named in `skip`" if layer.name in skipped else _why_not(layer, quantized)
        if reason is not None:
            records.append(LayerRecord(layer.name, kind, "skipped", reason))
            continue
        quantized.add(layer.name)
        how = "folded into the layer before it" if kind == "BatchNormalization" else "8-bit fake-quantization"
        records.append(LayerRecord(layer.name, kind, "changed", how, {"bits": 32}, {"bits": 8}))
    return records


def _why_not(layer: keras.layers.Layer, quantized: set[str]) -> str | None:
    """Why TF-MOT cannot quantize a layer; None if it can. `quantized`: the layers before it that are."""
    if isinstance(layer, keras.layers.BatchNormalization):
        before = _layer_before(layer)
        if before is None or type(before).__name__ not in FOLDS_BATCH_NORMALIZATION or before.activation is not keras.activations.linear:
            return f"TF-MOT quantizes BatchNormalization only right after {', '.join(sorted(FOLDS_BATCH_NORMALIZATION))} without activation"
        return None if before.name in quantized else f"its statistics belong to {before.name}, which stays float"
    return None if _registry().supports(layer) else f"TF-MOT has no 8-bit scheme for {type(layer).__name__}"


def _layer_before(layer: keras.layers.Layer) -> keras.layers.Layer | None:
    """The one layer that feeds `layer`; None if it is used twice or has several inputs."""
    if len(layer.inbound_nodes) != 1:
        return None
    before = layer.inbound_nodes[0].inbound_layers
    return before if isinstance(before, keras.layers.Layer) else None


@cache
def _registry() -> Any:
    """TF-MOT's table of layers that its 8-bit scheme knows."""
    from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import default_8bit_quantize_registry as table

    return table.Default8BitQuantizeRegistry()
