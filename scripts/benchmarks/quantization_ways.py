"""Ways from the keyword network to a quantized file, for `quantization.py`: this project's and those of others."""

import time
from itertools import product
from types import SimpleNamespace
from typing import cast

import numpy as np
from keywords import Keywords, as_split, figures

from edgecompress.backend import keras
from edgecompress.export import convert
from edgecompress.export.set_ranges import set_ranges
from edgecompress.progress import Progress
from edgecompress.recipe.schema import Export
from edgecompress.recipe.stages import CorrectBias, Equalize, RoundWeights
from edgecompress.shrinking import shrink_export
from edgecompress.stage import Context
from edgecompress.techniques.post_training import correct_bias, equalize, round_weights
from edgecompress.techniques.post_training.folding import fold_normalization
from edgecompress.techniques.post_training.successions import find_successions, is_depthwise

STRENGTHS, RANGES = (0.0, 0.5), ("percentile", "mse")
FOUR_BITS = "type:Conv2D"  # the first and the pointwise convolutions
FOUR_BITS_RANGES = "mse"
UNEQUAL_DECADES = 1.5  # factors of 10^-1.5 to 10^1.5


def by_ai_edge_quantizer(model: keras.Model) -> bytes:
    """4-bit Conv2D, 8 bits elsewhere, scales of least squared error, float activations: its one form that takes 4-bit convolutions."""
    from ai_edge_quantizer import algorithm_manager, qtyping, quantizer

    names = qtyping.TFLOperationName
    work = quantizer.Quantizer(bytearray(as_float(model)))
    for operation, bits in ((names.CONV_2D, 4), (names.DEPTHWISE_CONV_2D, 8), (names.FULLY_CONNECTED, 8)):
        work.add_dynamic_config(
            regex=".*", operation_name=operation, num_bits=bits, granularity=qtyping.QuantGranularity.CHANNELWISE,
            algorithm_key=algorithm_manager.AlgorithmName.MSE,
        )  # fmt: skip
    return bytes(work.quantize(enable_progress_report=False, enable_progress_bar=False).quantized_model)


def as_float(model: keras.Model) -> bytes:
    """The float32 file."""
    return convert(model, Export(format="float32"), calibration=None, progress=Progress()).content


def context_of(keywords: Keywords, rows: np.ndarray) -> Context:
    """Surroundings of a stage, with these samples to calibrate."""
    data = SimpleNamespace(calibration=as_split(keywords, rows))
    return cast(Context, SimpleNamespace(stage="benchmark", progress=Progress(), keeps=(), data=data))


def in_eight_bits(keywords: Keywords, rows: np.ndarray, strength: float) -> tuple[bytes, float]:
    """The int8 file behind `equalize` and `correct_bias`, its ranges min_max; and the seconds that both stages took."""
    context, started = context_of(keywords, rows), time.monotonic()
    model = equalize.apply(keywords.model, Equalize(strength=strength), context).model
    model = correct_bias.apply(model, CorrectBias(), context).model
    seconds = time.monotonic() - started
    return convert(model, Export(format="int8"), calibration=keywords.inputs[rows], progress=Progress()).content, seconds


def choose(keywords: Keywords, rows: np.ndarray) -> tuple[float, str]:
    """Strength and ranges with the best SNR on one half of the calibration samples, fitted on the other, both ways round."""
    gained = dict.fromkeys(product(STRENGTHS, RANGES), 0.0)
    for first, second in ((rows[::2], rows[1::2]), (rows[1::2], rows[::2])):
        for strength in STRENGTHS:
            content, _ = in_eight_bits(keywords, first, strength)
            for ranges in RANGES:
                chosen = set_ranges(content, keywords.inputs[first], Export(ranges=ranges))
                gained[strength, ranges] += figures(chosen, keywords, second)["snr_db"]
    return max(gained, key=lambda setting: gained[setting])


def in_four_bits(keywords: Keywords, rows: np.ndarray, strength: float) -> tuple[bytes, float]:
    """Conv2D kernels in 4 bits, the others in 8: `equalize`, `round_weights`, `export`; and the seconds that `round_weights` took."""
    context = context_of(keywords, rows)
    model = equalize.apply(keywords.model, Equalize(strength=strength), context).model
    started = time.monotonic()
    model = round_weights.apply(model, RoundWeights(bits={FOUR_BITS: 4}), context).model
    seconds = time.monotonic() - started
    export = Export.model_validate({"format": "int8", "ranges": FOUR_BITS_RANGES, "layers": {FOUR_BITS: "int4"}})
    return convert(model, export, calibration=keywords.inputs[rows], progress=Progress()).content, seconds


def choose_for_four_bits(keywords: Keywords, rows: np.ndarray) -> float:
    """The strength with the best SNR of the 4-bit file on one half of the calibration samples, fitted on the other, both ways round."""
    halves = (rows[::2], rows[1::2]), (rows[1::2], rows[::2])
    gained = {
        strength: sum(figures(in_four_bits(keywords, first, strength)[0], keywords, second)["snr_db"] for first, second in halves)
        for strength in STRENGTHS
    }
    return max(gained, key=lambda strength: gained[strength])


def rounded_to_eight_bits(keywords: Keywords, rows: np.ndarray, strength: float, ranges: str) -> tuple[bytes, float]:
    """`equalize`, `round_weights` by AdaRound, `export`; and the seconds that `round_weights` took."""
    context = context_of(keywords, rows)
    model = equalize.apply(keywords.model, Equalize(strength=strength), context).model
    started = time.monotonic()
    model = round_weights.apply(model, RoundWeights(), context).model
    seconds = time.monotonic() - started
    export = Export.model_validate({"format": "int8", "ranges": ranges})
    return convert(model, export, calibration=keywords.inputs[rows], progress=Progress()).content, seconds


def made_unequal(model: keras.Model) -> keras.Model:
    """The network with BatchNormalization folded and the channels of depthwise kernels scaled apart, which the next kernel undoes."""
    unequal = fold_normalization(model, {layer.name for layer in model.layers}).model
    generator = np.random.default_rng(0)
    for succession in find_successions(unequal, {layer.name for layer in unequal.layers})[0]:
        if is_depthwise(succession.first):
            factors = 10 ** generator.uniform(-UNEQUAL_DECADES, UNEQUAL_DECADES, succession.num_channels).astype(np.float32)
            kernel, bias = succession.first.get_weights()
            succession.first.set_weights([kernel * factors[:, np.newaxis], bias * factors])
            kernel, *rest = succession.second.get_weights()
            succession.second.set_weights([kernel / factors[:, np.newaxis], *rest])
    return unequal


def per_tensor(keywords: Keywords, rows: np.ndarray, *, equalized: bool) -> bytes:
    """int8 with one scale for each kernel, of the network that was made unequal."""
    model = made_unequal(keywords.model)
    if equalized:
        model = equalize.apply(model, Equalize(kernels="per_tensor"), context_of(keywords, rows)).model
    export = Export(format="int8", kernels="per_tensor")
    return convert(model, export, calibration=keywords.inputs[rows], progress=Progress()).content


def shrunk(content: bytes) -> bytes:
    """The file after the lossless shrink."""
    return shrink_export(content).content
