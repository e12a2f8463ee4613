"""`quantize_aware`: training with 8-bit quantization simulated, by TF-MOT.

The model that comes out carries fake-quantization, so it must stay the last but for `train`, and must be exported as int8.
TF-MOT's collaborative schemes are not used: they lose zeros (tensorflow/model-optimization#979, #720). Our keeps are bound
to the kernels instead.
"""

from edgecompress.backend import keras, model_optimization
from edgecompress.errors import ModelError
from edgecompress.graph.selection import select_layers
from edgecompress.keeps import find_variable
from edgecompress.models.copying import copy_model
from edgecompress.recipe.stages import QuantizeAware
from edgecompress.stage import Context, LayerRecord, StageResult
from edgecompress.training import fit


def apply(model: keras.Model, config: QuantizeAware, context: Context) -> StageResult:
    """Wraps the layers that TF-MOT can quantize, trains the result; other layers stay float and are named with the reason."""
    records = plan(model, config)
    chosen = {record.name for record in records if record.action == "changed"}
    if not chosen:
        raise ModelError("quantize_aware: no layer of the model can be quantized by TF-MOT. Received: " + "; ".join(r.reason for r in records))
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


def plan(model: keras.Model, config: QuantizeAware) -> list[LayerRecord]:
    """What would be quantized and what would stay float, and why."""
    names = [(layer.name, type(layer).__name__) for layer in model.layers]
    skipped = set(select_layers(names, config.skip, field="skip")) if config.skip else set()
    registry = _registry()
    records = []
    for layer in model.layers:
        kind = type(layer).__name__
        if kind == "InputLayer":
            continue
        if layer.name in skipped:
            records.append(LayerRecord(layer.name, kind, "skipped", "named in `skip`"))
        elif not registry.supports(layer):
            records.append(LayerRecord(layer.name, kind, "skipped", f"TF-MOT has no 8-bit scheme for {kind}"))
        else:
            records.append(LayerRecord(layer.name, kind, "changed", "8-bit fake-quantization", {"bits": 32}, {"bits": 8}))
    return records


def _registry() -> object:
    """TF-MOT's table of layers that its 8-bit scheme knows."""
    from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import default_8bit_quantize_registry as table

    return table.Default8BitQuantizeRegistry()
