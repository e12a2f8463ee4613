"""`quantize_aware`: training with quantization simulated; 8 bits with TF-MOT's fake-quantization, fewer as in `techniques.low_bits`.

For 8 bits, the model is first rewritten into layers that have an 8-bit operator (`rules`: the same function), then each layer gets its
role (`annotate`), then fake-quantization is put in (`wrap`). What has no 8-bit operator stays float and is named.

The model that comes out carries fake-quantization, so it must stay the last but for `train`, and must be exported as int8.
TF-MOT's collaborative schemes are not used: they lose zeros (tensorflow/model-optimization#979, #720). Our keeps are bound
to the kernels instead.
"""

from collections.abc import Mapping, Sequence

from edgecompress.backend import keras
from edgecompress.errors import ModelError
from edgecompress.graph.layers import wrapped_layer
from edgecompress.graph.selection import select_layers
from edgecompress.keeps import find_variable
from edgecompress.recipe.stages import QuantizeAware
from edgecompress.samples import Samples
from edgecompress.stage import Context, LayerRecord, StageResult
from edgecompress.techniques.low_bits import stage as low_bits
from edgecompress.techniques.quantize_aware.annotate import Annotation, annotate
from edgecompress.techniques.quantize_aware.ranges import output_ranges, start_from
from edgecompress.techniques.quantize_aware.rewrite import Rewritten, rewrite
from edgecompress.techniques.quantize_aware.roles import Role
from edgecompress.techniques.quantize_aware.rules import RULES
from edgecompress.training import fit


def apply(model: keras.Model, config: QuantizeAware, context: Context) -> StageResult:
    """Makes a quantize-aware model of `model` and trains it; layers that stay float are named with the reason."""
    if config.bits != 8:
        return low_bits.apply(model, config, context)
    rewritten, annotations, records = _prepare(model, config)
    quantized = _quantize(rewritten.model, annotations, context.data.calibration.arrays()[0])
    keeps = [rewritten.move(keep) for keep in context.keeps]
    present = [keep for keep in keeps if find_variable(quantized, keep.layer, keep.weight) is not None]
    released = tuple(f"{keep.layer}: {keep.describe()}, the layer was rewritten" for keep in keeps if keep not in present)
    train = config.train.model_copy(update={"freeze": _frozen(model, config.train.freeze, rewritten, quantized)})
    epochs = fit(quantized, train, context, keeps=present)
    return StageResult(quantized, records, tuple(present), released, epochs)


def plan(model: keras.Model, config: QuantizeAware) -> tuple[keras.Model, list[LayerRecord]]:
    """The rewritten model: fake-quantization changes no shape; and what would be quantized or stay float, and why."""
    if config.bits != 8:
        return low_bits.plan(model, config)
    rewritten, _, records = _prepare(model, config)
    return rewritten.model, records


def _frozen(model: keras.Model, patterns: Sequence[str], rewritten: Rewritten, quantized: keras.Model) -> list[str]:
    """Names of the layers that stand for those of `model` that the patterns match: a Conv1D is a Conv2D by now."""
    if not patterns:
        return []
    chosen = set(select_layers([(layer.name, type(layer).__name__) for layer in model.layers], patterns, field="freeze"))
    there = {wrapped_layer(layer).name for layer in quantized.layers}
    return [name for name, origin in rewritten.origins.items() if origin in chosen and name in there]


def _quantize(model: keras.Model, annotations: Mapping[str, Annotation], samples: Samples) -> keras.Model:
    """The quantize-aware model, its ranges as on the calibration samples. `model` must not be used any more."""
    from edgecompress.techniques.quantize_aware.wrap import wrap

    ranges = output_ranges(model, [name for name, annotation in annotations.items() if annotation.quantizes_output], samples)
    quantized = wrap(model, annotations)
    start_from(quantized, ranges)
    return quantized


def _prepare(model: keras.Model, config: QuantizeAware) -> tuple[Rewritten, dict[str, Annotation], list[LayerRecord]]:
    """The model in layers that 8 bits can compute, what is done to each of them, and a record for each layer of `model`.

    Raises:
        RecipeError: a pattern of `layers` or `skip` matches no layer.
        ModelError: nothing can be quantized.
    """
    names = [(layer.name, type(layer).__name__) for layer in model.layers]
    skipped = dict.fromkeys(select_layers(names, config.skip, field="skip") if config.skip else [], "named in `skip`")
    if config.layers:
        chosen = set(select_layers(names, config.layers, field="layers"))
        skipped |= {name: "not named in `layers`" for name, kind in names if name not in chosen and kind != "InputLayer"}
    rewritten = rewrite(model, RULES, untouched=list(skipped))
    annotations = annotate(rewritten.model, skipped)
    records = _records(model, rewritten, annotations)
    if not any(annotation.role in (Role.WEIGHTS, Role.OUTPUT) for annotation in annotations.values()):
        reasons = dict.fromkeys(record.reason for record in records)
        raise ModelError(f"quantize_aware: the model must have a layer that can be quantized. Received: {'; '.join(reasons)}.")
    return rewritten, annotations, records


def _records(model: keras.Model, rewritten: Rewritten, annotations: Mapping[str, Annotation]) -> list[LayerRecord]:
    """One record per layer of `model`: what became of it. Layers that were taken together with the next have no layer left."""
    parts: dict[str, list[Annotation]] = {}
    for name, origin in rewritten.origins.items():
        if name in annotations:
            parts.setdefault(origin, []).append(annotations[name])
    return [
        _record(layer, rewritten.notes.get(layer.name), parts.get(layer.name, []))
        for layer in model.layers
        if type(layer).__name__ != "InputLayer"
    ]


def _record(layer: keras.layers.Layer, note: str | None, parts: list[Annotation]) -> LayerRecord:
    """A layer is changed if one of the layers in its place is; its reason says how it was rewritten and quantized."""
    kind = type(layer).__name__
    quantized = [part for part in parts if part.role is not Role.FLOAT]
    words = list(dict.fromkeys(part.reason or part.role.value for part in parts)) or ["computed together with the layer after it"]
    reason = "; ".join([*([note] if note else []), *words])
    if parts and not quantized:
        return LayerRecord(layer.name, kind, "skipped", reason)
    return LayerRecord(layer.name, kind, "changed", reason, {"bits": 32}, {"bits": 8})
