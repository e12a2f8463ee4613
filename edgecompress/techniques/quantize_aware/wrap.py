"""A rewritten, annotated model with TF-MOT's fake-quantization in the places that were decided.

TF-MOT's own way, `quantize_apply`, is not taken: it refuses a model for one layer that it does not know, and places
fake-quantization by patterns of layers. Its wrapper, quantizers and configurations are, so that its files are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tensorflow_model_optimization.python.core.quantization.keras.default_8bit.default_8bit_quantize_configs import (
    Default8BitOutputQuantizeConfig,
)
from tensorflow_model_optimization.python.core.quantization.keras.default_8bit.default_8bit_quantize_registry import (
    Default8BitConvQuantizeConfig,
    Default8BitConvTransposeQuantizeConfig,
    Default8BitQuantizeConfig,
)
from tensorflow_model_optimization.python.core.quantization.keras.quantize_layer import QuantizeLayer
from tensorflow_model_optimization.python.core.quantization.keras.quantize_wrapper import QuantizeWrapperV2
from tensorflow_model_optimization.python.core.quantization.keras.quantizers import AllValuesQuantizer, MovingAverageQuantizer

from edgecompress.backend import keras
from edgecompress.techniques.quantize_aware.annotate import Annotation
from edgecompress.techniques.quantize_aware.rewrite import Call, Graph, rewrite
from edgecompress.techniques.quantize_aware.roles import KERNELS, Role

CONFIGS = {"Dense": Default8BitQuantizeConfig, "Conv2DTranspose": Default8BitConvTransposeQuantizeConfig}
"""Kernels with one scale, and with scales along another axis than the last; all others have one scale per output channel."""

BITS = {"num_bits": 8, "per_axis": False, "symmetric": False, "narrow_range": False}


def wrap(model: keras.Model, annotations: Mapping[str, Annotation]) -> keras.Model:
    """The quantize-aware model. Layers with a kernel or an output to quantize are wrapped, as `quant_NAME`; a QuantizeLayer stands
    after inputs and after float layers that an 8-bit layer reads.

    Args:
        model: of `rewrite`; its layers go into the new model, so it must not be used any more.
        annotations: of `annotate`, for every layer.
    """

    def wrapped(call: Call, graph: Graph) -> Any:
        config = _config(call.layer, annotations[call.layer.name])
        return None if config is None else graph.add(QuantizeWrapperV2(call.layer, config), *call.inputs)

    def quantized(name: str, tensor: Any) -> Any:
        annotation = annotations[name]
        if not annotation.quantizes_output or annotation.role not in (Role.INPUT, Role.FLOAT):
            return tensor
        quantizer = (AllValuesQuantizer if annotation.role is Role.INPUT else MovingAverageQuantizer)(**BITS)
        return QuantizeLayer(quantizer, name=f"quantize_{name}")(tensor)

    kinds = {type(layer).__name__ for layer in model.layers}
    return rewrite(model, dict.fromkeys(kinds, wrapped), after=quantized).model


def _config(layer: keras.layers.Layer, annotation: Annotation) -> Any:
    """What TF-MOT quantizes in a layer; None: nothing."""
    kind = type(layer).__name__
    if annotation.role is Role.WEIGHTS and not _is_exact(layer):
        return CONFIGS.get(kind, Default8BitConvQuantizeConfig)([KERNELS[kind]], [], annotation.quantizes_output)
    if annotation.role in (Role.WEIGHTS, Role.FOLDED, Role.OUTPUT) and annotation.quantizes_output:
        return Default8BitOutputQuantizeConfig()
    return None


def _is_exact(layer: keras.layers.Layer) -> bool:
    """Whether a kernel has one weight per scale, which 8 bits hold as it is."""
    return type(layer).__name__ == "DepthwiseConv2D" and set(layer.kernel_size) == {1}
